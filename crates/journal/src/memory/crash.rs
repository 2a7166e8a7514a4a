//! A journal that stops taking appends at a chosen one, as a process does that is killed there.

use std::sync::Mutex;
use std::sync::PoisonError;

use midwatch_workflow::{Event, Message, RunId, Timestamp};

use super::MemoryJournal;
use crate::{Append, Done, Error, Journal, Letter, Row, RunQuery, RunSummary};

/// Whether the append at which the crash comes is still written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// The process dies before it is written.
    BeforeWrite,
    /// The process dies after it is written and before anybody hears of it.
    AfterWrite,
}

/// A [`MemoryJournal`] whose owner dies at a chosen append.
///
/// From then on nothing is written, and every append, that one too, is answered with [`Error::Closed`], so that the
/// engine above stops by itself; its runs go on when another engine opens the same [`MemoryJournal`]. Reading goes on.
#[derive(Debug)]
pub struct CrashingJournal {
    disk: MemoryJournal,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    appends: u64,
    crash_at: Option<(u64, When)>,
    is_crashed: bool,
}

impl CrashingJournal {
    /// A journal that never crashes unless [`crash_at`](Self::crash_at) says so, and counts appends.
    pub fn new(disk: MemoryJournal) -> Self {
        Self { disk, state: Mutex::new(State { appends: 0, crash_at: None, is_crashed: false }) }
    }

    /// Makes it crash at the `append`-th append that it is given, counted from 1.
    #[must_use]
    pub fn crash_at(self, append: u64, when: When) -> Self {
        self.lock().crash_at = Some((append, when));
        self
    }

    /// Whether it has crashed.
    pub fn is_crashed(&self) -> bool {
        self.lock().is_crashed
    }

    /// How many appends it was given up to the crash, that one included.
    pub fn appends(&self) -> u64 {
        self.lock().appends
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn alive(&self) -> Result<(), Error> {
        if self.is_crashed() { Err(Error::Closed) } else { Ok(()) }
    }
}

impl State {
    /// Counts an append and says what becomes of it: `None` if all is well.
    fn meet(&mut self) -> Option<When> {
        if self.is_crashed {
            return Some(When::BeforeWrite);
        }
        self.appends += 1;
        let (_, when) = self.crash_at.filter(|(append, _)| *append == self.appends)?;
        self.is_crashed = true;
        Some(when)
    }
}

impl Journal for CrashingJournal {
    fn append(&self, append: Append, done: Done) {
        let met = self.lock().meet();
        match met {
            None => self.disk.append(append, done),
            Some(When::BeforeWrite) => done(Err(Error::Closed)),
            Some(When::AfterWrite) => {
                self.disk.append(append, Box::new(|_| ()));
                done(Err(Error::Closed));
            }
        }
    }

    fn events(&self, run: RunId, after: u64) -> Result<Vec<Event>, Error> {
        self.disk.events(run, after)
    }

    fn run(&self, run: RunId) -> Result<Option<RunSummary>, Error> {
        self.disk.run(run)
    }

    fn runs(&self, query: &RunQuery) -> Result<Vec<RunSummary>, Error> {
        self.disk.runs(query)
    }

    fn since(&self, after: u64, limit: usize) -> Result<Vec<Row>, Error> {
        self.disk.since(after, limit)
    }

    fn post(&self, run: RunId, message: &Message, at: Timestamp) -> Result<u64, Error> {
        self.disk.post(run, message, at)
    }

    fn letters(&self, answered: &[u64], limit: usize) -> Result<Vec<Letter>, Error> {
        self.alive()?;
        self.disk.letters(answered, limit)
    }
}
