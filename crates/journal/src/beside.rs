//! Small files beside a journal: not part of the record, replaced as a whole, readable by anybody.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;

/// The file of this suffix beside a journal, e.g. `midwatch.db.gates`.
pub fn path(journal: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(journal);
    name.push(".");
    name.push(suffix);
    name.into()
}

/// Reads such a file; `None` if there is none.
///
/// # Errors
/// [`Error::Io`], and [`Error::Damaged`] if it does not hold a `T`.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    match std::fs::read(path) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| Error::Damaged { what: format!("{}: {error}", path.display()) }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(path, error)),
    }
}

/// Puts such a file in place of what was there, wholly or not at all. Not durable: what it says can be found out again.
///
/// # Errors
/// [`Error::Io`].
pub fn write(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let mut new = OsString::from(path);
    new.push(".new");
    let text = serde_json::to_vec(value).map_err(Error::damaged)?;
    let written = std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, path));
    written.map_err(|error| Error::io(path, error))
}
