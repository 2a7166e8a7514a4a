//! A journal whose appends are on record before it has them: for runs whose truth is elsewhere.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use midwatch_workflow::{Event, Message, RunId, Timestamp};

use super::{Held, Spool, bring_up};
use crate::{Append, Appended, Done, Error, Journal, Letter, Row, RunQuery, RunSummary};

/// So many bytes may wait for the journal; beyond it an append is answered when the journal has it.
const BEHIND_MAX: usize = 64 << 20;

/// A journal behind a spool.
///
/// An append is answered as soon as it outlives the process, and is in the journal a few milliseconds later, in a commit
/// that it shares with others. The first one of a run is answered when it is synced: only the journal knows whether another
/// run has the workflow id. Whoever reads through this handle sees everything that was appended before. The machine's death
/// can lose the last milliseconds: it is for engines that can find them out again.
pub struct SpooledJournal {
    path: PathBuf,
    shared: Arc<Shared>,
}

struct Shared {
    journal: Arc<dyn Journal>,
    spool: Spool,
    /// Bytes that the journal does not have yet.
    behind: AtomicUsize,
    state: Mutex<State>,
    /// Rings when the journal has answered.
    answered: Condvar,
}

#[derive(Default)]
struct State {
    /// How many appends the journal was handed, and how many it has answered: in the order in which they came.
    handed: u64,
    answered: u64,
    /// Runs whose events the journal did not take, until somebody asks what it has of them.
    refused: HashMap<RunId, Error>,
}

impl SpooledJournal {
    /// Puts a spool before the journal at `path`, once what an earlier process left there is in it. Reads and writes the
    /// disk. Events after a gap are left out: the machine had died, and whoever knows them tells them again.
    ///
    /// # Errors
    /// Those of the journal, and [`Error::Io`] of the spool.
    pub fn over(journal: Arc<dyn Journal>, path: &Path) -> Result<Self, Error> {
        let (spool, left) = Spool::open(path).map_err(|error| Error::io(path, error))?;
        bring_up(&*journal, left)?;
        spool.clear().map_err(|error| Error::io(path, error))?;
        let (state, answered) = (Mutex::default(), Condvar::new());
        let shared = Shared { journal, spool, behind: AtomicUsize::new(0), state, answered };
        Ok(Self { path: path.to_owned(), shared: Arc::new(shared) })
    }

    /// Empties the spool, once the journal was closed and has everything. One that is left is known again by the next start.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn clear(&self) -> Result<(), Error> {
        self.shared.spool.clear().map_err(|error| Error::io(&self.path, error))
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The journal has answered an append.
    fn came(&self, run: RunId, (held, bytes): (Held, usize), result: &Result<Appended, Error>) {
        self.behind.fetch_sub(bytes, Ordering::Relaxed);
        let refused = match result {
            Ok(Appended::Written) => None,
            Ok(Appended::Duplicate(other)) => Some(Error::Conflict { run: *other, number: 1 }),
            Err(error) => Some(error.clone()),
        };
        // What a journal that has failed does not have stays in the spool for the next start.
        if matches!(refused, None | Some(Error::Conflict { .. })) {
            self.spool.release(held);
        }
        let mut state = self.state();
        state.answered += 1;
        if let Some(error) = refused {
            state.refused.insert(run, error);
        }
        drop(state);
        self.answered.notify_all();
    }

    /// Waits until the journal has what was appended so far.
    fn catch_up(&self) {
        let state = self.state();
        let upto = state.handed;
        drop(self.answered.wait_while(state, |state| state.answered < upto));
    }
}

impl Journal for SpooledJournal {
    fn append(&self, append: Append, done: Done) {
        let shared = &self.shared;
        if append.is_summary_only() {
            return shared.journal.append(append, done);
        }
        let (run, bytes) = (append.run, append.body.len());
        if bytes > Append::BYTES_MAX {
            return done(Err(Error::TooLarge { bytes }));
        }
        if let Some(error) = shared.state().refused.get(&run).cloned() {
            return done(Err(error));
        }
        let mut held = Held::default();
        let items = append.body.get(1..append.body.len() - 1).unwrap_or_default();
        let is_kept = shared.spool.write(run, append.first, items, &mut held).is_ok();
        let is_far_behind = shared.behind.fetch_add(bytes, Ordering::Relaxed) > BEHIND_MAX;
        let waits = !is_kept || append.first == 1 || is_far_behind;
        let (now, later) = if waits { (None, Some(done)) } else { (Some(done), None) };
        shared.state().handed += 1;
        let told = Arc::clone(shared);
        let answer = move |result| {
            told.came(run, (held, bytes), &result);
            if let Some(done) = later {
                done(result);
            }
        };
        shared.journal.append(append, Box::new(answer));
        if let Some(done) = now {
            done(Ok(Appended::Written));
        }
    }

    fn events(&self, run: RunId, after: u64) -> Result<Vec<Event>, Error> {
        self.shared.catch_up();
        self.shared.state().refused.remove(&run);
        self.shared.journal.events(run, after)
    }

    fn run(&self, run: RunId) -> Result<Option<RunSummary>, Error> {
        self.shared.catch_up();
        self.shared.journal.run(run)
    }

    fn runs(&self, query: &RunQuery) -> Result<Vec<RunSummary>, Error> {
        self.shared.catch_up();
        self.shared.journal.runs(query)
    }

    fn since(&self, after: u64, limit: usize) -> Result<Vec<Row>, Error> {
        self.shared.catch_up();
        self.shared.journal.since(after, limit)
    }

    fn post(&self, run: RunId, message: &Message, at: Timestamp) -> Result<u64, Error> {
        self.shared.journal.post(run, message, at)
    }

    fn letters(&self, answered: &[u64], limit: usize) -> Result<Vec<Letter>, Error> {
        self.shared.journal.letters(answered, limit)
    }
}
