//! What goes wrong between here and a server, each with a code, a page under `docs/errors/` and what to do.

use std::sync::Arc;

use crate::error::Exit;

/// Why a server did not give what was asked for. Holds no token.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ServerError {
    /// Nobody answered, or not to the end.
    #[error("[MW0301] the server at {server} was not reached: {why}")]
    Unreached {
        /// Where.
        server: String,
        /// Why.
        why: String,
    },
    /// Something else is there.
    #[error("[MW0302] what answers at {server} is no midwatch server: {why}")]
    Stranger {
        /// Where.
        server: String,
        /// How that is known.
        why: String,
    },
    /// It speaks otherwise.
    #[error(
        "[MW0303] the server at {server} is {theirs}, which this midwatch {} does not understand: {why}",
        env!("CARGO_PKG_VERSION")
    )]
    Version {
        /// Where.
        server: String,
        /// What it says it is.
        theirs: String,
        /// What is not understood.
        why: String,
    },
    /// It wants a token, or another one.
    #[error("[MW0304] the server at {server} {}", if *.is_given { "does not take this token" } else { "wants a token" })]
    Token {
        /// Where.
        server: String,
        /// Whether one was given.
        is_given: bool,
    },
    /// It does not do that for us.
    #[error("[MW0305] the server at {server} refuses: {says}")]
    Refused {
        /// Where.
        server: String,
        /// What it says.
        says: String,
        /// Whether an order was refused.
        is_order: bool,
    },
    /// It cannot.
    #[error("[MW0306] the server at {server} could not answer: {says}")]
    Failed {
        /// Where.
        server: String,
        /// What it says.
        says: String,
    },
}

impl ServerError {
    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Refused { is_order: true, .. } => Exit::Refused,
            _ => Exit::Journal,
        }
    }

    /// What to do next, a line each.
    pub(crate) fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Unreached { .. } => {
                "check the address, and that `midwatch serve` runs there; a console that listens on its own machine alone is reached by a tunnel: ssh -L 7070:127.0.0.1:7070 HOST"
            }
            Self::Stranger { .. } => {
                "give the address that `midwatch serve` prints, or that of the proxy before it"
            }
            Self::Version { .. } => "use a midwatch of the server's version",
            Self::Token { .. } => {
                "name a file whose first line is the token: --token-file FILE; or put it into MIDWATCH_TOKEN"
            }
            Self::Refused { is_order: true, .. } => {
                "ask whoever runs the server, or give the order on its machine"
            }
            Self::Refused { .. } | Self::Failed { .. } => {
                "look at what the server says on its machine: midwatch doctor"
            }
        };
        vec![hint.to_owned()]
    }
}

impl From<ServerError> for midwatch_journal::Error {
    fn from(error: ServerError) -> Self {
        Self::Server(Arc::new(error))
    }
}
