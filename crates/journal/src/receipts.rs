//! Receipts: what a receiver answered under which idempotency key, so that a repeat gets the same answer.
//!
//! A file of its own beside the journal, owned by one process. A key is taken durably before its request is carried out,
//! and its answer is kept durably before it is sent.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use midwatch_workflow::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};

use crate::sqlite::explain;
use crate::{Error, Lease};

/// How many expired receipts are removed when a new one is taken, so that the file does not grow for ever.
const EXPIRED_AT_ONCE: usize = 100;

const IN_PROGRESS: u8 = 1;
const DONE: u8 = 2;
const UNKNOWN: u8 = 3;

/// A store of receipts in a SQLite file.
pub struct Receipts {
    path: PathBuf,
    connection: Mutex<Connection>,
    lifetime: Duration,
    _lease: Lease,
}

/// An HTTP answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Names and values of the headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    #[serde(skip)]
    pub body: Vec<u8>,
}

/// What is known of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Begun {
    /// Nothing: the request is this caller's to carry out.
    New,
    /// Another request under the key is being carried out.
    InProgress,
    /// It was carried out, with this answer; `None` if the answer was too large to keep.
    Done(Option<Answer>),
    /// The key stands for another request.
    Other,
    /// The process died while it carried the request out: whether that had its effect is not known.
    Unknown,
}

impl Receipts {
    /// Opens a store, and makes it if there is none. A receipt is kept for `lifetime` from its request on.
    ///
    /// # Errors
    /// Those of opening a journal; [`Error::Owned`] if another process has it.
    pub fn open(path: impl Into<PathBuf>, lifetime: Duration) -> Result<Self, Error> {
        let path = path.into();
        let lease = Lease::acquire(&path)?;
        let connection = connect(&path).map_err(|error| explain(&path, error))?;
        Ok(Self { path, connection: Mutex::new(connection), lifetime, _lease: lease })
    }

    /// Takes a key for a request of this fingerprint, durably, or says what is known of it.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub fn begin(&self, key: &str, fingerprint: [u8; 16], now: Timestamp) -> Result<Begun, Error> {
        let expired =
            now.as_micros().saturating_sub(u64::try_from(self.lifetime.as_micros()).unwrap_or(u64::MAX));
        self.with(|connection| {
            let transaction = connection.transaction()?;
            remove_expired(&transaction, expired)?;
            let known = find(&transaction, key, fingerprint, expired)?;
            if known == Begun::New {
                transaction
                    .prepare_cached("INSERT OR REPLACE INTO receipt VALUES (?1, ?2, ?3, ?4, NULL, NULL)")?
                    .execute(params![key, fingerprint, now.as_micros(), IN_PROGRESS])?;
            }
            transaction.commit()?;
            Ok(known)
        })
    }

    /// Keeps the answer to a request, durably; `None` if it is too large to keep.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn complete(&self, key: &str, answer: Option<&Answer>) -> Result<(), Error> {
        let head = answer.map(serde_json::to_string).transpose().map_err(Error::damaged)?;
        let body = answer.map(|answer| answer.body.as_slice());
        self.with(|connection| {
            connection
                .prepare_cached("UPDATE receipt SET state = ?2, head = ?3, body = ?4 WHERE key = ?1")?
                .execute(params![key, DONE, head, body])
                .map(drop)
        })
    }

    /// Gives a key back: its request was certainly not carried out.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn forget(&self, key: &str) -> Result<(), Error> {
        self.with(|connection| {
            connection.prepare_cached("DELETE FROM receipt WHERE key = ?1")?.execute([key]).map(drop)
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Result<T, Error> {
        let mut connection: MutexGuard<'_, Connection> =
            self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut connection).map_err(|error| explain(&self.path, error))
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS receipt (
            key TEXT PRIMARY KEY,
            fingerprint BLOB NOT NULL,
            at INTEGER NOT NULL,
            state INTEGER NOT NULL,
            head TEXT,
            body BLOB
        ) STRICT;
        CREATE INDEX IF NOT EXISTS receipt_by_age ON receipt (at);",
    )?;
    // Whatever is in progress now was so in a process that is gone.
    connection.execute("UPDATE receipt SET state = ?1 WHERE state = ?2", [UNKNOWN, IN_PROGRESS])?;
    Ok(connection)
}

