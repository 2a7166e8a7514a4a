//! How far a journal has been sent, in a file beside it.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The place up to which everything was taken by the collector. Held by one follower at a time.
#[derive(Debug)]
pub struct Cursor {
    path: PathBuf,
    position: u64,
    is_new: bool,
    /// Who has it may move the cursor; the lock ends with the process.
    _lock: File,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    position: u64,
}

/// Why a cursor cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CursorError {
    /// Another follower has it.
    #[error("{} is held by another follower: stop that one, or give this one a cursor of its own", .0.display())]
    Held(PathBuf),
    /// It cannot be read or written.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// It says nothing that can be understood.
    #[error("{} is damaged: remove it, and following begins anew", .0.display())]
    Damaged(PathBuf),
}

impl Cursor {
    /// The usual file: that of the journal with `.traces` behind its name.
    pub fn beside(journal: &Path) -> PathBuf {
        with(journal, ".traces")
    }

    /// Takes a cursor; a new one stands at 0.
    ///
    /// # Errors
    /// [`CursorError`].
    pub fn take(path: impl Into<PathBuf>) -> Result<Self, CursorError> {
        let path = path.into();
        let fail = |path: &Path, error| CursorError::Io { path: path.to_owned(), error };
        let lock_path = with(&path, ".lock");
        let mut options = OpenOptions::new();
        let lock = options.write(true).create(true).truncate(false).open(&lock_path);
        let lock = lock.map_err(|error| fail(&lock_path, error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(CursorError::Held(path)),
            Err(TryLockError::Error(error)) => return Err(fail(&lock_path, error)),
        }
        let (position, is_new) = match std::fs::read(&path) {
            Ok(text) => match serde_json::from_slice::<Kept>(&text) {
                Ok(kept) => (kept.position, false),
                Err(_) => return Err(CursorError::Damaged(path)),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => (0, true),
            Err(error) => return Err(fail(&path, error)),
        };
        Ok(Self { path, position, is_new, _lock: lock })
    }

    /// Where it stands: a position in commit order.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Whether there was none before.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Moves it, durably and as a whole.
    ///
    /// # Errors
    /// [`CursorError::Io`]; then it stands where it stood.
    pub fn move_to(&mut self, position: u64) -> Result<(), CursorError> {
        let new = with(&self.path, ".new");
        let write = || {
            let mut file = File::create(&new)?;
            file.write_all(serde_json::to_string(&Kept { position })?.as_bytes())?;
            file.sync_data()?;
            std::fs::rename(&new, &self.path)
        };
        write().map_err(|error| CursorError::Io { path: self.path.clone(), error })?;
        self.position = position;
        Ok(())
    }
}

fn with(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_found_where_it_was_left_and_held_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = Cursor::beside(&folder.path().join("midwatch.db"));
        let mut cursor = Cursor::take(&path).unwrap();
        assert!(cursor.is_new());
        cursor.move_to(42).unwrap();
        assert!(matches!(Cursor::take(&path), Err(CursorError::Held(_))));
        drop(cursor);
        let cursor = Cursor::take(&path).unwrap();
        assert_eq!((cursor.position(), cursor.is_new()), (42, false));
        drop(cursor);
        std::fs::write(&path, "{\"pos").unwrap();
        assert!(matches!(Cursor::take(&path), Err(CursorError::Damaged(_))));
    }
}
