//! How many attempts may start in a second: found out by trying, or read from what the target says about its limits.
//!
//! The rate rises fast at a target that never complained, falls by a fifth at a complaint, comes back quickly to near
//! where that was, and from there on feels its way. A limit that lets bursts through balances such swings out.

use std::time::Duration;

use super::chance::At;
use super::{GatePolicy, Headroom, Window};
use crate::Timestamp;

#[derive(Clone, Debug)]
pub(super) struct Pace {
    min: f64,
    max: f64,
    initial: f64,
    burst: f64,
    /// Starts a second.
    rate: f64,
    /// Up to here the rate rises fast; without it there is no end to that.
    known: Option<f64>,
    /// Where the target complained last; 0 if it never did.
    ceiling: f64,
    /// Starts that are allowed right now.
    level: f64,
    at: Timestamp,
    eased_at: Option<Timestamp>,
    /// Since when it feels its way undisturbed.
    steady_at: Timestamp,
    /// Successes since then.
    steady: f64,
    /// The share of refusals among the latest attempts.
    refused: f64,
    /// A rate that the target has borne, as it looks: refusals at that rate are chance, or the target has changed.
    proven: f64,
    /// Successes in a row, and when and at which rate their series began.
    clean: u32,
    clean_from: (Timestamp, f64),
    /// Tokens of a usual attempt.
    tokens: Option<f64>,
}

/// What a complaint leaves of the rate: usually, at most if many are refused, and at a rate that was proven.
const EASED: f64 = 0.8;
const EASED_FAR: f64 = 0.4;
const EASED_LITTLE: f64 = 0.97;

/// Below this share of where the target complained it has given way.
const BELOW: f64 = 0.9;

/// The weight of the latest attempt in the share of refusals, and the share that a single refusal among many leaves.
const LATEST: f64 = 0.1;
const SINGLE: f64 = 0.25;

/// If so many are refused, it is the pace.
const MOST: f64 = 0.4;

/// So many successes in a row prove a rate, if it took them so long: a limit may let a burst through.
const PROOF: u32 = 20;
const PROOF_TIME: Duration = Duration::from_secs(5);

/// Per second: the share of the way back to the ceiling, and the growth beyond; the latter doubles after so many seconds.
const RECOVERY: f64 = 0.2;
const GROWTH: f64 = 0.02;
const GROWTH_MAX: f64 = 0.2;
const GROWTH_DOUBLES: f64 = 5.0;

/// Below so many starts a second, so many successes count as one.
const PER_SECOND_USUAL: f64 = 10.0;

/// Providers round resets to milliseconds or whole seconds; shorter ones say nothing.
const RESET_MIN: Duration = Duration::from_millis(100);

impl Pace {
    pub(super) fn new(policy: &GatePolicy, now: Timestamp) -> Self {
        let max = policy.rate_max.max(1e-3);
        let min = policy.rate_min.clamp(1e-3, max);
        let initial = policy.rate_initial.clamp(min, max);
        let burst = f64::from(policy.burst.max(1));
        Self {
            min,
            max,
            initial,
            burst,
            rate: initial,
            known: None,
            ceiling: 0.0,
            level: burst,
            at: now,
            eased_at: None,
            steady_at: now,
            steady: 0.0,
            refused: 0.0,
            proven: 0.0,
            clean: 0,
            clean_from: (now, 0.0),
            tokens: None,
        }
    }

    /// Goes on at a rate that was found out before, after a slow start.
    pub(super) fn resume(&mut self, rate: f64) {
        if rate.is_finite() {
            let known = rate.clamp(self.min, self.max);
            self.known = Some(known);
            self.rate = known.min(self.initial);
        }
    }

    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    /// The rate that it is at or on its way to.
    pub(super) fn aim(&self) -> f64 {
        self.known.map_or(self.rate, |known| known.max(self.rate))
    }

    fn full(&self) -> f64 {
        self.burst.max(self.rate * 0.1)
    }

    /// Whether an attempt may start; if not, when.
    pub(super) fn check(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        self.level = (self.level + now.since(self.at).as_secs_f64() * self.rate).min(self.full());
        self.at = self.at.max(now);
        if self.level >= 1.0 {
            return Ok(());
        }
        // A microsecond more than needed, so that rounding never makes anybody ask in vain.
        let wait = Duration::from_secs_f64((1.0 - self.level) / self.rate) + Duration::from_micros(1);
        Err(self.at + wait)
    }

    pub(super) fn take(&mut self) {
        self.level -= 1.0;
    }

    /// Nothing starts before `until`, and then one attempt at first.
    pub(super) fn pause(&mut self, until: Timestamp) {
        self.at = until;
        self.level = 1.0;
    }

    /// Begins low after a pause that ends at `at`, and rises fast to the rate of before.
    pub(super) fn restart(&mut self, at: Timestamp, rate: f64) {
        let known = rate.clamp(self.min, self.max);
        self.known = Some(known);
        self.ceiling = self.ceiling.max(known);
        self.rate = known.min(self.initial.max(known / 4.0));
        self.steady_at = at;
        self.steady = 0.0;
        self.pause(self.at.max(at));
    }

