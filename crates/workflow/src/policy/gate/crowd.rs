//! How many attempts are under way, and how many the target bears: up by one with each success while that is the limit,
//! later by a twentieth with each round of them, down by a third when it is overloaded.

use super::GatePolicy;
use crate::Timestamp;

#[derive(Clone, Debug)]
pub(super) struct Crowd {
    under_way: u32,
    limit: f64,
    max: f64,
    /// Up to here the limit rises fast; without it there is no end to that.
    known: Option<f64>,
    eased_at: Option<Timestamp>,
}

impl Crowd {
    pub(super) fn new(policy: &GatePolicy) -> Self {
        let max = f64::from(policy.concurrency_max.max(1));
        let limit = f64::from(policy.concurrency_initial.max(1)).min(max);
        Self { under_way: 0, limit, max, known: None, eased_at: None }
    }

    pub(super) fn resume(&mut self, limit: u32) {
        self.limit = f64::from(limit).clamp(1.0, self.max);
    }

    pub(super) fn is_full(&self) -> bool {
        f64::from(self.under_way) + 1.0 > self.limit
    }

    pub(super) fn enter(&mut self) {
        self.under_way += 1;
    }

    /// Gives a place back, and says whether places were short.
    pub(super) fn leave(&mut self) -> bool {
        let was_pressed = f64::from(self.under_way) + 1.0 > self.limit * 0.75;
        self.under_way = self.under_way.saturating_sub(1);
        was_pressed
    }

    pub(super) fn succeeded(&mut self) {
        let step = if self.known.is_none_or(|known| self.limit < known) {
            1.0
        } else {
            (1.0 / self.limit).max(0.05)
        };
        self.limit = (self.limit + step).min(self.max);
    }

    /// The target is overloaded; attempts from before the last time are no news.
    pub(super) fn limited(&mut self, now: Timestamp, admitted: Timestamp) {
        if self.eased_at.is_some_and(|eased| admitted <= eased) {
            return;
        }
        self.limit = (self.limit * 0.7).max(1.0);
        self.known = Some(self.limit);
        self.eased_at = Some(now);
    }

    /// The complaints were none: it rises fast to where it was before them.
    pub(super) fn take_back(&mut self, before: f64) {
        let before = before.clamp(1.0, self.max);
        self.known = self.known.map(|known| known.max(before));
    }

    /// The limit that it is at or on its way to.
    pub(super) fn aim(&self) -> f64 {
        self.known.map_or(self.limit, |known| known.max(self.limit))
    }

    /// After an outage it begins as with a new target, and rises fast to what it was.
    pub(super) fn restart(&mut self, policy: &GatePolicy, before: f64) {
        let known = before.clamp(1.0, self.max);
        self.known = Some(known);
        self.limit = known.min(f64::from(policy.concurrency_initial.max(1)));
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // between 1 and a u32
    pub(super) fn limit(&self) -> u32 {
        self.limit as u32
    }

    pub(super) fn under_way(&self) -> u32 {
        self.under_way
    }
}
