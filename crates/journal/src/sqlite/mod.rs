//! The journal in one SQLite file, written by one process and read by any number of them.
//!
//! `docs/journal-format.md` describes the file. Every commit is durable when it is reported (WAL, `synchronous = FULL`);
//! what many runs have to say at the same time shares one commit.

mod append;
mod check;
mod committer;
mod names;
mod open;
mod patience;
mod pending;
mod read;
mod runs;
mod schema;
mod sums;
mod tray;
mod trouble;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use midwatch_workflow::{Event, Message, RunId, Timestamp};
use rusqlite::{Connection, params};

use self::append::Entry;
use self::pending::Pending;
use self::read::Readers;
pub use self::sums::{Sum, SumBy};
pub(crate) use self::trouble::explain;
use self::writer::{Task, Writer};
use crate::{Append, Done, Error, Journal, Letter, Row, RunQuery, RunSummary, Status};

/// How a journal is kept. The defaults were chosen by `benches/append.rs`.
#[derive(Clone, Debug)]
pub struct Options {
    /// The most appends that share one commit.
    pub batch_rows_max: usize,
    /// The most bytes that share one commit, but for the last append.
    pub batch_bytes_max: usize,
    /// How many pages the write-ahead log may reach before it is copied into the file. More pages make the copying
    /// rarer and each pause for it longer, by some 5 ms for every 1,000 pages.
    pub checkpoint_pages: i32,
    /// The most bytes that the file may reach, if it is to be limited: beyond that appends fail with [`Error::Full`].
    pub size_max: Option<u64>,
    /// How long a commit may wait for more appends to share it, while they come in crowds; zero for not at all. Whoever waits
    /// for an append before going on is held up by as much, and a crowd needs far fewer commits. Appends that come one
    /// by one wait for no other, but all are left to the writer's thread.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            batch_rows_max: 2_000,
            batch_bytes_max: 8 << 20,
            checkpoint_pages: 2_000,
            size_max: None,
            patience: Duration::ZERO,
        }
    }
}

/// A journal in a file.
///
/// [`open`](Self::open) is for the process that owns it, [`open_reader`](Self::open_reader) for all others. Dropping it
/// writes what waits; [`close`](Self::close) does so too and says whether that went well.
pub struct SqliteJournal {
    readers: Readers,
    writer: Option<Writer>,
    /// Of a journal without a writer: the connection that posts, opened at the first letter.
    poster: Mutex<Option<Connection>>,
}

impl SqliteJournal {
    /// Opens the journal for writing, and creates it if there is none. Hold a [`Lease`](crate::Lease) on `path`.
    ///
    /// # Errors
    /// [`Error::Newer`], [`Error::NotAJournal`], [`Error::Damaged`], [`Error::ReadOnly`], [`Error::Full`], [`Error::Io`].
    pub fn open(path: impl Into<PathBuf>, options: Options) -> Result<Self, Error> {
        let path = plain(path.into());
        let writer = Writer::start(path.clone(), &options)?;
        let journal = Self { readers: Readers::new(path), writer: Some(writer), poster: Mutex::new(None) };
        journal.readers.check()?;
        Ok(journal)
    }

    /// Opens a journal that another process may own, to read it and to leave messages; [`Journal::append`] is refused.
    ///
    /// # Errors
    /// [`Error::Missing`], and those of [`open`](Self::open).
    pub fn open_reader(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let journal =
            Self { readers: Readers::new(plain(path.into())), writer: None, poster: Mutex::new(None) };
        journal.readers.check()?;
        Ok(journal)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.readers.path()
    }

    /// Which runs have new events after a position in commit order: `(position, run)`, in order, at most `limit` of them.
    /// Cheap: it reads no event.
    ///
    /// # Errors
    /// As [`Journal::since`].
    pub fn changes(&self, after: u64, limit: usize) -> Result<Vec<(u64, RunId)>, Error> {
        self.readers.changes(after, limit)
    }

    /// The last position in commit order; 0 if there is no event.
    ///
    /// # Errors
    /// As [`Journal::since`].
    pub fn position(&self) -> Result<u64, Error> {
        self.readers.position()
    }

    /// Adds up all runs that started at `since` or later, by status and day or workflow. Reads one index from end to end:
    /// some 0.2 s for a million runs.
    ///
    /// # Errors
    /// As [`Journal::runs`].
    pub fn sums(&self, by: SumBy, since: Timestamp) -> Result<Vec<Sum>, Error> {
        self.readers.ask(|connection| sums::add_up(connection, by, since))
    }

    /// How many runs there are of each status.
    ///
    /// # Errors
    /// As [`Journal::runs`].
    pub fn counts(&self) -> Result<Vec<(Status, u64)>, Error> {
        self.readers.ask(sums::counts)
    }

