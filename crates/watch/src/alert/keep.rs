//! What fires and who was told, kept beside the journal.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use midwatch_journal::{Error, beside};
use midwatch_observe::alert::State;

/// The file beside this journal.
pub fn path(journal: &Path) -> PathBuf {
    beside::path(journal, "alerts")
}

/// What the process that watches this journal, or the last one that did, knows.
///
/// # Errors
/// [`Error::Io`], and [`Error::Damaged`] if the file holds something else.
pub fn kept(journal: &Path) -> Result<Option<State>, Error> {
    beside::read(&path(journal))
}

pub(super) fn keep(journal: &Path, state: &State) -> Result<(), Error> {
    beside::write(&path(journal), state)
}

/// The sole right to tell receivers about a journal: two processes that watch would tell everything twice.
pub(super) struct Sole {
    _file: File,
}

impl Sole {
    /// `None` if another process has it.
    pub(super) fn take(journal: &Path) -> Result<Option<Self>, Error> {
        let path = beside::path(journal, "alerts.lock");
        let fail = |error| Error::Io { path: path.clone(), source: std::sync::Arc::new(error) };
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(fail)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(error)) => Err(fail(error)),
        }
    }
}
