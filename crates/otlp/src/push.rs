//! Sending metrics, again and again, as they stand.
//!
//! Sums count from one beginning, so what a collector missed is in what it gets next: nothing is kept for it.

use std::time::{Duration, Instant};

pub use crate::encode::Reading;
use crate::encode::metrics;
use crate::send::{SendError, Transport};
use crate::settings::{Otlp, SettingsError};

/// The first wait before a collector that is away is tried again; then twice as long each time, up to the interval.
const BACKOFF: Duration = Duration::from_secs(1);
/// The longest wait that a collector may ask for.
const ASKED_MAX: Duration = Duration::from_secs(300);
/// How long until it is looked again whether there is anything to send.
const NOT_YET: Duration = Duration::from_millis(100);
/// How often it is said that a collector is still away.
const REMIND: Duration = Duration::from_secs(60);

/// Sends metrics to one collector. Make and use it within a tokio runtime.
#[derive(Debug)]
pub struct Pusher {
    transport: Transport,
    interval: Duration,
    endpoint: String,
}

/// How it goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Pushed {
    /// The collector took so many values.
    Sent {
        /// How many.
        values: u64,
    },
    /// It does not take any. Said at once, and then every minute.
    Away {
        /// The collector.
        endpoint: String,
        /// What it or the network said.
        why: String,
        /// For how long.
        since: Duration,
    },
    /// It takes them again.
    Back {
        /// After so long.
        after: Duration,
    },
    /// It will not take some of them.
    Refused {
        /// What it said.
        why: String,
    },
}

impl Pushed {
    /// Says it to the process' log.
    pub fn log(self) {
        match self {
            Pushed::Sent { values } => tracing::trace!(values, "metrics sent"),
            Pushed::Away { endpoint, why, since } => {
                tracing::warn!(endpoint, why, since = since.as_secs(), "collector takes no metrics");
            }
            Pushed::Back { after } => {
                tracing::info!(after = after.as_secs(), "collector takes metrics again")
            }
            Pushed::Refused { why } => tracing::error!(why, "collector refused some metrics"),
        }
    }
}

/// A collector that is away.
struct Away {
    since: Instant,
    said: Instant,
    pause: Duration,
}

impl Pusher {
    /// Prepares sending, as settings for metrics say; nothing is sent, and nobody need be there.
    ///
    /// # Errors
    /// [`SettingsError`], if the endpoint, a header or a certificate cannot be used.
    pub fn new(otlp: &Otlp) -> Result<Self, SettingsError> {
        Ok(Self { transport: Transport::new(otlp)?, interval: otlp.interval(), endpoint: otlp.shown() })
    }

    /// Sends what `read` gives, at once and then at the interval of the settings, for as long as it is polled. Of nothing,
    /// nothing is sent.
    pub async fn run(&self, read: impl Fn() -> Option<Reading>, report: impl Fn(Pushed)) {
        let mut away = None;
        loop {
            let wait = match read() {
                None => NOT_YET.min(self.interval),
                Some(reading) => self.step(&reading, &mut away, &report).await,
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Sends once, and gives how long to wait then.
    async fn step(&self, reading: &Reading, away: &mut Option<Away>, report: &impl Fn(Pushed)) -> Duration {
        match self.push(reading).await {
            Ok(pushed) => {
                if let Some(away) = away.take() {
                    report(Pushed::Back { after: away.since.elapsed() });
                }
                pushed.into_iter().for_each(report);
                self.interval
            }
            Err(error) => {
                let now = Instant::now();
                let is_new = away.is_none();
                let away = away.get_or_insert(Away { since: now, said: now, pause: BACKOFF });
                if is_new || away.said.elapsed() >= REMIND {
                    away.said = now;
                    let (endpoint, why) = (self.endpoint.clone(), error.to_string());
                    report(Pushed::Away { endpoint, why, since: away.since.elapsed() });
                }
                let asked = match error {
                    SendError::Away { wait, .. } => wait.unwrap_or_default().min(ASKED_MAX),
                    SendError::Refused { .. } => Duration::ZERO,
                };
                let pause = away.pause.min(self.interval);
                away.pause = (away.pause * 2).min(self.interval);
                pause.max(asked)
            }
        }
    }

    /// Sends once.
    ///
    /// # Errors
    /// [`SendError::Away`]: the next one will have all that this one had.
    pub async fn push(&self, reading: &Reading) -> Result<Vec<Pushed>, SendError> {
        let (pieces, values) = metrics(reading);
        let mut pushed = Vec::new();
        let mut refused = 0;
        for piece in pieces {
            let taken = self.transport.send(&piece).await?;
            refused += taken.left_out;
            if taken.left_out > 0 {
                pushed.push(Pushed::Refused { why: taken.why });
            }
        }
        pushed.push(Pushed::Sent { values: values.saturating_sub(refused) });
        Ok(pushed)
    }
}
