//! What an attempt finds out about its target.

use std::time::Duration;

use super::Admitted;
use crate::{Class, Failure};

/// Something that an attempt found out.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Observation {
    /// The target said how much of its limits is left.
    Headroom(Headroom),
    /// The attempt ended.
    Ended {
        /// What the gate gave it.
        admitted: Admitted,
        /// How it ended, as far as that says something about the target.
        observed: Observed,
        /// The tokens that it used; 0 if it used none or that is not known.
        tokens: u64,
    },
}

/// What the end of an attempt says about its target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Observed {
    /// It worked.
    Success,
    /// The target is there and says no to this request: a matter between the two.
    Answered,
    /// It asks for fewer requests.
    RateLimited {
        /// For how long to wait.
        retry_after: Option<Duration>,
    },
    /// It has no capacity for anybody.
    Overloaded {
        /// For how long to wait.
        retry_after: Option<Duration>,
    },
    /// It failed or could not be reached.
    Failed {
        /// For how long to wait.
        retry_after: Option<Duration>,
    },
    /// It did not answer in the time that this attempt had, which may have been short.
    Silent,
    /// Nothing: it was given up, or ended before anything was sent.
    Nothing,
}

/// What a target's answer says about its limits; see each provider's manual for its headers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Headroom {
    /// The limit on requests.
    pub requests: Option<Window>,
    /// The limit on tokens; of several, the one with the least left.
    pub tokens: Option<Window>,
}

/// One limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// The most at once.
    pub limit: u64,
    /// What is left of that.
    pub remaining: u64,
    /// How long until all of it is there again.
    pub reset: Duration,
}

impl Observed {
    /// What a failure says about the target.
    pub fn of(failure: &Failure) -> Self {
        let retry_after = failure.retry_after;
        match failure.class {
            Class::RateLimited => Observed::RateLimited { retry_after },
            Class::Overloaded => Observed::Overloaded { retry_after },
            Class::Server | Class::Connection => Observed::Failed { retry_after },
            Class::Timeout | Class::Stalled => Observed::Silent,
            Class::ContextOverflow
            | Class::InvalidRequest
            | Class::Authentication
            | Class::Permission
            | Class::NotFound
            | Class::QuotaExhausted
            | Class::ContentFiltered
            | Class::ReplayedFailure
                if failure.status.is_some() =>
            {
                Observed::Answered
            }
            _ => Observed::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_says_what_it_says_about_the_target_and_no_more() {
        for class in Class::ALL {
            let answered = Observed::of(&Failure::new(class, "x").status(400));
            let unanswered = Observed::of(&Failure::new(class, "x"));
            match class {
                Class::RateLimited | Class::Overloaded | Class::Server | Class::Connection => {
                    assert_eq!(answered, unanswered, "{class}");
                    assert_ne!(answered, Observed::Nothing, "{class}");
                }
                Class::Timeout | Class::Stalled => assert_eq!(answered, Observed::Silent, "{class}"),
                _ if class.is_retried() => assert_eq!(answered, Observed::Nothing, "{class}"),
                Class::Budget | Class::Cancelled | Class::Bug => {
                    assert_eq!(answered, Observed::Nothing, "{class}");
                }
                _ => assert_eq!((answered, unanswered), (Observed::Answered, Observed::Nothing), "{class}"),
            }
        }
    }
}
