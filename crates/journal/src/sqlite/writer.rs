//! Who writes when: one thread takes whatever waits, has it written in one transaction, and tells everybody. An append that
//! comes alone is written at once by whoever brings it: waking a thread takes longer than a fast disk.
//!
//! What must hold: every task is answered exactly once, after its commit and by nobody who holds the committer; an answer
//! that appends is never answered from within; no append overtakes one that came before it.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use midwatch_workflow::{RunId, Timestamp};

use super::Options;
use super::append::Entry;
use super::committer::{Committer, Outcome};
use super::patience::Patience;
use super::pending::{self, Pending};
use super::tray::Tray;
use crate::commits::{self, Meter};
use crate::{Appended, Commits, Error};

/// The writer as its journal holds it.
pub(super) struct Writer {
    shared: Arc<Shared>,
    /// Nobody need be answered at once: all is left to the thread.
    is_patient: bool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the thread and those who append have in common.
struct Shared {
    path: PathBuf,
    /// Gone once the file is closed.
    committer: Mutex<Option<Committer>>,
    tray: Tray,
    is_closing: AtomicBool,
}

/// Something to be written.
pub(super) enum Task {
    Append(Entry, Pending),
    Post {
        run: RunId,
        message: String,
        at: Timestamp,
        reply: SyncSender<Result<u64, Error>>,
    },
    Remove {
        letters: Vec<u64>,
        reply: SyncSender<Result<(), Error>>,
    },
    /// There is something to do besides writing; nobody waits for it.
    Look,
    Close {
        reply: SyncSender<Result<(), Error>>,
    },
}

impl Shared {
    /// What was being written during a panic was not reported as written.
    fn committer(&self) -> MutexGuard<'_, Option<Committer>> {
        self.committer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a batch; gives what the committer has failed with, if it has.
    fn write(&self, batch: &[Task], outcomes: &mut Vec<Outcome>) -> Option<Error> {
        let mut committer = self.committer();
        let Some(committer) = committer.as_mut() else { return Some(Error::Closed) };
        committer.write(batch, outcomes, &self.is_closing);
        committer.stopped().cloned()
    }

    /// `None` if somebody else writes or waits, or this is not the time for it.
    fn write_lone(&self, entry: &Entry) -> Option<(Result<Appended, Error>, Left)> {
        if pending::is_answering() || self.is_closing.load(Ordering::Relaxed) || !self.tray.is_clear() {
            return None;
        }
        let mut committer = self.committer.try_lock().ok()?;
        let committer = committer.as_mut()?;
        let had_unshown = committer.meter.due_in().is_some();
        let outcome = committer.write_lone(entry)?;
        let is_all_done = had_unshown && !committer.is_checkpoint_due();
        Some((outcome, if is_all_done { Left::Nothing } else { Left::Something }))
    }

    /// Does what is to be done between commits; says for how long the thread may sleep.
    fn look(&self) -> Option<Duration> {
        let mut committer = self.committer();
        let committer = committer.as_mut()?;
        committer.checkpoint_if_due();
        committer.meter.due_in()
    }

    /// What commits took is written beside the journal while nobody waits for the committer.
    fn show(&self, figures: impl FnOnce(&mut Meter) -> Option<Commits>) {
        let figures = self.committer().as_mut().and_then(|committer| figures(&mut committer.meter));
        if let Some(figures) = figures {
            commits::show(&self.path, &figures);
        }
    }

    fn finish(&self) -> Result<(), Error> {
        self.show(Meter::take_all);
        self.committer().take().map_or(Ok(()), Committer::finish)
    }
}

/// Whether the thread has something to do after a commit that was made without it.
enum Left {
    Nothing,
    Something,
}

impl Writer {
    /// Opens the file and starts the thread.
    pub(super) fn start(path: PathBuf, options: &Options) -> Result<Self, Error> {
        let committer = Mutex::new(Some(Committer::open(path.clone(), options)?));
        let shared = Arc::new(Shared {
            path: path.clone(),
            committer,
            tray: Tray::default(),
            is_closing: AtomicBool::new(false),
        });
        let work = Loop {
            shared: Arc::clone(&shared),
            rows_max: options.batch_rows_max,
            bytes_max: options.batch_bytes_max,
            patience: Patience::new(options.patience),
        };
        let thread = thread::Builder::new()
            .name("midwatch-journal".to_owned())
            .spawn(move || work.run())
            .map_err(|error| Error::io(&path, error))?;
        let is_patient = !options.patience.is_zero();
        Ok(Self { shared, is_patient, thread: Mutex::new(Some(thread)) })
    }

