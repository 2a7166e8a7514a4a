//! The engine's clock: the system's, or one that stands still until the runtime advances it.

use std::time::{SystemTime, UNIX_EPOCH};

use midwatch_workflow::Timestamp;
use tokio::time::Instant;

/// Tells the time.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Source);

#[derive(Clone, Copy, Debug)]
enum Source {
    System,
    Runtime { start: Timestamp, origin: Instant },
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that begins at `start` and follows the runtime's time, which tests pause and skip.
    pub fn runtime(start: Timestamp) -> Self {
        Self(Source::Runtime { start, origin: Instant::now() })
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        match self.0 {
            Source::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
            }
            Source::Runtime { start, origin } => start + origin.elapsed(),
        }
    }

    /// The runtime's instant for a point in time; at least now, and not so far that timers overflow.
    pub fn instant(&self, at: Timestamp) -> Instant {
        const FAR: std::time::Duration = std::time::Duration::from_secs(24 * 3600);
        Instant::now() + at.since(self.now()).min(FAR)
    }
}
