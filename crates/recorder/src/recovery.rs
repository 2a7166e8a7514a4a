//! What an earlier process left: what it told and the journal does not have yet, and runs that were under way.

use midwatch_journal::spool::{Gap, Record, bring_up};
use midwatch_journal::{Journal, Order, RunQuery, Status};
use midwatch_workflow::Timestamp;

use crate::error::Error;
use crate::state::{RunState, Told};

/// So many open runs are taken up at most.
const OPEN_MAX: usize = 100_000;

/// Brings the journal up to what was told, and gives the open runs, with what is to be said of them first.
pub(crate) fn recover(
    journal: &dyn Journal,
    left: Vec<Record>,
    worker: &str,
    now: Timestamp,
) -> Result<Vec<(RunState, Told)>, Error> {
    for Gap { run, first } in bring_up(journal, left)? {
        tracing::warn!(%run, first, "the spool has events after a gap: they are left out");
    }
    let statuses = Status::ALL.into_iter().filter(|status| !status.is_ended()).collect();
    let query = RunQuery { statuses, order: Order::Oldest, limit: OPEN_MAX, ..RunQuery::default() };
    let mut found = Vec::new();
    for summary in journal.runs(&query)?.into_iter().filter(|run| run.is_recorded()) {
        let Some(mut state) = RunState::of(&journal.events(summary.run, 0)?) else { continue };
        if !state.is_ended() {
            let told = state.recover(worker, now);
            found.push((state, told));
        }
    }
    Ok(found)
}
