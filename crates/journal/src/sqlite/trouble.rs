//! What SQLite's error codes mean for a journal. Decided by code alone, never by the message.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rusqlite::ErrorCode;

use crate::Error;

/// Translates an error of SQLite.
pub(super) fn explain(path: &Path, error: rusqlite::Error) -> Error {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Error::Full { path },
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Error::ReadOnly { path },
        Some(ErrorCode::NotADatabase) => Error::NotAJournal { path },
        Some(ErrorCode::DatabaseCorrupt) => Error::Damaged { what: format!("{}: {error}", path.display()) },
        Some(ErrorCode::CannotOpen) => cannot_open(&path, error),
        None if is_wrong_value(&error) => Error::Damaged { what: format!("{}: {error}", path.display()) },
        _ => Error::Io { path, source: Arc::new(error) },
    }
}

/// Whether it is worth trying again: somebody else writes at this moment.
pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// SQLite does not say why it cannot open a file; the operating system does.
fn cannot_open(path: &Path, error: rusqlite::Error) -> Error {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).map(drop);
    // If the file itself is fine, it is its neighbours, `-wal` and `-shm`, that cannot be made.
    match file.and_then(|()| can_create_beside(path)) {
        Err(refusal) => Error::io(path, refusal),
        Ok(()) => Error::Io { path: path.to_owned(), source: Arc::new(error) },
    }
}

fn can_create_beside(path: &Path) -> io::Result<()> {
    let mut probe = path.to_owned();
    probe.as_mut_os_string().push(format!("-probe-{}", std::process::id()));
    File::create_new(&probe)?;
    std::fs::remove_file(probe)
}

/// A value of a type that this column never has.
fn is_wrong_value(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::Utf8Error(..)
    )
}
