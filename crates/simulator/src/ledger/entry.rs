//! One request, as the provider saw it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::endpoint::Endpoint;

/// Tokens on the invoice, in one form for all providers.
///
/// `input` includes what was read from and written to a cache, and `output` includes reasoning, as OpenAI counts;
/// Anthropic's `input_tokens` leaves both cache counts out, so there `input` here is the sum of its three fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tokens {
    /// All input tokens.
    pub input: u64,
    /// All output tokens.
    pub output: u64,
    /// Those of the input that were read from a cache.
    pub cached: u64,
    /// Those of the input that were written to a cache.
    pub cache_write: u64,
    /// Those of the output that were reasoning.
    pub reasoning: u64,
}

impl Tokens {
    /// Adds another count.
    pub(crate) fn add(&mut self, other: &Tokens) {
        self.input += other.input;
        self.output += other.output;
        self.cached += other.cached;
        self.cache_write += other.cache_write;
        self.reasoning += other.reasoning;
    }

    /// What is here and not in `other`.
    pub(crate) fn beyond(&self, other: &Tokens) -> Tokens {
        Tokens {
            input: self.input.saturating_sub(other.input),
            output: self.output.saturating_sub(other.output),
            cached: self.cached.saturating_sub(other.cached),
            cache_write: self.cache_write.saturating_sub(other.cache_write),
            reasoning: self.reasoning.saturating_sub(other.reasoning),
        }
    }
}

/// One request: what it asked, what was done about it, what it cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The number of the request, from 1, in order of arrival.
    pub number: u64,
    /// When it arrived, in microseconds since the start.
    pub at_us: u64,
    /// How long it was worked on, in microseconds.
    pub took_us: u64,
    /// What was asked for.
    pub endpoint: Endpoint,
    /// Whether it only read (a GET).
    pub read_only: bool,
    /// The model, or the kind of effect.
    pub model: Arc<str>,
    /// Whether the answer was to be streamed.
    pub stream: bool,
    /// The status answered; `None` when no response head left (hang, reset, or a client that went away before).
    pub status: Option<u16>,
    /// What misbehaved: a [`Fault`](crate::Fault)'s name, `rate_limit` (the provider's own limit) or `outage`.
    pub fault: Option<String>,
    /// Whether a stored answer was replayed for the key.
    pub replayed: bool,
    /// Whether the client was gone before the answer was complete.
    pub client_gone: bool,
    /// What goes on the invoice.
    pub billed: Tokens,
    /// How much of that the client has been told.
    pub reported: Tokens,
    /// Whether it could know the whole bill: `false` if the usage never left, or never all of it.
    pub usage_reported: bool,
    /// The id of the effect that this request did.
    pub effect: Option<String>,
    /// Its `Idempotency-Key`.
    pub key: Option<String>,
    /// Its `traceparent`.
    pub traceparent: Option<String>,
    /// Its `x-midwatch-…` headers, by name.
    pub midwatch: Vec<(String, String)>,
}

impl Entry {
    /// An entry for a request that has just arrived; the ledger fills in number and time.
    pub(crate) fn new(endpoint: Endpoint, model: Arc<str>) -> Self {
        Entry {
            number: 0,
            at_us: 0,
            took_us: 0,
            endpoint,
            read_only: false,
            model,
            stream: false,
            status: None,
            fault: None,
            replayed: false,
            client_gone: false,
            billed: Tokens::default(),
            reported: Tokens::default(),
            usage_reported: true,
            effect: None,
            key: None,
            traceparent: None,
            midwatch: Vec::new(),
        }
    }
}
