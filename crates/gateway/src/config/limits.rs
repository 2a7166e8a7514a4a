//! What is too large, too slow or too often.

use std::time::Duration;

use serde::Deserialize;

use super::value::duration;

/// What is refused.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The most bytes of a request's head.
    pub head_bytes: usize,
    /// The most bytes of a request's body.
    pub body_bytes: usize,
    /// The most bytes of an answer in one piece.
    pub answer_bytes: usize,
    /// How long a request's head may take to come, and how long a connection may be idle before it.
    #[serde(deserialize_with = "duration")]
    pub head_time: Duration,
    /// How long a request's body may take to come.
    #[serde(deserialize_with = "duration")]
    pub body_time: Duration,
    /// How many connections may be open at once.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 64 << 10,
            body_bytes: 32 << 20,
            answer_bytes: 128 << 20,
            head_time: Duration::from_secs(75),
            body_time: Duration::from_secs(60),
            connections: 10_000,
        }
    }
}

/// How long upstreams may take.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// Until a connection is there.
    #[serde(deserialize_with = "duration")]
    pub connect: Duration,
    /// Until the answer begins.
    #[serde(deserialize_with = "duration")]
    pub first_byte: Duration,
    /// Between two chunks of a stream.
    #[serde(deserialize_with = "duration")]
    pub stall: Duration,
    /// For an attempt as a whole.
    #[serde(deserialize_with = "duration")]
    pub attempt: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(300),
            stall: Duration::from_secs(60),
            attempt: Duration::from_secs(900),
        }
    }
}

/// How failures are retried under `protect`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// The most attempts at one call.
    pub attempts: u32,
    /// The most time for all of them, waits included.
    #[serde(deserialize_with = "duration")]
    pub elapsed: Duration,
    /// How long a call may be held back at a gate before it is refused with the wait that is left.
    #[serde(deserialize_with = "duration")]
    pub held: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 3, elapsed: Duration::from_secs(60), held: Duration::from_secs(20) }
    }
}
