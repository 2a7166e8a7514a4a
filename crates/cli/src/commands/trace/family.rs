//! The spans of a run and of the runs that it started.

use std::collections::{HashSet, VecDeque};

use midwatch_journal::{Error, Journal};
use midwatch_observe::trace::{Span, spans};
use midwatch_workflow::{EventKind, RunId, Timestamp};

/// So many runs are read at most.
const RUNS_MAX: usize = 1_000;

/// A run with its children, and theirs.
pub(super) struct Family {
    /// All spans, those that are not over included.
    pub(super) spans: Vec<Span>,
    pub(super) runs: usize,
    /// Whether there are more runs than were read.
    pub(super) is_cut: bool,
}

/// Reads it.
pub(super) fn family(
    journal: &dyn Journal,
    run: RunId,
    alone: bool,
    now: Timestamp,
) -> Result<Family, Error> {
    let mut family = Family { spans: Vec::new(), runs: 0, is_cut: false };
    let mut known = HashSet::from([run]);
    let mut left = VecDeque::from([run]);
    while let Some(run) = left.pop_front() {
        let events = journal.events(run, 0)?;
        // A child that was asked for and not started yet has none.
        family.spans.extend(spans(&events, now).unwrap_or_default());
        family.runs += 1;
        if alone {
            break;
        }
        for event in &events {
            if let EventKind::ChildStarted { run, .. } = event.kind
                && known.insert(run)
            {
                left.push_back(run);
            }
        }
        if family.runs == RUNS_MAX {
            family.is_cut = !left.is_empty();
            break;
        }
    }
    Ok(family)
}
