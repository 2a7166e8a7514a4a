//! Connections: how each kind is opened and set up, and what is refused.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::Options;
use super::append::Statements;
use super::schema::{FORMAT, Found, inspect, migrate};
use super::trouble::explain;
use crate::Error;

/// How long a connection waits for another process that writes.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it looks. Short, because the owner leaves the file free for moments only when it is busy.
const GLANCE: Duration = Duration::from_micros(250);

/// Of a new file. Larger pages cost a lone commit more than they spare a shared one: it writes whole pages.
const PAGE_BYTES: u32 = 4_096;
/// The most that the writer keeps of the file in memory.
const WRITER_CACHE_KIB: i64 = 16_384;
/// The most that each reading connection keeps.
const READER_CACHE_KIB: i64 = 4_096;

/// The owner's connection: creates the file if there is none, and brings it to the newest format.
///
/// It waits for other processes that write as long as `is_patient` says so.
pub(super) fn writer(
    path: &Path,
    options: &Options,
    is_patient: Arc<AtomicBool>,
) -> Result<Connection, Error> {
    let fail = |error| explain(path, error);
    // Created here and not by SQLite, which does not say why it cannot.
    match File::create_new(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(Error::io(path, error)),
        _ => {}
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(fail)?;
    // SQLite opens a file without write permission for reading only, and says so at the first write.
    if connection.is_readonly("main").map_err(fail)? {
        return Err(Error::ReadOnly { path: path.to_owned() });
    }
    be_patient_while(is_patient, &mut connection, path)?;
    connection.set_prepared_statement_cache_capacity(Statements::COUNT_MAX);
    let found = inspect(&connection, path)?;
    if found == Found::Empty {
        set(&connection, path, "page_size", PAGE_BYTES)?;
    }
    durable(&connection, path)?;
    set(&connection, path, "cache_size", -WRITER_CACHE_KIB)?;
    if found != Found::Format(FORMAT) {
        migrate(&mut connection, path)?;
    }
    if let Some(bytes) = options.size_max {
        set(
            &connection,
            path,
            "max_page_count",
            i64::try_from(bytes / u64::from(PAGE_BYTES)).unwrap_or(i64::MAX),
        )?;
    }
    Ok(connection)
}

/// A connection that only reads, for lists and histories.
pub(super) fn reader(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = existing(path, flags)?;
    be_patient(&mut connection, path)?;
    set(&connection, path, "cache_size", -READER_CACHE_KIB)?;
    Ok(connection)
}

/// A connection of a process that does not own the journal and leaves messages in it.
pub(super) fn poster(path: &Path) -> Result<Connection, Error> {
    let mut connection = existing(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    if connection.is_readonly("main").map_err(|error| explain(path, error))? {
        return Err(Error::ReadOnly { path: path.to_owned() });
    }
    be_patient(&mut connection, path)?;
    check_existing(&connection, path)?;
    durable(&connection, path)?;
    // Checkpoints are the owner's business; this connection writes a few rows and goes.
    set(&connection, path, "wal_autocheckpoint", 0)?;
    Ok(connection)
}

/// Refuses what is no journal of a known format.
pub(super) fn check_existing(connection: &Connection, path: &Path) -> Result<(), Error> {
    match inspect(connection, path)? {
        Found::Format(_) => Ok(()),
        Found::Empty => Err(Error::Missing { path: path.to_owned() }),
    }
}

fn existing(path: &Path, flags: OpenFlags) -> Result<Connection, Error> {
    match path.try_exists() {
        Ok(true) => Connection::open_with_flags(path, flags).map_err(|error| explain(path, error)),
        Ok(false) => Err(Error::Missing { path: path.to_owned() }),
        Err(error) => Err(Error::io(path, error)),
    }
}

/// Makes every commit durable, and makes sure of it: SQLite ignores settings that it cannot follow.
fn durable(connection: &Connection, path: &Path) -> Result<(), Error> {
    let fail = |error| explain(path, error);
    let mode: String =
        connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(fail)?;
    set(connection, path, "synchronous", "FULL")?;
    let level: i64 = connection.query_row("PRAGMA synchronous", [], |row| row.get(0)).map_err(fail)?;
    if mode == "wal" && level == 2 {
        return Ok(());
    }
    let what = format!("no durable commits here: journal_mode is {mode}, synchronous is {level}");
    Err(Error::io(path, io::Error::new(io::ErrorKind::Unsupported, what)))
}

fn be_patient(connection: &mut Connection, path: &Path) -> Result<(), Error> {
    be_patient_while(Arc::new(AtomicBool::new(true)), connection, path)
}

fn be_patient_while(
    is_patient: Arc<AtomicBool>,
    connection: &mut Connection,
    path: &Path,
) -> Result<(), Error> {
    let glances = PATIENCE.as_micros() / GLANCE.as_micros();
    let wait = move |glance: i32| {
        if !is_patient.load(Ordering::Relaxed) {
            return false;
        }
        thread::sleep(GLANCE);
        u128::from(glance.unsigned_abs()) < glances
    };
    connection.busy_handler(Some(wait)).map_err(|error| explain(path, error))
}

fn set(connection: &Connection, path: &Path, name: &str, value: impl rusqlite::ToSql) -> Result<(), Error> {
    connection.pragma_update(None, name, value).map_err(|error| explain(path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_whose_commits_cannot_be_made_durable_is_refused() {
        let connection = Connection::open_in_memory().unwrap();
        let refused = durable(&connection, Path::new("journal.db")).unwrap_err();
        assert!(matches!(refused, Error::Io { .. }));
        assert!(refused.to_string().contains("journal_mode is memory"), "{refused}");
    }

    #[test]
    fn the_owner_commits_with_full_durability() {
        let folder = tempfile::tempdir().unwrap();
        let writer = writer(&folder.path().join("journal.db"), &Options::default(), Arc::default()).unwrap();
        let ask = |sql| writer.query_row(sql, [], |row| row.get::<_, rusqlite::types::Value>(0)).unwrap();
        assert_eq!(ask("PRAGMA journal_mode"), "wal".to_owned().into());
        assert_eq!(ask("PRAGMA synchronous"), 2.into());
    }
}
