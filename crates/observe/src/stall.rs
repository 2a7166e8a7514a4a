//! Stalls: open runs that say nothing although nothing holds them back, told from lists alone.
//!
//! What waits rightly is no stall: a timer that is not due, a signal, a person, a child, a closed gate, a full queue, a pause.

use std::time::Duration;

use midwatch_workflow::Timestamp;
use midwatch_workflow::event::WaitReason;
use serde::{Deserialize, Serialize, Serializer};

use crate::run::{Run, Status};

/// How late a timer may be before that is a stall.
const LATE: Duration = Duration::from_secs(60);

/// What makes a run a stall.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StallKind {
    /// Attempts are under way, and say nothing.
    Silent,
    /// A timer was due and did not fire.
    Overdue,
}

/// A run without progress.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Stall {
    /// The run.
    pub run: Run,
    /// What makes it one.
    pub kind: StallKind,
    /// For how long; microseconds in JSON.
    #[serde(rename = "since_us", serialize_with = "micros")]
    pub since: Duration,
}

/// Says whether a run has stalled: no progress for `limit`, or a timer that is long due.
pub fn check(run: &Run, now: Timestamp, limit: Duration) -> Option<Stall> {
    let silence = now.since(run.updated_at);
    let is_held = matches!(run.held, Some(WaitReason::Gate | WaitReason::Queue | WaitReason::Paused));
    let (kind, since) = match run.status {
        // What is due next may be the run's own deadline, far away, and is no excuse.
        Status::Running | Status::Compensating if silence >= limit && !is_held => {
            (StallKind::Silent, silence)
        }
        Status::Waiting | Status::Running | Status::Compensating => {
            let late = run.wake_at.map(|due| now.since(due)).filter(|late| *late >= LATE)?;
            (StallKind::Overdue, late)
        }
        _ => return None,
    };
    Some(Stall { run: run.clone(), kind, since })
}

/// All stalls among runs, the longest first.
pub fn find<'r>(runs: impl IntoIterator<Item = &'r Run>, now: Timestamp, limit: Duration) -> Vec<Stall> {
    let mut stalls: Vec<Stall> = runs.into_iter().filter_map(|run| check(run, now, limit)).collect();
    stalls.sort_by_key(|stall| std::cmp::Reverse(stall.since));
    stalls
}

fn micros<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::{Tale, World};

    const LIMIT: Duration = Duration::from_secs(300);

    fn after(seconds: u64, change: impl FnOnce(&mut Run)) -> Option<StallKind> {
        let tale = Tale::begin(World::of(1), 1);
        let mut run = tale.row(Status::Running);
        change(&mut run);
        check(&run, tale.at + Duration::from_secs(seconds), LIMIT).map(|stall| stall.kind)
    }

    #[test]
    fn silence_is_a_stall_from_the_limit_on() {
        assert_eq!(after(299, |_| {}), None);
        assert_eq!(after(300, |_| {}), Some(StallKind::Silent));
    }

    #[test]
    fn what_waits_rightly_is_none() {
        for held in [WaitReason::Gate, WaitReason::Queue, WaitReason::Paused] {
            assert_eq!(after(4_000, |run| run.held = Some(held)), None, "{held:?}");
        }
        for status in [Status::Waiting, Status::Paused, Status::Parked, Status::Completed] {
            assert_eq!(after(4_000, |run| run.status = status), None, "{status:?}");
        }
    }

    #[test]
    fn a_timer_that_is_long_due_is_one() {
        let wait = |run: &mut Run| {
            run.status = Status::Waiting;
            run.wake_at = Some(run.updated_at + Duration::from_secs(30));
        };
        assert_eq!(after(89, wait), None);
        assert_eq!(after(90, wait), Some(StallKind::Overdue));
    }
}
