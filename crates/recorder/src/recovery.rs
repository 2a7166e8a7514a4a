//! What an earlier process left: what it told and the journal does not have yet, and runs that were under way.

use std::collections::BTreeMap;
use std::sync::mpsc::channel;

use midwatch_journal::{Append, Fold, Journal, Order, RunQuery, Status};
use midwatch_workflow::{Event, RunId, Timestamp};

use crate::error::Error;
use crate::spool::Record;
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
    bring_up(journal, left)?;
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

/// Appends what the spool has beyond the journal.
fn bring_up(journal: &dyn Journal, left: Vec<Record>) -> Result<(), Error> {
    let mut runs: BTreeMap<RunId, Vec<Record>> = BTreeMap::new();
    for record in left {
        runs.entry(record.run).or_default().push(record);
    }
    let (done, written) = channel();
    for (run, mut records) in runs {
        records.sort_by_key(|record| record.first);
        let mut events = journal.events(run, 0)?;
        let known = events.len();
        for record in records {
            add(&mut events, record);
        }
        if events.len() == known {
            continue;
        }
        let Some(fold) = Fold::of(&events) else { continue };
        let append = Append::new(run, known as u64 + 1, &events[known..], Some(Box::new(fold.summary)))?;
        let done = done.clone();
        journal.append(append, Box::new(move |result| drop(done.send(result))));
    }
    drop(done);
    for result in written {
        result?;
    }
    Ok(())
}

/// Adds what follows; what is there already is left as it is.
fn add(events: &mut Vec<Event>, record: Record) {
    let have = events.len() as u64;
    let skip = usize::try_from((have + 1).saturating_sub(record.first)).unwrap_or(usize::MAX);
    if record.first > have + 1 {
        tracing::warn!(run = %record.run, first = record.first, "the spool has events after a gap: they are left out");
        return;
    }
    events.extend(record.events.into_iter().skip(skip));
}
