//! What is kept of calls: answers for repeats, and bodies in the journal.

use std::time::Duration;

use serde::Deserialize;

use super::value::duration;

/// How repeats are recognised.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dedup {
    /// By what.
    pub by: DedupBy,
    /// How long an answer is kept.
    #[serde(deserialize_with = "duration")]
    pub lifetime: Duration,
    /// The largest answer that is kept, in bytes.
    pub answer_bytes: usize,
    /// What to do with a key whose call was under way when the gateway died.
    pub on_unknown: OnUnknown,
}

impl Default for Dedup {
    fn default() -> Self {
        Self {
            by: DedupBy::default(),
            lifetime: Duration::from_secs(24 * 3600),
            answer_bytes: 4 << 20,
            on_unknown: OnUnknown::default(),
        }
    }
}

/// By what a repeat is recognised.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DedupBy {
    /// By nothing.
    Off,
    /// By the client's `Idempotency-Key`.
    #[default]
    Key,
    /// By that, or else by run, step and body, for calls that name a run.
    Derived,
}

/// What to do with a key whose call was under way when the gateway died.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnknown {
    /// Call again: it may be paid twice, and the first is booked with its bound.
    #[default]
    CallAgain,
    /// Refuse: nothing is paid twice.
    Refuse,
}

/// What of requests and answers stands in the journal.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bodies {
    /// Whether anything of them does.
    pub keep: bool,
    /// The most characters of each.
    pub chars_max: usize,
    /// JSON fields whose values are hidden, whatever is in them; what looks like a credential is hidden anywhere.
    pub redact: Vec<String>,
}

impl Default for Bodies {
    fn default() -> Self {
        Self { keep: false, chars_max: 4_000, redact: Vec::new() }
    }
}
