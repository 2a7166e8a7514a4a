//! The journal file of an engine, and the right to write it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use std::time::Duration;

use midwatch_journal::spool::SpooledJournal;
use midwatch_journal::sqlite::{Options, SqliteJournal};
use midwatch_journal::{Error, Journal, Lease};

/// A journal file that this process owns.
pub(crate) struct JournalFile {
    pub(crate) journal: Arc<SqliteJournal>,
    /// What the journal is behind, if the truth of its runs is elsewhere.
    spool: Option<Arc<SpooledJournal>>,
    _lease: Lease,
}

impl JournalFile {
    /// Takes a journal file, which is made if it is not there; behind a spool, if its commits may wait so long for company.
    pub(crate) async fn open(path: PathBuf, patience: Option<Duration>) -> Result<Self, Error> {
        let opened = tokio::task::spawn_blocking(move || Self::open_now(&path, patience)).await;
        opened.unwrap_or(Err(Error::Closed))
    }

    fn open_now(path: &Path, patience: Option<Duration>) -> Result<Self, Error> {
        let lease = Lease::acquire(path)?;
        let options = Options { patience: patience.unwrap_or_default(), ..Options::default() };
        let journal = Arc::new(SqliteJournal::open(path, options)?);
        let spooled = || SpooledJournal::over(Arc::clone(&journal) as _, path).map(Arc::new);
        let spool = patience.map(|_| spooled()).transpose()?;
        Ok(Self { journal, spool, _lease: lease })
    }

    /// Where an engine records.
    pub(crate) fn record(&self) -> Arc<dyn Journal> {
        match &self.spool {
            Some(spool) => Arc::clone(spool) as _,
            None => Arc::clone(&self.journal) as _,
        }
    }

    /// Writes what is left and closes the file.
    pub(crate) async fn close(&self) {
        let (journal, spool) = (Arc::clone(&self.journal), self.spool.clone());
        let closed = tokio::task::spawn_blocking(move || {
            journal.close()?;
            spool.map_or(Ok(()), |spool| spool.clear())
        });
        if let Ok(Err(error)) = closed.await {
            tracing::warn!(%error, "journal could not be closed cleanly; the next start recovers it");
        }
    }
}
