//! A journal in memory with the behaviour of the one on disk.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use midwatch_workflow::{Event, Message, RunId, Timestamp, WorkflowId};

use crate::repeat::is_repeat;
use crate::{Append, Appended, Done, Error, Journal, Letter, Row, RunQuery, RunSummary};

/// A journal in memory. Clones share what is written, so it stands for the disk that survives a crash.
///
/// `done` is called before `append` returns.
#[derive(Clone, Debug, Default)]
pub struct MemoryJournal(Arc<Mutex<Store>>);

#[derive(Debug, Default)]
struct Store {
    rows: Vec<(RunId, u64, Arc<str>)>,
    /// Places in `rows`, by run and number of the first event.
    places: BTreeMap<(RunId, u64), usize>,
    /// In order of arrival.
    runs: Vec<RunSummary>,
    arrivals: HashMap<RunId, usize>,
    /// Who has a workflow id.
    holders: HashMap<(String, WorkflowId), RunId>,
    letters: BTreeMap<u64, Letter>,
    posted: u64,
    appends: u64,
}

impl MemoryJournal {
    /// An empty journal.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many appends it was given, refused ones too.
    pub fn appends(&self) -> u64 {
        self.store().appends
    }

    // A panic of another thread leaves no half-done change: every change is made after all that can fail.
    fn store(&self) -> MutexGuard<'_, Store> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal for MemoryJournal {
    fn append(&self, append: Append, done: Done) {
        let outcome = self.store().append(append);
        // After the lock is given back: `done` may append again.
        done(outcome);
    }

    fn events(&self, run: RunId, after: u64) -> Result<Vec<Event>, Error> {
        let store = self.store();
        let mut events = Vec::new();
        let mut expected = 1;
        for ((_, first), place) in store.places.range((run, 0)..=(run, u64::MAX)) {
            if *first != expected {
                return Err(Error::gap(run, expected, *first));
            }
            let read = read(&store.rows[*place].2, *place)?;
            expected += read.len() as u64;
            events.extend(read.into_iter().zip(*first..).filter(|(_, n)| *n > after).map(|(event, _)| event));
        }
        Ok(events)
    }

    fn run(&self, run: RunId) -> Result<Option<RunSummary>, Error> {
        let store = self.store();
        Ok(store.arrivals.get(&run).map(|arrival| store.runs[*arrival].clone()))
    }

    fn runs(&self, query: &RunQuery) -> Result<Vec<RunSummary>, Error> {
        let store = self.store();
        let fitting = store.runs.iter().zip(0..).filter(|(run, _)| query.matches(run));
        let mut runs: Vec<_> = fitting.map(|(run, arrival)| (query.order.key(run), arrival, run)).collect();
        query.order.sort(&mut runs);
        Ok(runs.into_iter().skip(query.skip).take(query.limit()).map(|(_, _, run)| run.clone()).collect())
    }

    fn since(&self, after: u64, limit: usize) -> Result<Vec<Row>, Error> {
        let store = self.store();
        let skip = usize::try_from(after).unwrap_or(usize::MAX);
        let rows = store.rows.iter().enumerate().skip(skip).take(limit);
        rows.map(|(place, (run, first, body))| {
            Ok(Row { position: place as u64 + 1, run: *run, first: *first, events: read(body, place)? })
        })
        .collect()
    }

    fn post(&self, run: RunId, message: &Message, at: Timestamp) -> Result<u64, Error> {
        let mut store = self.store();
        store.posted += 1;
        let id = store.posted;
        store.letters.insert(id, Letter { id, run, at, message: message.clone() });
        Ok(id)
    }

    fn letters(&self, answered: &[u64], limit: usize) -> Result<Vec<Letter>, Error> {
        let mut store = self.store();
        for id in answered {
            store.letters.remove(id);
        }
        Ok(store.letters.values().take(limit).cloned().collect())
    }
}

impl Store {
    fn append(&mut self, append: Append) -> Result<Appended, Error> {
        self.appends += 1;
        if append.is_summary_only() {
            append.summary.into_iter().for_each(|summary| self.list(*summary));
            return Ok(Appended::Written);
        }
        let Append { run, first, body, summary } = append;
        if body.len() > Append::BYTES_MAX {
            return Err(Error::TooLarge { bytes: body.len() });
        }
        if first == 1
            && let Some(holder) = summary.as_ref().and_then(|summary| self.holder(summary))
            && holder != run
        {
            return Ok(Appended::Duplicate(holder));
        }
        if let Some(place) = self.places.get(&(run, first)) {
            let is_repeat = is_repeat(first, &self.rows[*place].2, &body);
            return if is_repeat {
                Ok(Appended::Written)
            } else {
                Err(Error::Conflict { run, number: first })
            };
        }
        self.places.insert((run, first), self.rows.len());
        self.rows.push((run, first, body.into()));
        if let Some(summary) = summary {
            self.list(*summary);
        }
        Ok(Appended::Written)
    }

    fn holder(&self, summary: &RunSummary) -> Option<RunId> {
        if !summary.claims_workflow_id() {
            return None;
        }
        self.holders.get(&(summary.workflow.clone(), summary.workflow_id.clone())).copied()
    }

    fn list(&mut self, summary: RunSummary) {
        if let Some(arrival) = self.arrivals.get(&summary.run) {
            self.runs[*arrival] = summary;
            return;
        }
        if summary.claims_workflow_id() {
            self.holders.insert((summary.workflow.clone(), summary.workflow_id.clone()), summary.run);
        }
        self.arrivals.insert(summary.run, self.runs.len());
        self.runs.push(summary);
    }
}

fn read(body: &str, place: usize) -> Result<Vec<Event>, Error> {
    serde_json::from_str(body).map_err(|error| Error::damaged_row(place as u64 + 1, &error))
}
