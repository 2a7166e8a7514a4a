//! Who is told, and where.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use midwatch_observe::alert::Audience;

/// Who is told.
#[derive(Clone, PartialEq, Debug)]
pub struct Receiver {
    /// What it wants to hear.
    pub audience: Audience,
    /// The way to it.
    pub route: Route,
    /// How long it may take for an answer.
    pub timeout: Duration,
}

/// The way to a receiver.
#[derive(Clone, PartialEq, Debug)]
pub enum Route {
    /// A POST of JSON.
    Webhook(Secret),
    /// Alertmanager's API v2; the address without `/api/v2/alerts`.
    Alertmanager(Secret),
    /// A POST of `{"text"}`.
    Slack(Secret),
    /// A program and its arguments, with JSON on its stdin.
    Command(Vec<String>),
}

impl Route {
    /// The word for it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Route::Webhook(_) => "webhook",
            Route::Alertmanager(_) => "alertmanager",
            Route::Slack(_) => "slack",
            Route::Command(_) => "command",
        }
    }
}

/// Where an address comes from. It is read anew for every message, so that it can be changed while the watch runs.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// From the file of rules.
    Here(String),
    /// From an environment variable.
    Variable(String),
    /// From a file.
    File(PathBuf),
}

impl Secret {
    /// The address.
    ///
    /// # Errors
    /// Where it should have come from, never what was there.
    pub(super) fn read(&self) -> Result<reqwest::Url, String> {
        let text = match self {
            Secret::Here(text) => text.clone(),
            Secret::Variable(name) => std::env::var(name).map_err(|_| {
                format!("the environment variable {name}, which should hold the address, is not set")
            })?,
            Secret::File(path) => std::fs::read_to_string(path).map_err(|error| {
                format!("the file {}, which should hold the address: {error}", path.display())
            })?,
        };
        reqwest::Url::parse(text.trim()).map_err(|_| format!("{self:?} holds no http:// or https:// address"))
    }
}

/// Where it comes from, and nothing of what it is.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Secret::Here(_) => f.write_str("url"),
            Secret::Variable(name) => write!(f, "url_env {name}"),
            Secret::File(path) => write!(f, "url_file {}", path.display()),
        }
    }
}
