//! The one thread that writes: it takes whatever waits, writes it in one transaction, and tells everybody.
//!
//! What must hold: an answer `Ok` is given only after COMMIT has returned; every task is answered exactly once; after an
//! error of the disk nothing more is written, because what SQLite holds in memory may differ from what the disk has.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use midwatch_workflow::{RunId, Timestamp};
use rusqlite::Connection;

use super::append::{Entry, Statements};
use super::trouble::{explain, is_busy};
use super::{Options, open};
use crate::commits::Meter;
use crate::{Appended, Done, Error};

/// The writer as its journal holds it.
pub(super) struct Writer {
    tasks: Sender<Task>,
    is_closing: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Something to be written. Unbounded in number here; runs bound it, which have one append under way each.
pub(super) enum Task {
    Append(Entry, Pending),
    Post { run: RunId, message: String, at: Timestamp, reply: SyncSender<Result<u64, Error>> },
    Remove { letters: Vec<u64>, reply: SyncSender<Result<(), Error>> },
    Close { reply: SyncSender<Result<(), Error>> },
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
            // A panic in there is not the writer's: the other runs of the batch must still hear.
            let _ = catch_unwind(AssertUnwindSafe(|| done(outcome)));
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.call(Err(Error::Closed));
    }
}

impl Writer {
    /// Opens the file and starts the thread.
    pub(super) fn start(path: PathBuf, options: Options) -> Result<Self, Error> {
        let mut connection = open::writer(&path, &options)?;
        let frames = watch_log(&mut connection).map_err(|error| explain(&path, error))?;
        let (tasks, receiver) = channel();
        let is_closing = Arc::new(AtomicBool::new(false));
        let failed = path.clone();
        let work = Loop {
            path,
            checkpoint_at: options.checkpoint_pages,
            options,
            tasks: receiver,
            is_closing: Arc::clone(&is_closing),
            frames,
            stopped: None,
            meter: Meter::new(),
        };
        let thread = thread::Builder::new()
            .name("midwatch-journal".to_owned())
            .spawn(move || work.run(&connection))
            .map_err(|error| Error::io(&failed, error))?;
        Ok(Self { tasks, is_closing, thread: Mutex::new(Some(thread)) })
    }

    /// Hands a task over. If the thread is gone the task is dropped, and with it every `done` and reply answered.
    pub(super) fn send(&self, task: Task) {
        drop(self.tasks.send(task));
    }

    /// Writes what waits, empties the log into the file and ends the thread.
    pub(super) fn close(&self) -> Result<(), Error> {
        let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return Ok(());
        };
        let (reply, answer) = std::sync::mpsc::sync_channel(1);
        self.is_closing.store(true, Ordering::Relaxed);
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

/// Makes the length of the write-ahead log known after every commit, in pages. Replaces SQLite's own checkpoints,
/// which would come before anybody hears of the commit.
fn watch_log(connection: &mut Connection) -> rusqlite::Result<Arc<AtomicI32>> {
    let frames = Arc::new(AtomicI32::new(0));
    let seen = Arc::clone(&frames);
    connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: i32| {
        seen.store(pages, Ordering::Relaxed);
        Ok(())
    }))?;
    Ok(frames)
}

/// The thread's own state.
struct Loop {
    path: PathBuf,
    options: Options,
    tasks: Receiver<Task>,
    is_closing: Arc<AtomicBool>,
    /// How many pages the log has.
    frames: Arc<AtomicI32>,
    /// How many it may have before the next checkpoint.
    checkpoint_at: i32,
    /// What it failed with; from then on every task fails with it.
    stopped: Option<Error>,
    /// What commits took.
    meter: Meter,
}

/// What came of a task inside the transaction.
enum Outcome {
    Appended(Result<Appended, Error>),
    Posted(u64),
    Removed,
}

impl Loop {
    fn run(mut self, connection: &Connection) {
        let mut statements = match Statements::prepare(connection) {
            Ok(statements) => Some(statements),
            Err(error) => {
                self.stopped = Some(explain(&self.path, error));
                None
            }
        };
        let mut batch = Vec::new();
        let mut outcomes = Vec::new();
        while let Some(close) = self.collect(&mut batch) {
            if let Some(statements) = &mut statements {
                self.write(connection, statements, &batch, &mut outcomes);
            }
            self.answer(&mut batch, &mut outcomes);
            self.meter.show_if_due(&self.path);
            if let Close::Now(reply) = close {
                self.meter.show(&self.path);
                drop(statements);
                let outcome = self.stopped.take().map_or_else(|| self.empty_log(connection), Err);
                drop(reply.send(outcome));
                return;
            }
            if self.frames.load(Ordering::Relaxed) >= self.checkpoint_at {
                self.checkpoint(connection);
            }
        }
    }