    pub(super) fn succeeded(&mut self, now: Timestamp) {
        self.refused *= 1.0 - LATEST;
        self.steady += 1.0;
        // A rate that is not used up is no proof that the target would bear it.
        if self.level > self.full() / 2.0 {
            return;
        }
        self.prove(now);
        let known = self.known.unwrap_or(f64::INFINITY);
        let raised = if self.rate < known {
            (self.rate + (self.rate * 0.1).min(1.0)).min(known)
        } else {
            let back = RECOVERY * (self.ceiling - self.rate).max(0.0);
            // The longer nothing disturbs it, the bolder: the limit may have been raised, or the complaint been a chance.
            let age =
                now.since(self.steady_at).as_secs_f64().min(self.steady / PER_SECOND_USUAL) / GROWTH_DOUBLES;
            let growth = (GROWTH * (1.0 + age * age)).min(GROWTH_MAX) * self.rate;
            // With `rate` successes a second each one brings its share of a second's growth. Where they are rare, they
            // and not the seconds count.
            self.rate + (back + growth) / self.rate.max(PER_SECOND_USUAL)
        };
        self.rate = raised.min(self.max);
    }

    /// A series of successes shows that the target bears the rate that it began with.
    fn prove(&mut self, now: Timestamp) {
        if self.clean == 0 {
            self.clean_from = (now, self.rate);
        }
        self.clean += 1;
        let (since, rate) = self.clean_from;
        if self.clean >= PROOF && now.since(since) >= PROOF_TIME {
            self.proven = self.proven.max(rate);
            self.clean = 0;
        }
    }

    /// How it stands beside the last complaint.
    pub(super) fn stands(&self) -> At {
        At { rate: self.rate, is_eased: self.rate < self.ceiling * BELOW }
    }

    /// The complaints were none: it rises fast to where it was before them.
    pub(super) fn take_back(&mut self, before: f64) {
        let known = before.clamp(self.min, self.max);
        self.known = self.known.map(|now| now.max(known));
        self.ceiling = self.ceiling.max(known);
        self.refused = 0.0;
    }

    /// The target asks for fewer; attempts from before the last time are no news. Gives whether it is eased for that.
    pub(super) fn limited(&mut self, now: Timestamp, admitted: Timestamp) -> bool {
        self.refused = self.refused * (1.0 - LATEST) + LATEST;
        if self.eased_at.is_some_and(|eased| admitted <= eased) {
            return false;
        }
        self.ceiling = self.rate;
        let eased = if self.refused > SINGLE {
            // More than a chance: the more are refused, the further down, and what was proven holds no longer.
            self.proven = 0.0;
            self.rate * (1.0 - self.refused).max(EASED_FAR)
        } else if self.rate > self.proven {
            (self.rate * EASED).max(self.proven)
        } else {
            self.proven = self.rate * EASED_LITTLE;
            self.proven
        };
        // A target that refuses some at any pace is not worth a standstill.
        let floor = self.initial / 10.0;
        let is_chance = self.refused < MOST && self.rate >= floor;
        self.rate = eased.max(if is_chance { floor } else { self.min });
        self.known = Some(self.rate);
        self.level = self.level.min(1.0);
        self.eased_at = Some(now);
        self.steady_at = now;
        self.steady = 0.0;
        self.clean = 0;
        true
    }

    pub(super) fn count_tokens(&mut self, tokens: u64) {
        if tokens > 0 {
            #[allow(clippy::cast_precision_loss)]
            let tokens = tokens as f64;
            self.tokens = Some(self.tokens.map_or(tokens, |usual| usual + (tokens - usual) * 0.1));
        }
    }

    /// Slows down before a limit is used up. Of a bucket that is refilled all the time, half stays full this way; a
    /// window that is reset at once lasts until then.
    pub(super) fn headroom(&mut self, now: Timestamp, headroom: &Headroom) {
        let tokens = headroom.tokens.zip(self.tokens).map(|(window, usual)| (window, usual.max(1.0)));
        for (window, cost) in headroom.requests.map(|window| (window, 1.0)).into_iter().chain(tokens) {
            if let Some(bearable) = bearable(&window) {
                let rate = (bearable.rate / cost).clamp(self.min, self.max);
                if rate < self.rate {
                    self.rate = rate;
                    self.known = Some(rate);
                    self.steady_at = now;
                    self.steady = 0.0;
                    self.ceiling = (bearable.refill / cost).clamp(rate, self.max);
                }
            }
        }
    }
}

/// What a limit bears, in its own units a second.
struct Bearable {
    /// Now.
    rate: f64,
    /// In the long run, if it is a bucket.
    refill: f64,
}

/// `None` while half or more is left: then there is no need to slow down, and the numbers are too small to tell.
#[allow(clippy::cast_precision_loss)]
fn bearable(window: &Window) -> Option<Bearable> {
    if window.remaining >= window.limit.div_ceil(2) || window.reset < RESET_MIN {
        return None;
    }
    let used = (window.limit - window.remaining) as f64;
    let seconds = window.reset.as_secs_f64();
    let refill = used / seconds;
    Some(Bearable { rate: (window.remaining as f64 / seconds).max(refill / 2.0), refill })
}