    /// Keeps the names of runs in memory from now on, so that searching a text takes milliseconds however many there are; for
    /// a process that lists runs again and again. Some 50 MB for a million runs; of more than three million none are kept.
    ///
    /// # Errors
    /// As [`Journal::runs`].
    pub fn keep_names(&self) -> Result<(), Error> {
        self.readers.keep_names()
    }

    /// How many letters nobody has taken in yet, and since when the oldest of them waits. Reads none of them.
    ///
    /// # Errors
    /// As [`Journal::letters`].
    pub fn waiting_letters(&self) -> Result<(u64, Option<Timestamp>), Error> {
        self.readers.waiting_letters()
    }

    /// How many runs are open, by workflow and status; of each status at most `limit` are counted.
    ///
    /// # Errors
    /// [`Error::Io`] and those of a file that is no sound journal.
    pub fn open_runs(&self, limit: usize) -> Result<Vec<(String, Status, u64)>, Error> {
        self.readers.open_runs(limit)
    }

    /// Writes what waits, answers it, and closes the file; later appends are answered with [`Error::Closed`].
    ///
    /// # Errors
    /// What the writer failed with, if it did.
    pub fn close(&self) -> Result<(), Error> {
        self.readers.clear();
        self.poster.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.writer.as_ref().map_or(Ok(()), Writer::close)
    }

    /// Hands a task to the writer and waits for the answer.
    fn ask<T>(
        writer: &Writer,
        task: impl FnOnce(std::sync::mpsc::SyncSender<Result<T, Error>>) -> Task,
    ) -> Result<T, Error> {
        let (reply, answer) = sync_channel(1);
        writer.send(task(reply));
        answer.recv().unwrap_or(Err(Error::Closed))
    }

    /// Leaves a letter without owning the journal.
    fn post_from_outside(&self, run: RunId, message: &str, at: Timestamp) -> Result<u64, Error> {
        let mut poster = self.poster.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = match poster.take() {
            Some(connection) => connection,
            None => open::poster(self.path())?,
        };
        // Kept only if it works: one that failed is opened anew by the next letter.
        let values = params![run.as_bytes(), append::column(at.as_micros()), message];
        let letter = connection.query_row(append::INSERT_LETTER, values, |row| row.get(0));
        let letter = letter.map_err(|error| explain(self.path(), error))?;
        *poster = Some(connection);
        Ok(letter)
    }
}

/// The path as one that SQLite takes for a path, and not for a URI with options or a database in memory.
fn plain(path: PathBuf) -> PathBuf {
    let bytes = path.as_os_str().as_encoded_bytes();
    if bytes.starts_with(b"file:") || bytes.starts_with(b":") { Path::new(".").join(path) } else { path }
}

impl Journal for SqliteJournal {
    fn append(&self, append: Append, done: Done) {
        let pending = Pending::new(done);
        match (Entry::new(append), &self.writer) {
            (Ok(entry), Some(writer)) => writer.append(entry, pending),
            (Ok(_), None) => pending.answer(Err(Error::Closed)),
            (Err(error), _) => pending.answer(Err(error)),
        }
    }

    fn events(&self, run: RunId, after: u64) -> Result<Vec<Event>, Error> {
        self.readers.events(run, after)
    }

    fn run(&self, run: RunId) -> Result<Option<RunSummary>, Error> {
        self.readers.run(run)
    }

    fn runs(&self, query: &RunQuery) -> Result<Vec<RunSummary>, Error> {
        self.readers.runs(query)
    }

    fn since(&self, after: u64, limit: usize) -> Result<Vec<Row>, Error> {
        self.readers.since(after, limit)
    }

    fn post(&self, run: RunId, message: &Message, at: Timestamp) -> Result<u64, Error> {
        let message = serde_json::to_string(message).map_err(Error::damaged)?;
        match &self.writer {
            Some(writer) => Self::ask(writer, |reply| Task::Post { run, message, at, reply }),
            None => self.post_from_outside(run, &message, at),
        }
    }

    fn letters(&self, answered: &[u64], limit: usize) -> Result<Vec<Letter>, Error> {
        if !answered.is_empty() {
            let letters = answered.to_vec();
            let writer = self.writer.as_ref().ok_or(Error::Closed)?;
            Self::ask(writer, |reply| Task::Remove { letters, reply })?;
        }
        self.readers.letters(limit)
    }
}

impl Drop for SqliteJournal {
    fn drop(&mut self) {
        // Nobody is left to hear what went wrong; everything that was reported as written is.
        let _ = self.close();
    }
}
