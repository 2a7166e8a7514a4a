//! What a spool has beyond its journal is appended there, before anything else is.

use std::collections::BTreeMap;
use std::sync::mpsc::channel;

use midwatch_workflow::{Event, RunId};

use super::Record;
use crate::{Append, Error, Fold, Journal};

/// Events that a spool has after some that are nowhere: the machine died, and what it was about to write is lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gap {
    /// The run.
    pub run: RunId,
    /// The number of the first event after the gap.
    pub first: u64,
}

/// Appends what the spool has beyond the journal; gives what it left out.
///
/// # Errors
/// Those of the journal.
pub fn bring_up(journal: &dyn Journal, left: Vec<Record>) -> Result<Vec<Gap>, Error> {
    let mut runs: BTreeMap<RunId, Vec<Record>> = BTreeMap::new();
    for record in left {
        runs.entry(record.run).or_default().push(record);
    }
    let mut gaps = Vec::new();
    let (done, written) = channel();
    for (run, mut records) in runs {
        records.sort_by_key(|record| record.first);
        let mut events = journal.events(run, 0)?;
        let known = events.len();
        for record in records {
            gaps.extend(add(&mut events, record));
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
    Ok(gaps)
}

/// Adds what follows; what is there already is left as it is.
fn add(events: &mut Vec<Event>, record: Record) -> Option<Gap> {
    let have = events.len() as u64;
    if record.first > have + 1 {
        return Some(Gap { run: record.run, first: record.first });
    }
    let skip = usize::try_from(have + 1 - record.first).unwrap_or(usize::MAX);
    events.extend(record.events.into_iter().skip(skip));
    None
}
