//! Steering runs: which runs are meant, whether they can take it, and whether it took effect.

mod deliver;
mod target;

pub(crate) use deliver::{Effect, Judgement, Order, Sending, Sent, deliver};
pub(crate) use target::Targets;

use midwatch_journal::{Fold, Journal, RunSummary};
use midwatch_workflow::Event;

/// The run's events and where they leave it; the summary in the list trails them by up to a second.
pub(crate) fn state(run: &RunSummary, journal: &dyn Journal) -> anyhow::Result<(Vec<Event>, Fold)> {
    let events = journal.events(run.run, 0)?;
    let fold = Fold::of(&events).ok_or_else(|| midwatch_journal::Error::Damaged {
        what: format!("run {} does not begin with its start", run.run),
    })?;
    Ok((events, fold))
}

/// The refusal of a run that has ended.
pub(crate) fn ended(run: &RunSummary) -> Judgement {
    Judgement::Refused {
        why: format!("has ended ({})", run.status),
        instead: Some(format!(
            "go another way from one of its steps: midwatch fork {} --step NAME",
            run.run.short()
        )),
    }
}
