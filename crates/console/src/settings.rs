//! How a console is set up.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use midwatch_workflow::Timestamp;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How a console is set up. The default is for the reader on this very machine.
#[derive(Clone)]
pub struct Settings {
    /// Who may do what.
    pub access: Access,
    /// Who is named in the journal where nobody logs in.
    pub by: String,
    /// Where a run's trace is, with `{trace_id}` in it, e.g. `http://localhost:16686/trace/{trace_id}`.
    pub trace_url: Option<String>,
    /// Names of JSON fields whose values are hidden, beside those that always are.
    pub redact: Vec<String>,
    /// Tells the time that ages are counted to.
    pub clock: Clock,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            access: Access::default(),
            by: "console".to_owned(),
            trace_url: None,
            redact: Vec::new(),
            clock: Arc::new(system_clock),
        }
    }
}

/// Who may do what.
#[derive(Clone, Default)]
pub struct Access {
    /// What has to be known to see anything. Without one, everybody who reaches the address may see everything, so only
    /// addresses of this machine are served.
    pub token: Option<String>,
    /// Whether nobody may steer runs.
    pub is_read_only: bool,
    /// Names under which the console may be asked for, beside `localhost` and addresses: a name that somebody else points
    /// at this machine is none of them.
    pub hosts: Vec<String>,
}

impl Access {
    /// The shortest token that is taken, in characters.
    pub const TOKEN_CHARS_MIN: usize = 16;

    /// Whether this address may be served.
    ///
    /// # Errors
    /// [`OpenError::Unprotected`] and [`OpenError::WeakToken`].
    pub fn check(&self, address: SocketAddr) -> Result<(), OpenError> {
        match &self.token {
            None if !address.ip().is_loopback() => Err(OpenError::Unprotected(address)),
            Some(token) if token.chars().count() < Self::TOKEN_CHARS_MIN => Err(OpenError::WeakToken),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.token.as_ref().map(|_| "…");
        f.debug_struct("Access").field("token", &token).field("is_read_only", &self.is_read_only).finish()
    }
}

/// Why a console cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] midwatch_journal::Error),
    /// Others could reach it, and it asks for no token.
    #[error("{0} can be reached from other machines: set a token, or listen on 127.0.0.1")]
    Unprotected(SocketAddr),
    /// The token could be guessed.
    #[error(
        "the token is shorter than {} characters: take a longer one, e.g. from `openssl rand -hex 24`",
        Access::TOKEN_CHARS_MIN
    )]
    WeakToken,
    /// The system gave no randomness.
    #[error("the system gives no random numbers")]
    NoRandomness,
    /// The address, or the network.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

fn system_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}
