//! What is left when retrying has come to its end.

use std::fmt;
use std::time::Duration;

use midwatch_workflow::{Class, Failure, GiveUp, Spent};

/// There is no further attempt; the last failure is the source.
#[derive(Clone, PartialEq, Debug)]
pub struct Exhausted {
    /// Attempts made.
    pub attempts: u32,
    /// From the start of the first one until now.
    pub elapsed: Duration,
    /// What all attempts spent.
    pub spent: Spent,
    /// What put an end to it.
    pub stopped_by: StoppedBy,
    /// What the last attempt failed with; class `budget` if not even one was made.
    pub last: Box<Failure>,
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { attempts, elapsed, spent, stopped_by, .. } = self;
        write!(f, "gave up after {attempts} attempts in {elapsed:?}, {} spent: {stopped_by}", spent.cost)
    }
}

impl std::error::Error for Exhausted {
    // By hand, so that the source is the failure itself and not the box around it.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.last)
    }
}

/// What put an end to retrying.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoppedBy {
    /// The policy.
    Policy(GiveUp),
    /// The budget is spent.
    Budget,
    /// The caller asked to stop.
    Caller,
}

impl fmt::Display for StoppedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StoppedBy::Policy(GiveUp::Class) => "failures of this class are not retried",
            StoppedBy::Policy(GiveUp::Attempts) => "all attempts are used up",
            StoppedBy::Policy(GiveUp::Lost) => "the process died too often",
            StoppedBy::Policy(GiveUp::Elapsed) => "the time allowed is over",
            StoppedBy::Policy(GiveUp::RetryAfterBeyondDeadline) => {
                "the target asks for a longer wait than the time allowed"
            }
            StoppedBy::Policy(GiveUp::Cost) => "the attempts cost as much as they may",
            StoppedBy::Budget => "the budget is spent",
            StoppedBy::Caller => "the caller asked to stop",
        })
    }
}

impl From<Exhausted> for Failure {
    /// The last failure, with the number of attempts, so that `?` works in steps; if the budget was spent, class `budget`
    /// with the last failure as the source.
    ///
    /// What the attempts spent is on the meter. It is not in this failure's charges: the meter's owner has booked it.
    fn from(exhausted: Exhausted) -> Failure {
        let attempts = exhausted.attempts;
        let failure = match exhausted.stopped_by {
            StoppedBy::Budget => {
                let message = format!("{} are spent, and the budget with it", exhausted.spent.cost);
                Failure::new(Class::Budget, message).source(*exhausted.last)
            }
            StoppedBy::Policy(_) | StoppedBy::Caller => *exhausted.last,
        };
        Failure { attempts, charges: Vec::new(), ..failure }
    }
}
