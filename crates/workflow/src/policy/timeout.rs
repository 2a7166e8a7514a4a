//! How long each part may take. Every attempt has a limit.

use std::time::Duration;

/// The limits of a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// One attempt, from its start.
    pub attempt: Duration,
    /// The step over all attempts and waits, from the first ask.
    pub step: Duration,
    /// The longest silence between heartbeats; `None` if the step does not beat.
    pub heartbeat: Option<Duration>,
    /// From asking for an attempt to its start, while a queue or gate holds it back.
    pub queue: Duration,
}

impl Default for Timeouts {
    /// 10 min an attempt (the longest answers of language models take that), 24 h a step, 1 h in a queue, no heartbeat.
    fn default() -> Self {
        Self {
            attempt: Duration::from_secs(600),
            step: Duration::from_secs(24 * 3600),
            heartbeat: None,
            queue: Duration::from_secs(3600),
        }
    }
}