    /// Writes an append at once, if nobody else writes or waits and the disk is fast; hands it over otherwise.
    pub(super) fn append(&self, entry: Entry, pending: Pending) {
        let written = if self.is_patient { None } else { self.shared.write_lone(&entry) };
        let Some((outcome, left)) = written else {
            return self.send(Task::Append(entry, pending));
        };
        pending.answer(outcome);
        if let Left::Something = left {
            self.send(Task::Look);
        }
    }

    /// Hands a task over. If the thread is gone the task is dropped, and with it every `done` and reply answered.
    pub(super) fn send(&self, task: Task) {
        self.shared.tray.put(task);
    }

    /// Writes what waits, empties the log into the file and ends the thread.
    pub(super) fn close(&self) -> Result<(), Error> {
        let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return Ok(());
        };
        let (reply, answer) = std::sync::mpsc::sync_channel(1);
        self.shared.is_closing.store(true, Ordering::Relaxed);
        self.send(Task::Close { reply });
        // The last handle may be dropped by a `done`, on the thread itself: it ends after this task on its own.
        if thread.thread().id() == thread::current().id() {
            return Ok(());
        }
        let outcome = answer.recv().unwrap_or(Err(Error::Closed));
        drop(thread.join());
        outcome
    }
}

/// The thread's own state.
struct Loop {
    shared: Arc<Shared>,
    rows_max: usize,
    bytes_max: usize,
    patience: Patience,
}

impl Drop for Loop {
    fn drop(&mut self) {
        self.shared.tray.close();
    }
}

impl Loop {
    fn run(mut self) {
        let (mut taken, mut batch, mut outcomes) = (VecDeque::new(), Vec::new(), Vec::new());
        let mut asked = Instant::now();
        loop {
            if taken.is_empty() {
                let limit = self.shared.look();
                self.shared.tray.take(&mut taken, limit);
                self.await_company(&mut taken);
                let before = std::mem::replace(&mut asked, Instant::now());
                self.patience.saw(taken.iter().filter(|task| task.is_append()).count(), asked - before);
            }
            let close = self.collect(&mut taken, &mut batch);
            if !batch.is_empty() {
                let stopped = self.shared.write(&batch, &mut outcomes);
                answer(&mut batch, &mut outcomes, stopped.as_ref());
            }
            if let Close::Now(reply) = close {
                drop(taken);
                return drop(reply.send(self.shared.finish()));
            }
            self.shared.show(Meter::take_due);
        }
    }

    /// Lets appends of other runs come, if many are on their way and nobody but appends waits.
    fn await_company(&self, taken: &mut VecDeque<Task>) {
        let are_appends = !taken.is_empty() && taken.iter().all(Task::is_append);
        if let Some(wait) = self.patience.wait().filter(|_| are_appends) {
            self.shared.tray.gather(taken, wait);
        }
    }

    /// Takes what shares a commit: all that is there, up to the limits.
    fn collect(&self, taken: &mut VecDeque<Task>, batch: &mut Vec<Task>) -> Close {
        let mut bytes = 0;
        while batch.len() < self.rows_max
            && bytes < self.bytes_max
            && let Some(task) = taken.pop_front()
        {
            match task {
                Task::Close { reply } => return Close::Now(reply),
                Task::Look => continue,
                Task::Append(ref entry, _) => bytes += entry.bytes(),
                Task::Post { ref message, .. } => bytes += message.len(),
                Task::Remove { .. } => {}
            }
            batch.push(task);
        }
        Close::No
    }
}

/// Whether the thread ends after this batch.
enum Close {
    No,
    Now(SyncSender<Result<(), Error>>),
}

fn answer(batch: &mut Vec<Task>, outcomes: &mut Vec<Outcome>, stopped: Option<&Error>) {
    if let Some(error) = stopped {
        batch.drain(..).for_each(|task| task.fail(error));
        return;
    }
    for (task, outcome) in batch.drain(..).zip(outcomes.drain(..)) {
        match (task, outcome) {
            (Task::Append(_, pending), Outcome::Appended(outcome)) => pending.answer(outcome),
            (Task::Post { reply, .. }, Outcome::Posted(letter)) => drop(reply.send(Ok(letter))),
            (Task::Remove { reply, .. }, Outcome::Removed) => drop(reply.send(Ok(()))),
            (task, _) => task.fail(&Error::Closed),
        }
    }
}

impl Task {
    pub(super) fn is_append(&self) -> bool {
        matches!(self, Task::Append(..))
    }

    fn fail(self, error: &Error) {
        match self {
            Task::Append(_, pending) => pending.answer(Err(error.clone())),
            Task::Post { reply, .. } => drop(reply.send(Err(error.clone()))),
            Task::Remove { reply, .. } | Task::Close { reply } => drop(reply.send(Err(error.clone()))),
            Task::Look => {}
        }
    }
}
