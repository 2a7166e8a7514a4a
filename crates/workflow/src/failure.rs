//! Why an attempt failed: data that is journaled, and from which every retry decision is made.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::millis_option;
use crate::{Charge, OnReached};

/// What kind of failure it was; the retry policy goes by this and by nothing else.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The target asks for fewer requests (HTTP 429).
    RateLimited,
    /// The target has no capacity for anybody now (503, 529).
    Overloaded,
    /// No answer within the time allowed.
    Timeout,
    /// No sign of progress within the heartbeat or stream limit.
    Stalled,
    /// The connection failed or broke.
    Connection,
    /// The target failed (500, 502).
    Server,
    /// The process that ran the attempt died.
    Lost,
    /// Nothing more is known.
    Unknown,
    /// The prompt is longer than the model takes.
    ContextOverflow,
    /// The target refuses the request as it is (400, 422), or it could not even be made.
    InvalidRequest,
    /// The credentials are not valid (401).
    Authentication,
    /// The credentials do not allow this (403).
    Permission,
    /// There is no such thing (404).
    NotFound,
    /// Paid-for quota is used up: a 429 that no wait cures.
    QuotaExhausted,
    /// The content filter of the target refused.
    ContentFiltered,
    /// The receiver replays an old error for our idempotency key.
    ReplayedFailure,
    /// A budget is used up.
    Budget,
    /// The run was cancelled.
    Cancelled,
    /// The code is wrong: it panicked, or its types are not those of the journal.
    Bug,
}

impl Class {
    /// All classes, retried ones first.
    pub const ALL: [Class; 19] = [
        Class::RateLimited,
        Class::Overloaded,
        Class::Timeout,
        Class::Stalled,
        Class::Connection,
        Class::Server,
        Class::Lost,
        Class::Unknown,
        Class::ContextOverflow,
        Class::InvalidRequest,
        Class::Authentication,
        Class::Permission,
        Class::NotFound,
        Class::QuotaExhausted,
        Class::ContentFiltered,
        Class::ReplayedFailure,
        Class::Budget,
        Class::Cancelled,
        Class::Bug,
    ];

    /// Whether another attempt may succeed.
    pub const fn is_retried(self) -> bool {
        matches!(
            self,
            Class::RateLimited
                | Class::Overloaded
                | Class::Timeout
                | Class::Stalled
                | Class::Connection
                | Class::Server
                | Class::Lost
                | Class::Unknown
        )
    }

    /// The word used in the journal, in metrics and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Class::RateLimited => "rate_limited",
            Class::Overloaded => "overloaded",
            Class::Timeout => "timeout",
            Class::Stalled => "stalled",
            Class::Connection => "connection",
            Class::Server => "server",
            Class::Lost => "lost",
            Class::Unknown => "unknown",
            Class::ContextOverflow => "context_overflow",
            Class::InvalidRequest => "invalid_request",
            Class::Authentication => "authentication",
            Class::Permission => "permission",
            Class::NotFound => "not_found",
            Class::QuotaExhausted => "quota_exhausted",
            Class::ContentFiltered => "content_filtered",
            Class::ReplayedFailure => "replayed_failure",
            Class::Budget => "budget",
            Class::Cancelled => "cancelled",
            Class::Bug => "bug",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a step, or a run, failed with.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of failure.
    pub class: Class,
    /// What happened, for people: lower-case, names the thing, holds no secret.
    pub message: String,
    /// The chain of causes below `message`, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The HTTP status that the target answered with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How long the target asks us to wait, in milliseconds in the journal.
    #[serde(
        default,
        rename = "retry_after_ms",
        with = "millis_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub retry_after: Option<Duration>,
    /// Whether the attempt may have had its effect nevertheless.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ambiguous: bool,
    /// How many attempts a step made before it gave up; 0 where that does not apply.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempts: u32,
    /// What the failed attempt spent, where the step says so in its failure rather than to its context.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub charges: Vec<Charge>,
    /// For class `budget`: what the budget that refused wants to happen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_reached: Option<OnReached>,
    /// Of a run: whether the server that carries it out ended it by itself. Neither the run's code nor a compensation ran
    /// after that; the message says what is left to undo.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_server: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl Failure {
    /// The longest message and source that are kept, in bytes; the rest is cut.
    pub const TEXT_MAX: usize = 4096;

    /// Makes a failure.
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Self {
            class,
            message: cut(message.into()),
            source: None,
            status: None,
            retry_after: None,
            ambiguous: false,
            attempts: 0,
            charges: Vec::new(),
            on_reached: None,
            by_server: false,
        }
    }

    /// Adds the error below this failure, with its own causes.
    #[must_use]
    pub fn source(mut self, error: impl std::error::Error) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        self.source = Some(cut(text));
        self
    }

    /// Adds the HTTP status.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// Adds how long the target asks us to wait.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Says that the attempt may have had its effect.
    #[must_use]
    pub fn ambiguous(mut self) -> Self {
        self.ambiguous = true;
        self
    }

    /// Says that the run's server ended it by itself.
    #[must_use]
    pub fn by_server(mut self) -> Self {
        self.by_server = true;
        self
    }

    /// Adds what the attempt spent.
    #[must_use]
    pub fn charge(mut self, charge: Charge) -> Self {
        self.charges.push(charge);
        self
    }
}

/// Cuts a text to [`Failure::TEXT_MAX`] bytes at a character boundary.
fn cut(mut text: String) -> String {
    if text.len() > Failure::TEXT_MAX {
        text.truncate(text.floor_char_boundary(Failure::TEXT_MAX));
    }
    text
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class, self.message)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}
