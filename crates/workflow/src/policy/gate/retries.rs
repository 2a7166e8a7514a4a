//! A bucket of retries: successes fill it, retries empty it. When a target is down, few retries are left.

use std::time::Duration;

use super::GatePolicy;
use crate::Timestamp;

#[derive(Clone, Debug)]
pub(super) struct Retries {
    full: f64,
    level: f64,
    at: Timestamp,
}

/// Without any success one retry a second is left, so that a quiet target is not given up.
const PER_SECOND: f64 = 1.0;

impl Retries {
    pub(super) fn new(policy: &GatePolicy, now: Timestamp) -> Self {
        let full = f64::from(policy.retry_reserve.max(1));
        Self { full, level: full, at: now }
    }

    /// Takes a retry, or says when there will be one.
    pub(super) fn take(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        self.refill(now);
        if self.level < 1.0 {
            // A microsecond more than needed, so that rounding never makes anybody ask in vain.
            let wait = Duration::from_secs_f64((1.0 - self.level) / PER_SECOND);
            return Err(now + wait + Duration::from_micros(1));
        }
        self.level -= 1.0;
        Ok(())
    }

    /// A success pays for so many.
    pub(super) fn earn(&mut self, now: Timestamp, share: f64) {
        self.refill(now);
        self.level = (self.level + share.max(0.0)).min(self.full);
    }

    fn refill(&mut self, now: Timestamp) {
        self.level = (self.level + now.since(self.at).as_secs_f64() * PER_SECOND).min(self.full);
        self.at = self.at.max(now);
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // never negative, at most a u32
    pub(super) fn left(&self) -> u32 {
        self.level as u32
    }
}
