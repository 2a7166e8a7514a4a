//! The retry decision: a pure function of the policy, what was tried so far, and the last failure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Backoff, Jitter};
use crate::{Class, Failure, Money, Timestamp};

/// When to try again and when to stop.
#[derive(Clone, PartialEq, Debug)]
pub struct RetryPolicy {
    /// The most attempts, the first included.
    pub attempts: u32,
    /// The most attempts that may be lost with their process on top of `attempts`: a guard against a step that kills it.
    pub lost_max: u32,
    /// How the wait grows.
    pub backoff: Backoff,
    /// How the wait is spread.
    pub jitter: Jitter,
    /// No further attempt once so much time has passed since the first one began.
    pub elapsed_max: Option<Duration>,
    /// No further attempt once the step's attempts have cost so much.
    pub cost_max: Option<Money>,
    /// Classes to be treated otherwise than [`Class::is_retried`] says.
    pub overrides: Vec<(Class, Retried)>,
}

/// Whether a class is retried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Retried {
    /// It is.
    Yes,
    /// It is not.
    No,
}

/// What a step has tried so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tried {
    /// Attempts that ended, lost ones not counted.
    pub attempts: u32,
    /// Attempts that were lost with their process.
    pub lost: u32,
    /// When the first attempt was asked for.
    pub since: Timestamp,
    /// What all attempts cost.
    pub cost: Money,
    /// Until when the step must be done, if there is such a limit.
    pub deadline: Option<Timestamp>,
}

/// What follows from a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// Another attempt after a wait.
    Retry {
        /// How long to wait.
        delay: Duration,
        /// Why so long.
        because: DelayReason,
    },
    /// No further attempt.
    GiveUp(GiveUp),
}

/// Why a wait is as long as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DelayReason {
    /// The backoff says so.
    Backoff,
    /// The target asked for it.
    RetryAfter,
    /// The process died, which says nothing about the target: at once.
    Lost,
}

/// Why there is no further attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GiveUp {
    /// Failures of this class are not retried.
    Class,
    /// All attempts are used up.
    Attempts,
    /// The process died too often.
    Lost,
    /// The time allowed for all attempts is over, or would be before the next one.
    Elapsed,
    /// The target asks for a longer wait than the deadline leaves.
    RetryAfterBeyondDeadline,
    /// The attempts have cost as much as they may.
    Cost,
}

impl RetryPolicy {
    /// One attempt, no retry.
    pub fn never() -> Self {
        Self { attempts: 1, lost_max: 0, ..Self::default() }
    }

    /// The same policy with another number of attempts.
    #[must_use]
    pub fn attempts(self, attempts: u32) -> Self {
        Self { attempts: attempts.max(1), ..self }
    }

    /// The same policy with another backoff.
    #[must_use]
    pub fn backoff(self, backoff: Backoff) -> Self {
        Self { backoff, ..self }
    }

    /// The same policy with another jitter.
    #[must_use]
    pub fn jitter(self, jitter: Jitter) -> Self {
        Self { jitter, ..self }
    }

    /// The same policy, retrying for at most so long.
    #[must_use]
    pub fn elapsed_max(self, limit: Duration) -> Self {
        Self { elapsed_max: Some(limit), ..self }
    }

    /// The same policy, spending at most so much on attempts.
    #[must_use]
    pub fn cost_max(self, limit: Money) -> Self {
        Self { cost_max: Some(limit), ..self }
    }

    /// The same policy, with a class retried or not.
    #[must_use]
    pub fn class(mut self, class: Class, retried: Retried) -> Self {
        self.overrides.push((class, retried));
        self
    }

    fn retries(&self, class: Class) -> bool {
        match self.overrides.iter().rev().find(|(c, _)| *c == class) {
            Some((_, retried)) => *retried == Retried::Yes,
            None => class.is_retried(),
        }
    }

    /// Decides what follows from `failure` at `now`; `seed` stands for run and step, so that runs spread their waits.
    pub fn decide(&self, tried: &Tried, failure: &Failure, now: Timestamp, seed: u64) -> Decision {
        if !self.retries(failure.class) {
            return Decision::GiveUp(GiveUp::Class);
        }
        if tried.attempts >= self.attempts {
            return Decision::GiveUp(GiveUp::Attempts);
        }
        if tried.lost > self.lost_max {
            return Decision::GiveUp(GiveUp::Lost);
        }
        if self.cost_max.is_some_and(|limit| tried.cost >= limit) {
            return Decision::GiveUp(GiveUp::Cost);
        }
        let (delay, because) = self.delay(tried, failure, seed);
        let limit = self.elapsed_max.map(|limit| tried.since + limit);
        match [limit, tried.deadline].into_iter().flatten().min() {
            Some(end) if now + delay >= end && because == DelayReason::RetryAfter => {
                Decision::GiveUp(GiveUp::RetryAfterBeyondDeadline)
            }
            Some(end) if now + delay >= end => Decision::GiveUp(GiveUp::Elapsed),
            _ => Decision::Retry { delay, because },
        }
    }