fn remove_expired(connection: &Connection, expired: u64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM receipt WHERE key IN (SELECT key FROM receipt WHERE at < ?1 AND state <> ?2 LIMIT ?3)")?
        .execute(params![expired, IN_PROGRESS, EXPIRED_AT_ONCE])
        .map(drop)
}

fn find(connection: &Connection, key: &str, fingerprint: [u8; 16], expired: u64) -> rusqlite::Result<Begun> {
    let found = connection
        .prepare_cached("SELECT fingerprint, at, state, head, body FROM receipt WHERE key = ?1")?
        .query_row([key], |row| {
            let fingerprint: [u8; 16] = row.get(0)?;
            let (at, state): (u64, u8) = (row.get(1)?, row.get(2)?);
            let (head, body): (Option<String>, Option<Vec<u8>>) = (row.get(3)?, row.get(4)?);
            Ok((fingerprint, at, state, head, body))
        })
        .optional()?;
    Ok(match found {
        None => Begun::New,
        Some((_, at, state, _, _)) if at < expired && state != IN_PROGRESS => Begun::New,
        Some((other, ..)) if other != fingerprint => Begun::Other,
        Some((_, _, IN_PROGRESS, _, _)) => Begun::InProgress,
        Some((_, _, UNKNOWN, _, _)) => Begun::Unknown,
        Some((_, _, _, head, body)) => Begun::Done(head.and_then(|head| answer(&head, body))),
    })
}

fn answer(head: &str, body: Option<Vec<u8>>) -> Option<Answer> {
    let answer: Answer = serde_json::from_str(head).ok()?;
    Some(Answer { body: body.unwrap_or_default(), ..answer })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);
    const NOW: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);

    fn done() -> Answer {
        Answer {
            status: 201,
            headers: vec![("content-type".into(), "text/plain".into())],
            body: b"ok".to_vec(),
        }
    }

    #[test]
    fn a_key_is_taken_once_and_answered_the_same_ever_after() {
        let folder = tempfile::tempdir().unwrap();
        let receipts = Receipts::open(folder.path().join("receipts.db"), DAY).unwrap();
        assert_eq!(receipts.begin("k", [1; 16], NOW).unwrap(), Begun::New);
        assert_eq!(receipts.begin("k", [1; 16], NOW).unwrap(), Begun::InProgress);
        assert_eq!(receipts.begin("k", [2; 16], NOW).unwrap(), Begun::Other);
        receipts.complete("k", Some(&done())).unwrap();
        assert_eq!(receipts.begin("k", [1; 16], NOW).unwrap(), Begun::Done(Some(done())));
    }

    #[test]
    fn what_was_in_progress_when_the_process_died_is_unknown_to_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("receipts.db");
        let receipts = Receipts::open(&path, DAY).unwrap();
        assert_eq!(receipts.begin("k", [1; 16], NOW).unwrap(), Begun::New);
        drop(receipts);
        let receipts = Receipts::open(&path, DAY).unwrap();
        assert_eq!(receipts.begin("k", [1; 16], NOW).unwrap(), Begun::Unknown);
        receipts.forget("k").unwrap();
        assert_eq!(receipts.begin("k", [1; 16], NOW).unwrap(), Begun::New);
    }

    #[test]
    fn a_receipt_past_its_lifetime_is_no_longer_known() {
        let folder = tempfile::tempdir().unwrap();
        let receipts = Receipts::open(folder.path().join("receipts.db"), DAY).unwrap();
        assert_eq!(receipts.begin("k", [1; 16], NOW).unwrap(), Begun::New);
        receipts.complete("k", None).unwrap();
        assert_eq!(receipts.begin("k", [1; 16], NOW + DAY).unwrap(), Begun::Done(None));
        let later = NOW + DAY + Duration::from_micros(1);
        assert_eq!(receipts.begin("k", [2; 16], later).unwrap(), Begun::New);
    }
}
