//! What can go wrong while a run is recorded.

use midwatch_workflow::RunId;

/// Why something is not recorded. Whoever gets it must not make the call: it would not be in the books.
#[derive(Clone, Debug)]
pub enum Error {
    /// The journal.
    Journal(midwatch_journal::Error),
    /// The spool beside the journal cannot be written.
    Spool(std::sync::Arc<std::io::Error>),
    /// A run of this workflow and workflow id is there already, and an engine carries it out.
    NotRecorded(RunId),
    /// The journal is so far behind that no more is taken.
    Behind,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::Journal(error) => error.fmt(f),
            Error::Spool(error) => write!(f, "the spool beside the journal cannot be written: {error}"),
            Error::NotRecorded(run) => {
                write!(f, "run {run} is carried out by an engine: record under another workflow name")
            }
            Error::Behind => {
                f.write_str("the journal is too far behind: nothing more is taken until it is written")
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Journal(error) => Some(error),
            Error::Spool(error) => Some(error.as_ref()),
            Error::NotRecorded(_) | Error::Behind => None,
        }
    }
}

impl From<midwatch_journal::Error> for Error {
    fn from(error: midwatch_journal::Error) -> Self {
        Error::Journal(error)
    }
}