    /// Waits for a task and takes what else is there, up to the limits. `None` if nobody can send any more.
    fn collect(&mut self, batch: &mut Vec<Task>) -> Option<Close> {
        let mut next = self.next()?;
        let mut bytes = 0;
        loop {
            match next {
                Task::Close { reply } => return Some(Close::Now(reply)),
                Task::Append(ref entry, _) => bytes += entry.bytes(),
                Task::Post { ref message, .. } => bytes += message.len(),
                Task::Remove { .. } => {}
            }
            batch.push(next);
            if batch.len() >= self.options.batch_rows_max || bytes >= self.options.batch_bytes_max {
                return Some(Close::No);
            }
            match self.tasks.try_recv() {
                Ok(task) => next = task,
                Err(_) => return Some(Close::No),
            }
        }
    }

    /// Waits for a task. What commits took is shown in time, also if no other comes.
    fn next(&mut self) -> Option<Task> {
        let Some(due) = self.meter.due_in() else { return self.tasks.recv().ok() };
        match self.tasks.recv_timeout(due) {
            Ok(task) => Some(task),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                self.meter.show(&self.path);
                self.tasks.recv().ok()
            }
        }
    }

    /// Writes a batch in one transaction; after an error of SQLite none of it is written and the writer stops.
    fn write(
        &mut self,
        db: &Connection,
        statements: &mut Statements<'_>,
        batch: &[Task],
        outcomes: &mut Vec<Outcome>,
    ) {
        if self.stopped.is_some() || batch.is_empty() {
            return;
        }
        let begun = Instant::now();
        let written = self.begin(statements).and_then(|()| {
            for task in batch {
                outcomes.push(perform(statements, task)?);
            }
            statements.commit()
        });
        if let Err(error) = written {
            outcomes.clear();
            if !db.is_autocommit() {
                drop(db.execute_batch("ROLLBACK"));
            }
            self.stopped = Some(explain(&self.path, error));
        } else {
            self.meter.count(begun.elapsed());
        }
    }

    /// Another process may hold the file for as long as it likes: the runs wait, and do not fail. Closing does not wait
    /// longer than the patience of a connection.
    fn begin(&self, statements: &mut Statements<'_>) -> rusqlite::Result<()> {
        loop {
            match statements.begin() {
                Err(error) if is_busy(&error) && !self.is_closing.load(Ordering::Relaxed) => {}
                other => return other,
            }
        }
    }

    fn answer(&self, batch: &mut Vec<Task>, outcomes: &mut Vec<Outcome>) {
        if let Some(error) = &self.stopped {
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

    /// Copies the log into the file as far as readers allow. If all of it was copied the next commit begins it anew.
    fn checkpoint(&mut self, connection: &Connection) {
        let copied = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
            Ok((row.get::<_, i32>(1)?, row.get::<_, i32>(2)?))
        });
        let pages = self.options.checkpoint_pages;
        self.checkpoint_at = match copied {
            Ok((log, copied)) if copied >= log => pages,
            // A reader still needs what stands behind: not again after every commit.
            Ok((log, _)) => log.saturating_add(pages),
            Err(error) if is_busy(&error) => self.frames.load(Ordering::Relaxed).saturating_add(pages),
            Err(error) => {
                self.stopped = Some(explain(&self.path, error));
                return;
            }
        };
        self.frames.store(0, Ordering::Relaxed);
    }

    fn empty_log(&self, connection: &Connection) -> Result<(), Error> {
        let done = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        match done {
            Err(error) if !is_busy(&error) => Err(explain(&self.path, error)),
            // A reader of another process keeps the log: whoever opens the journal next empties it.
            _ => Ok(()),
        }
    }
}

/// Whether the thread ends after this batch.
enum Close {
    No,
    Now(SyncSender<Result<(), Error>>),
}

fn perform(statements: &mut Statements<'_>, task: &Task) -> rusqlite::Result<Outcome> {
    Ok(match task {
        Task::Append(entry, _) => Outcome::Appended(statements.append(entry)?),
        Task::Post { run, message, at, .. } => Outcome::Posted(statements.post(*run, message, *at)?),
        Task::Remove { letters, .. } => {
            statements.remove(letters)?;
            Outcome::Removed
        }
        Task::Close { .. } => Outcome::Removed,
    })
}

impl Task {
    fn fail(self, error: &Error) {
        match self {
            Task::Append(_, pending) => pending.answer(Err(error.clone())),
            Task::Post { reply, .. } => drop(reply.send(Err(error.clone()))),
            Task::Remove { reply, .. } | Task::Close { reply } => drop(reply.send(Err(error.clone()))),
        }
    }
}
