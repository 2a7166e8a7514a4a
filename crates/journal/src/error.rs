//! What can go wrong with a journal, each with a code and a page under `docs/errors/`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Trouble with the journal. Never journaled. Cheap to clone: one failed commit concerns many appends.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A newer midwatch wrote the file.
    #[error(
        "[MW0001] journal {path} has format {found}, this midwatch reads up to {known}: use the midwatch that wrote it, or a newer one"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest known format.
        known: u32,
    },
    /// The file is something else.
    #[error("[MW0002] {path} is not a midwatch journal: choose another file with --db")]
    NotAJournal {
        /// The file.
        path: PathBuf,
    },
    /// The file, or an entry in it, is damaged.
    #[error("[MW0003] the journal is damaged: {what}; copy the file aside, then see docs/errors/MW0003.md")]
    Damaged {
        /// What was found.
        what: String,
    },
    /// The file or its folder cannot be written.
    #[error("[MW0004] journal {path} cannot be written: check the permissions of the file and of its folder")]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// The disk is full.
    #[error("[MW0005] the disk of journal {path} is full: free some space and start again, nothing is lost")]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// Another process owns the journal.
    #[error(
        "[MW0006] journal {path} is owned by {owner}: stop that process, or use commands that only read or post"
    )]
    Owned {
        /// The file.
        path: PathBuf,
        /// Who: process id, host and since when.
        owner: String,
    },
    /// The operating system refused.
    #[error("[MW0007] journal {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The refusal.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// An append over the limit.
    #[error("[MW0008] events of {bytes} bytes are over the limit of one append")]
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// The journal was closed, or its writer has stopped after an earlier error.
    #[error("[MW0009] the journal is closed")]
    Closed,
    /// Another writer has written events of these numbers: two engines carry out one run.
    #[error("[MW0010] run {run} already has an event {number}: another process carries it out")]
    Conflict {
        /// The run.
        run: midwatch_workflow::RunId,
        /// The number.
        number: u64,
    },
    /// There is no file.
    #[error("[MW0011] there is no journal {path}: start a run first, or name another file with --db")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The journal is read through a server, which did not give it; the error that is held says why, with a code of its own.
    #[error("{0}")]
    Server(Arc<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// What the operating system refused about the file or its folder.
    pub(crate) fn io(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Error::ReadOnly { path },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::Full { path },
            _ => Error::Io { path, source: Arc::new(error) },
        }
    }

    /// An entry that is no JSON of a known form.
    pub(crate) fn damaged(error: serde_json::Error) -> Self {
        Error::Damaged { what: error.to_string() }
    }

    /// A row whose body is no JSON of a known form.
    pub(crate) fn damaged_row(position: u64, error: &serde_json::Error) -> Self {
        Error::Damaged { what: format!("row {position} of the journal is no list of events: {error}") }
    }

    /// Events of a run that do not follow each other.
    pub(crate) fn gap(run: midwatch_workflow::RunId, expected: u64, found: u64) -> Self {
        Error::Damaged { what: format!("run {run} has event {found} where event {expected} is due") }
    }
}
