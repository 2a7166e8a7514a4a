//! What a gate is told about its target beforehand; all the rest it finds out.

use std::time::Duration;

/// The settings of a gate. The defaults fit a language-model API of which nothing is known.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct GatePolicy {
    /// Starts per second at a target of which nothing is known yet. Each success raises the rate, up to doubling it every
    /// second, until the target says that it is enough. 10.
    pub rate_initial: f64,
    /// The rate is never taken below this by refusals. 0.1.
    pub rate_min: f64,
    /// The rate is never raised above this: a limit that is known beforehand. No limit.
    pub rate_max: f64,
    /// Starts at one moment after a rest. 5, or a tenth of a second's worth if that is more.
    pub burst: u32,
    /// Attempts under way at once at a target of which nothing is known yet; rises as it proves too few. 10.
    pub concurrency_initial: u32,
    /// The most attempts under way at once. 1,000.
    pub concurrency_max: u32,
    /// The shared wait after a refusal that names none, doubled while nothing succeeds, up to 30 s. 1 s.
    pub cool_down: Duration,
    /// The longest that one answer can make everybody wait; its own run obeys in full. 10 min.
    pub cool_down_max: Duration,
    /// Retries that each success pays for: with 0.5, a third of all attempts may fail before retries have to wait. 0.5.
    pub retry_share: f64,
    /// Retries that need not be paid for, restored at one a second. 20.
    pub retry_reserve: u32,
    /// Failures in a row, over all runs, after which the target counts as down. 5, without a success for a second; or four
    /// times as many at any speed.
    pub failures_max: u32,
    /// The wait before the first look whether a target that was down is up again; each next one is half as long again. 1 s.
    pub probe_wait: Duration,
    /// The longest wait between two such looks. 5 s.
    pub probe_wait_max: Duration,
}

impl Default for GatePolicy {
    fn default() -> Self {
        Self {
            rate_initial: 10.0,
            rate_min: 0.1,
            rate_max: f64::INFINITY,
            burst: 5,
            concurrency_initial: 10,
            concurrency_max: 1_000,
            cool_down: Duration::from_secs(1),
            cool_down_max: Duration::from_secs(600),
            retry_share: 0.5,
            retry_reserve: 20,
            failures_max: 5,
            probe_wait: Duration::from_secs(1),
            probe_wait_max: Duration::from_secs(5),
        }
    }
}

impl GatePolicy {
    /// The defaults for a target whose limit is known: it starts at that rate and never goes above it.
    pub fn per_second(rate: f64) -> Self {
        let rate = if rate > 0.0 { rate } else { Self::default().rate_min };
        Self { rate_initial: rate, rate_max: rate, rate_min: rate.min(0.1), ..Self::default() }
    }

    /// The same policy with this many attempts under way at once, at most.
    #[must_use]
    pub fn concurrency_max(self, limit: u32) -> Self {
        let limit = limit.max(1);
        Self { concurrency_initial: self.concurrency_initial.min(limit), concurrency_max: limit, ..self }
    }
}
