//! Errors that every provider knows, before each words them in its own way.

use std::time::SystemTime;

use crate::answer::{Answer, wait_headers};
use crate::endpoint::Provider;
use crate::fault::{Fault, RetryAfter};
use crate::{anthropic, openai, payments};

/// Why a provider refuses or fails.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Trouble {
    RateLimited(RetryAfter),
    QuotaExhausted,
    Overloaded,
    Unavailable(RetryAfter),
    Server,
    ContextOverflow { tokens: u64, max: u64 },
    ContentFiltered,
    Invalid { message: String, param: Option<&'static str> },
    Unauthorized,
    Forbidden,
    NotFound { what: String },
}

impl Trouble {
    pub(crate) fn invalid(message: impl Into<String>, param: Option<&'static str>) -> Self {
        Trouble::Invalid { message: message.into(), param }
    }

    /// The trouble that a fault makes before anything is spent or done, if it answers at all.
    pub(crate) fn of(fault: &Fault, input: u64, context_window: u64) -> Option<Self> {
        Some(match *fault {
            Fault::RateLimited { retry_after } => Trouble::RateLimited(retry_after),
            Fault::QuotaExhausted => Trouble::QuotaExhausted,
            Fault::Overloaded => Trouble::Overloaded,
            Fault::Unavailable { retry_after } => Trouble::Unavailable(retry_after),
            Fault::ContextOverflow => {
                Trouble::ContextOverflow { tokens: input.max(context_window + 1), max: context_window }
            }
            Fault::ContentFiltered => Trouble::ContentFiltered,
            Fault::InvalidRequest => Trouble::invalid("the request is malformed, says the script", None),
            Fault::Unauthorized => Trouble::Unauthorized,
            Fault::Forbidden => Trouble::Forbidden,
            _ => return None,
        })
    }

    /// How the wait is told.
    fn retry_after(&self) -> RetryAfter {
        match self {
            Trouble::RateLimited(wait) | Trouble::Unavailable(wait) => *wait,
            _ => RetryAfter::Untold,
        }
    }

    /// What the provider says to `x-should-retry`, where it says anything.
    fn should_retry(&self) -> Option<bool> {
        match self {
            Trouble::QuotaExhausted => Some(false),
            Trouble::RateLimited(_) | Trouble::Overloaded | Trouble::Server => Some(true),
            _ => None,
        }
    }

    /// The provider's response.
    pub(crate) fn answer(&self, provider: Provider, request_id: &str, wall: SystemTime) -> Answer {
        let (status, body) = match provider {
            Provider::Openai => openai::error(self),
            Provider::Anthropic => anthropic::error(self, request_id),
            Provider::Payments => payments::error(self),
        };
        let should_retry = match provider {
            Provider::Payments => "stripe-should-retry",
            _ => "x-should-retry",
        };
        Answer::json(status, &body)
            .headers(wait_headers(provider, self.retry_after(), wall))
            .headers(self.should_retry().map(|should| (should_retry, should.to_string())))
    }
}
