//! The journal file of an engine, and the right to write it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use midwatch_journal::sqlite::{Options, SqliteJournal};
use midwatch_journal::{Error, Lease};

/// A journal file that this process owns.
pub(crate) struct JournalFile {
    pub(crate) journal: Arc<SqliteJournal>,
    _lease: Lease,
}

impl JournalFile {
    /// Takes a journal file, which is made if it is not there.
    pub(crate) async fn open(path: PathBuf, options: Options) -> Result<Self, Error> {
        let opened = tokio::task::spawn_blocking(move || Self::open_now(&path, options)).await;
        opened.unwrap_or(Err(Error::Closed))
    }

    fn open_now(path: &Path, options: Options) -> Result<Self, Error> {
        let lease = Lease::acquire(path)?;
        let journal = Arc::new(SqliteJournal::open(path, options)?);
        Ok(Self { journal, _lease: lease })
    }

    /// Writes what is left and closes the file.
    pub(crate) async fn close(&self) {
        let journal = Arc::clone(&self.journal);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || journal.close()).await {
            tracing::warn!(%error, "journal could not be closed cleanly; the next start recovers it");
        }
    }
}