    fn delay(&self, tried: &Tried, failure: &Failure, seed: u64) -> (Duration, DelayReason) {
        if failure.class == Class::Lost {
            return (Duration::ZERO, DelayReason::Lost);
        }
        let backoff = self.jitter.delay(&self.backoff, tried.attempts, seed);
        let asked = failure.retry_after.map(|asked| self.jitter.delay_asked(asked, tried.attempts, seed));
        match asked {
            Some(asked) if asked >= backoff => (asked, DelayReason::RetryAfter),
            _ => (backoff, DelayReason::Backoff),
        }
    }
}

impl Default for RetryPolicy {
    /// 5 attempts; 1 s, doubled, ±30 %, at most 60 s; up to 10 lost attempts on top.
    fn default() -> Self {
        Self {
            attempts: 5,
            lost_max: 10,
            backoff: Backoff::default(),
            jitter: Jitter::default(),
            elapsed_max: None,
            cost_max: None,
            overrides: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(100_000_000);

    fn tried(attempts: u32) -> Tried {
        Tried { attempts, lost: 0, since: NOW, cost: Money::ZERO, deadline: None }
    }

    fn decide(policy: &RetryPolicy, tried: Tried, failure: Failure) -> Decision {
        policy.decide(&tried, &failure, NOW, 42)
    }

    #[test]
    fn each_class_is_retried_or_not_as_documented() {
        for class in Class::ALL {
            let decision = decide(&RetryPolicy::default(), tried(1), Failure::new(class, "x"));
            assert_eq!(matches!(decision, Decision::Retry { .. }), class.is_retried(), "{class}");
        }
    }

    #[test]
    fn each_stop_stops() {
        let failure = Failure::new(Class::Server, "x");
        let policy =
            RetryPolicy::default().elapsed_max(Duration::from_secs(10)).cost_max(Money::from_cents(1));
        let cases = [
            (tried(5), GiveUp::Attempts),
            (Tried { lost: 11, ..tried(1) }, GiveUp::Lost),
            (Tried { cost: Money::from_cents(1), ..tried(1) }, GiveUp::Cost),
            (Tried { since: Timestamp::from_micros(90_500_000), ..tried(1) }, GiveUp::Elapsed),
            (Tried { deadline: Some(NOW + Duration::from_millis(500)), ..tried(1) }, GiveUp::Elapsed),
        ];
        for (tried, why) in cases {
            assert_eq!(decide(&policy, tried, failure.clone()), Decision::GiveUp(why));
        }
    }

    #[test]
    fn a_retry_after_is_never_undercut_and_fails_at_once_beyond_the_deadline() {
        let asked = Duration::from_secs(20);
        let failure = Failure::new(Class::RateLimited, "x").retry_after(asked);
        match decide(&RetryPolicy::default(), tried(1), failure.clone()) {
            Decision::Retry { delay, because: DelayReason::RetryAfter } => assert!(delay >= asked),
            other => panic!("{other:?}"),
        }
        let short = Tried { deadline: Some(NOW + Duration::from_secs(19)), ..tried(1) };
        let decision = decide(&RetryPolicy::default(), short, failure);
        assert_eq!(decision, Decision::GiveUp(GiveUp::RetryAfterBeyondDeadline));
    }

    #[test]
    fn a_lost_attempt_is_tried_again_at_once() {
        let decision = decide(&RetryPolicy::default(), tried(0), Failure::new(Class::Lost, "x"));
        assert_eq!(decision, Decision::Retry { delay: Duration::ZERO, because: DelayReason::Lost });
    }

    #[test]
    fn an_override_wins_over_the_class() {
        let policy =
            RetryPolicy::default().class(Class::NotFound, Retried::Yes).class(Class::Timeout, Retried::No);
        let of = |class| decide(&policy, tried(1), Failure::new(class, "x"));
        assert!(matches!(of(Class::NotFound), Decision::Retry { .. }));
        assert_eq!(of(Class::Timeout), Decision::GiveUp(GiveUp::Class));
    }
}
