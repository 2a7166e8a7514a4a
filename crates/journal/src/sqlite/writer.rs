//! Who writes when: one thread takes whatever waits, has it written in one transaction, and tells everybody. An append that
//! comes alone is written at once by whoever brings it: waking a thread takes longer than a fast disk.
//!
//! What must hold: every task is answered exactly once, after its commit and by nobody who holds the committer; an answer
//! that appends is never answered from within; no append overtakes one that came before it.

use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use midwatch_workflow::{RunId, Timestamp};

use super::Options;
use super::append::Entry;
use super::committer::{Committer, Outcome};
use super::tray::Tray;
use crate::commits::{self, Meter};
use crate::{Appended, Commits, Done, Error};

/// The writer as its journal holds it.
pub(super) struct Writer {
    shared: Arc<Shared>,
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

/// A [`Done`] that is called even if it gets lost on the way.
pub(super) struct Pending(Option<Done>);

impl Pending {
    pub(super) fn new(done: Done) -> Self {
        Self(Some(done))
    }

    pub(super) fn answer(mut self, outcome: Result<Appended, Error>) {
        self.call(outcome);
    }

    fn call(&mut self, outcome: Result<Appended, Error>) {
        if let Some(done) = self.0.take() {
            let outer = IS_ANSWERING.replace(true);
            // A panic in there is not the writer's: the other runs of the batch must still hear.
            let _ = catch_unwind(AssertUnwindSafe(|| done(outcome)));
            IS_ANSWERING.set(outer);
        }
    }
}

thread_local! {
    /// Whether this thread is inside of an answer. What an answer appends is not written there and then: its answer would
    /// append from deeper down the stack, and so on to the end of it.
    static IS_ANSWERING: Cell<bool> = const { Cell::new(false) };
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.call(Err(Error::Closed));
    }
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
        if IS_ANSWERING.get() || self.is_closing.load(Ordering::Relaxed) || !self.tray.is_clear() {
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
        };
        let thread = thread::Builder::new()
            .name("midwatch-journal".to_owned())
            .spawn(move || work.run())
            .map_err(|error| Error::io(&path, error))?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Writes an append at once, if nobody else writes or waits and the disk is fast; hands it over otherwise.
    pub(super) fn append(&self, entry: Entry, pending: Pending) {
        let Some((outcome, left)) = self.shared.write_lone(&entry) else {
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
}

impl Drop for Loop {
    fn drop(&mut self) {
        self.shared.tray.close();
    }
}

impl Loop {
    fn run(self) {
        let (mut taken, mut batch, mut outcomes) = (VecDeque::new(), Vec::new(), Vec::new());
        loop {
            if taken.is_empty() {
                let limit = self.shared.look();
                self.shared.tray.take(&mut taken, limit);
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
    fn fail(self, error: &Error) {
        match self {
            Task::Append(_, pending) => pending.answer(Err(error.clone())),
            Task::Post { reply, .. } => drop(reply.send(Err(error.clone()))),
            Task::Remove { reply, .. } | Task::Close { reply } => drop(reply.send(Err(error.clone()))),
            Task::Look => {}
        }
    }
}
