//! How a command ends: documented exit codes, and errors that say what to do next.

use std::io;
use std::process::ExitCode;

use midwatch_workflow::RunId;

use crate::config::Global;
use crate::output;
use crate::server::ServerError;

/// How a command ends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// What was asked for failed.
    Failed = 1,
    /// The command line is not right.
    Usage = 2,
    /// There is no such run.
    NotFound = 3,
    /// The journal, or the server that shows it, is unavailable.
    Journal = 4,
    /// The run cannot do that in its state.
    Refused = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Trouble that the command line itself finds.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Nothing has that name.
    #[error("[MW0101] there is no run `{asked}` in {place}")]
    NotFound {
        /// What was asked for.
        asked: String,
        /// In which journal.
        place: String,
    },
    /// Several runs have that name.
    #[error("[MW0201] `{asked}` names more than one run")]
    Ambiguous {
        /// What was asked for.
        asked: String,
        /// Which they are, a line each.
        candidates: Vec<String>,
    },
    /// The run cannot do that.
    #[error("[MW0104] run {} {why}", .run.short())]
    Refused {
        /// The run.
        run: RunId,
        /// Why.
        why: String,
        /// What to do instead.
        instead: Option<String>,
    },
    /// The command line is not right.
    #[error("[MW0202] {what}")]
    Usage {
        /// What is not right.
        what: String,
        /// What to do instead.
        instead: Option<String>,
    },
}

impl Error {
    /// A command line that is not right.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Error::Usage { what: what.into(), instead: None }
    }

    fn exit(&self) -> Exit {
        match self {
            Error::NotFound { .. } => Exit::NotFound,
            Error::Ambiguous { .. } | Error::Usage { .. } => Exit::Usage,
            Error::Refused { .. } => Exit::Refused,
        }
    }

    /// What to do next, a line each.
    pub(crate) fn hints(&self) -> Vec<String> {
        match self {
            Error::NotFound { .. } => vec!["list what there is: midwatch ls".to_owned()],
            Error::Ambiguous { candidates, .. } => {
                let mut hints = vec!["name one of them:".to_owned()];
                hints.extend(candidates.iter().map(|candidate| format!("  {candidate}")));
                hints
            }
            Error::Refused { instead, .. } | Error::Usage { instead, .. } => {
                instead.iter().cloned().collect()
            }
        }
    }
}

/// Prints an error to stderr and gives the exit code for it.
pub(crate) fn report(error: &anyhow::Error, global: &Global) -> Exit {
    // Whoever reads our output has seen enough: `midwatch ls | head`.
    if error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    }) {
        return Exit::Done;
    }
    let own = error.downcast_ref::<Error>();
    let server = server(error);
    let exit = match own {
        Some(own) => own.exit(),
        None if server.is_some() => server.map_or(Exit::Failed, ServerError::exit),
        None if error.downcast_ref::<midwatch_journal::Error>().is_some() => Exit::Journal,
        None => Exit::Failed,
    };
    let hints = own.map(Error::hints).or_else(|| server.map(ServerError::hints)).unwrap_or_default();
    output::report(&error_text(error), &hints, exit, global);
    exit
}

/// What a server did not give, whether it was asked or stands for a journal.
pub(crate) fn server(error: &anyhow::Error) -> Option<&ServerError> {
    error.downcast_ref::<ServerError>().or_else(|| match error.downcast_ref::<midwatch_journal::Error>() {
        Some(midwatch_journal::Error::Server(error)) => error.downcast_ref(),
        _ => None,
    })
}

/// The message with its causes, those that it repeats left out.
pub(crate) fn error_text(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}
