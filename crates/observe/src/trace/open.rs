//! What the fold keeps of a run until it is over.

use midwatch_workflow::event::WaitReason;
use midwatch_workflow::{
    Charge, Class, DelayReason, Money, Name, OpId, ParkReason, RunId, SpanId, Spent, Timestamp,
};

/// What attempts came to since the run started or was last rewound.
#[derive(Clone, Debug, Default)]
pub(super) struct Sum {
    pub(super) spent: Spent,
    pub(super) wasted: Money,
    pub(super) attempts: u64,
    pub(super) failures: u64,
    pub(super) retries: u64,
}

/// A step that is not settled.
#[derive(Clone, Debug)]
pub(super) struct OpenStep {
    pub(super) name: Name,
    pub(super) nth: u32,
    pub(super) began: Timestamp,
    /// When an attempt of it was last asked for or ended.
    pub(super) last: Timestamp,
    pub(super) attempts: u32,
    pub(super) failures: u32,
    pub(super) queue: Option<Name>,
    pub(super) target: Option<Name>,
    pub(super) is_undo: bool,
    pub(super) undoes: Option<SpanId>,
    pub(super) failure: Option<(Class, String)>,
}

/// What was asked for and is not over.
#[derive(Clone, Debug)]
pub(super) enum Open {
    Attempt(OpenAttempt),
    Sleep {
        at: Timestamp,
    },
    Retry {
        at: Timestamp,
        step: SpanId,
        attempt: u32,
        because: DelayReason,
    },
    Signal {
        at: Timestamp,
        name: String,
    },
    /// The limit of the wait for a signal.
    Limit(OpId),
    Child {
        at: Timestamp,
        run: RunId,
        workflow: String,
        workflow_id: String,
    },
    Person {
        at: Timestamp,
        step: Option<String>,
        reason: ParkReason,
    },
}

#[derive(Clone, Debug)]
pub(super) struct OpenAttempt {
    pub(super) step: SpanId,
    pub(super) name: Name,
    pub(super) nth: u32,
    pub(super) number: u32,
    pub(super) target: Option<Name>,
    pub(super) asked: Timestamp,
    pub(super) started: Option<Timestamp>,
    pub(super) waits: Option<WaitReason>,
    pub(super) beats: u64,
    pub(super) charges: Vec<Charge>,
    pub(super) is_abandoned: bool,
}

/// How long an operator holds the run.
#[derive(Clone, Debug)]
pub(super) struct Pause {
    pub(super) event: u64,
    pub(super) at: Timestamp,
    pub(super) by: String,
}

/// The engine has parked the run.
#[derive(Clone, Debug)]
pub(super) struct Halt {
    pub(super) event: u64,
    pub(super) at: Timestamp,
    pub(super) reason: ParkReason,
}

/// How a wait ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Over {
    Done,
    TimedOut,
    Abandoned,
}
