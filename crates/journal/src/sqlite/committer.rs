//! The owner's connection, and what one commit does with it: whoever holds the committer writes, and nobody else.
//!
//! What must hold: an answer `Ok` is given only after COMMIT has returned; after an error of the disk nothing more is
//! written, because what SQLite holds in memory may differ from what the disk has.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::append::{Entry, Statements};
use super::trouble::{explain, is_busy};
use super::writer::Task;
use super::{Options, open};
use crate::commits::Meter;
use crate::{Appended, Error};

/// Commits that take longer than this on average are made by the writer's thread alone: who appends must not be held up.
const FAST: Duration = Duration::from_millis(1);

/// After so many commits of one append a crowd has gone.
const CROWD: u32 = 32;

/// The connection that writes, and what is known of its file.
pub(super) struct Committer {
    path: PathBuf,
    connection: Connection,
    /// Whether a commit waits for another process that writes.
    is_patient: Arc<AtomicBool>,
    /// How many pages the log has.
    frames: Arc<AtomicI32>,
    /// How many it may have before the next checkpoint.
    checkpoint_at: i32,
    checkpoint_pages: i32,
    /// How long a commit took, on a sliding average.
    usual: Duration,
    /// What commits took, for whoever watches.
    pub(super) meter: Meter,
    /// How many more commits must be of one append alone before appends count as coming alone again: while a crowd is
    /// about, whoever wrote alone would keep a thread of the runtime from the others.
    crowd: u32,
    /// What it failed with; from then on everything fails with it.
    stopped: Option<Error>,
}

/// What came of a task inside the transaction.
pub(super) enum Outcome {
    Appended(Result<Appended, Error>),
    Posted(u64),
    Removed,
}

impl Committer {
    /// Opens the file, creating it if there is none.
    pub(super) fn open(path: PathBuf, options: &Options) -> Result<Self, Error> {
        let is_patient = Arc::new(AtomicBool::new(true));
        let mut connection = open::writer(&path, options, Arc::clone(&is_patient))?;
        let frames = watch_log(&mut connection).map_err(|error| explain(&path, error))?;
        Ok(Self {
            path,
            connection,
            is_patient,
            frames,
            checkpoint_at: options.checkpoint_pages,
            checkpoint_pages: options.checkpoint_pages,
            usual: Duration::ZERO,
            meter: Meter::new(),
            crowd: 0,
            stopped: None,
        })
    }

    /// What it failed with, if it did.
    pub(super) fn stopped(&self) -> Option<&Error> {
        self.stopped.as_ref()
    }

    /// Writes a batch in one transaction; after an error of SQLite none of it is written and nothing more is.
    pub(super) fn write(&mut self, batch: &[Task], outcomes: &mut Vec<Outcome>, is_closing: &AtomicBool) {
        if self.stopped.is_some() || batch.is_empty() {
            return;
        }
        self.crowd = if batch.len() > 1 { CROWD } else { self.crowd.saturating_sub(1) };
        let begun = Instant::now();
        let written = Statements::of(&self.connection).and_then(|mut statements| {
            begin(&mut statements, is_closing)?;
            for task in batch {
                outcomes.push(perform(&mut statements, task)?);
            }
            statements.commit()
        });
        match written {
            Ok(()) => self.took(begun.elapsed()),
            Err(error) => {
                outcomes.clear();
                self.stop(error);
            }
        }
    }

    /// Writes one append at once, on the thread of whoever asks. `None` if that is not the time for it: appends come in
    /// crowds, the disk is slow, another process writes, or nothing can be written any more.
    pub(super) fn write_lone(&mut self, entry: &Entry) -> Option<Result<Appended, Error>> {
        if self.stopped.is_some() || self.crowd > 0 || self.usual > FAST {
            return None;
        }
        let begun = Instant::now();
        self.is_patient.store(false, Ordering::Relaxed);
        let written = self.commit_lone(entry);
        self.is_patient.store(true, Ordering::Relaxed);
        match written {
            Ok(outcome) => {
                self.took(begun.elapsed());
                outcome
            }
            Err(error) => Some(Err(self.stop(error))),
        }
    }

    /// Copies the log into the file, if it has grown enough, as far as readers allow. If all of it was copied the next
    /// commit begins it anew.
    pub(super) fn checkpoint_if_due(&mut self) {
        if !self.is_checkpoint_due() {
            return;
        }
        let copied = self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
            Ok((row.get::<_, i32>(1)?, row.get::<_, i32>(2)?))
        });
        let pages = self.checkpoint_pages;
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

    /// Whether the log has grown so much that it should be copied into the file.
    pub(super) fn is_checkpoint_due(&self) -> bool {
        self.frames.load(Ordering::Relaxed) >= self.checkpoint_at
    }

    /// Empties the log into the file; says what the committer failed with, if it did.
    pub(super) fn finish(self) -> Result<(), Error> {
        if let Some(error) = self.stopped {
            return Err(error);
        }
        let emptied = "PRAGMA wal_checkpoint(TRUNCATE)";
        match self.connection.query_row(emptied, [], |row| row.get::<_, i64>(0)) {
            Err(error) if !is_busy(&error) => Err(explain(&self.path, error)),
            // A reader of another process keeps the log: whoever opens the journal next empties it.
            _ => Ok(()),
        }
    }

    /// `None` if another process writes at this moment.
    fn commit_lone(&self, entry: &Entry) -> rusqlite::Result<Option<Result<Appended, Error>>> {
        let mut statements = Statements::of(&self.connection)?;
        match statements.begin() {
            Err(error) if is_busy(&error) => return Ok(None),
            begun => begun?,
        }
        let outcome = statements.append(entry)?;
        statements.commit()?;
        Ok(Some(outcome))
    }

    fn took(&mut self, time: Duration) {
        self.usual = (self.usual * 7 + time) / 8;
        self.meter.count(time);
    }

    fn stop(&mut self, error: rusqlite::Error) -> Error {
        if !self.connection.is_autocommit() {
            drop(self.connection.execute_batch("ROLLBACK"));
        }
        let error = explain(&self.path, error);
        self.stopped = Some(error.clone());
        error
    }
}

/// Another process may hold the file for as long as it likes: the runs wait, and do not fail. Closing does not wait longer
/// than the patience of a connection.
fn begin(statements: &mut Statements<'_>, is_closing: &AtomicBool) -> rusqlite::Result<()> {
    loop {
        match statements.begin() {
            Err(error) if is_busy(&error) && !is_closing.load(Ordering::Relaxed) => {}
            other => return other,
        }
    }
}

fn perform(statements: &mut Statements<'_>, task: &Task) -> rusqlite::Result<Outcome> {
    Ok(match task {
        Task::Append(entry, _) => Outcome::Appended(statements.append(entry)?),
        Task::Post { run, message, at, .. } => Outcome::Posted(statements.post(*run, message, *at)?),
        Task::Remove { letters, .. } => {
            statements.remove(letters)?;
            Outcome::Removed
        }
        Task::Look | Task::Close { .. } => Outcome::Removed,
    })
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
