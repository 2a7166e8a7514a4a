//! What SQLite's error codes mean for a journal. Decided by code alone, never by the message.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rusqlite::ErrorCode;

use crate::Error;

/// Translates an error of SQLite.
pub(crate) fn explain(path: &Path, error: rusqlite::Error) -> Error {
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
///
/// It is asked without opening the file: closing it again would take away the locks that SQLite has on it elsewhere in
/// this process.
fn cannot_open(path: &Path, error: rusqlite::Error) -> Error {
    match may_write(path) {
        Err(refusal) => Error::io(path, refusal),
        Ok(()) => Error::Io { path: path.to_owned(), source: Arc::new(error) },
    }
}

/// Whether the file may be written, and its neighbours `-wal` and `-shm` created.
#[cfg(unix)]
fn may_write(path: &Path) -> io::Result<()> {
    use rustix::fs::{Access, access};
    access(path, Access::READ_OK | Access::WRITE_OK)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(access(folder, Access::WRITE_OK)?)
}

#[cfg(not(unix))]
fn may_write(path: &Path) -> io::Result<()> {
    match path.metadata()?.permissions().readonly() {
        true => Err(io::ErrorKind::PermissionDenied.into()),
        false => Ok(()),
    }
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
