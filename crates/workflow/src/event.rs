//! What the journal records: everything that happened in a run, in order, from its start to its end.
//!
//! Events that say what the workflow *asked for* carry the [`OpId`] of the operation; on replay the code must ask for the
//! same again. Events that say what *happened* settle such an operation or reach the run from outside.
//!
//! The JSON form is a released format: fields may be added with a default, and never change their meaning.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::{millis, millis_option};
use crate::{
    Budget, Charge, Class, DelayReason, Failure, GiveUp, Name, OpId, Payload, RunId, Timestamp, WorkflowId,
};

/// One entry of a run's journal. Events of a run are numbered from 1; the number is the event's place, not part of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Event {
    /// When it was recorded.
    pub at: Timestamp,
    /// What happened.
    #[serde(rename = "event")]
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The run began. Always event 1.
    RunStarted(Box<RunStarted>),
    /// The workflow asked for an attempt at a step. Unless `waits` says otherwise it started at this moment.
    AttemptScheduled(Box<AttemptScheduled>),
    /// An attempt that had to wait has started.
    AttemptStarted {
        /// Which one.
        op: OpId,
    },
    /// A step said that it makes progress.
    Heartbeat {
        /// Whose attempt.
        op: OpId,
        /// What it said.
        progress: Payload,
        /// All that the attempt has spent so far.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        charges: Vec<Charge>,
    },
    /// An attempt ended.
    AttemptEnded {
        /// Which one.
        op: OpId,
        /// Its output, or what it failed with.
        result: Ended,
        /// All that it spent, whether it failed or not.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        charges: Vec<Charge>,
    },
    /// The workflow asked to wait.
    TimerStarted {
        /// Which operation.
        op: OpId,
        /// Until when.
        until: Timestamp,
        /// What for.
        purpose: TimerPurpose,
    },
    /// The wait is over.
    TimerFired {
        /// Which one.
        op: OpId,
    },
    /// The workflow asked for a signal.
    SignalAwaited {
        /// Which operation.
        op: OpId,
        /// The signal's name.
        name: String,
    },
    /// A signal reached the run; the oldest waiting operation of that name, or the next to come, takes it.
    SignalReceived {
        /// The signal's name.
        name: String,
        /// What it brings.
        payload: Payload,
        /// The sender's id for it, by which a repeat is recognised.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
    },
    /// The workflow asked for a child run.
    ChildStarted {
        /// Which operation.
        op: OpId,
        /// The child's workflow.
        workflow: String,
        /// The child's workflow id.
        workflow_id: WorkflowId,
        /// The child's run.
        run: RunId,
        /// The child's input.
        input: Payload,
    },
    /// A child run ended.
    ChildEnded {
        /// Which operation.
        op: OpId,
        /// Its output, or what it failed with.
        result: Ended,
    },
    /// The workflow no longer wants an operation: its future was dropped, or the run was cancelled.
    Abandoned {
        /// Which one.
        op: OpId,
    },
    /// The workflow said something that only needs recording.
    Noted {
        /// Which operation.
        op: OpId,
        /// What it said.
        note: Note,
    },
    /// The run needs a person.
    Parked {
        /// The operation that waits for the answer; `None` if the engine parked the run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        op: Option<OpId>,
        /// The step that it is about, if any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<String>,
        /// Why.
        reason: ParkReason,
        /// The same for people, with what to do.
        message: String,
    },
    /// A person answered a parked operation.
    Resolved {
        /// Which one.
        op: OpId,
        /// The answer.
        resolution: Resolution,
        /// Who.
        by: String,
    },
    /// The engine's reason to park the run is gone, e.g. the code was mended.
    Unparked {
        /// Who.
        by: String,
    },
    /// The run's budget was raised.
    BudgetRaised {
        /// By how many dollars.
        #[serde(default)]
        usd: crate::Money,
        /// By how many tokens.
        #[serde(default)]
        tokens: u64,
        /// Who.
        by: String,
    },
    /// The run was told to stop; compensations follow.
    CancelRequested {
        /// `cancelled` if somebody asked, `timeout` if the run's time is over.
        class: Class,
        /// Why.
        reason: String,
        /// Who.
        by: String,
    },
    /// An operator holds the run: attempts under way end, none start.
    Paused {
        /// Why.
        reason: String,
        /// Who.
        by: String,
    },
    /// The operator lets the run go on.
    Resumed {
        /// Who.
        by: String,
    },
    /// Another process took the run over after the one before was gone.
    Recovered {
        /// The new process.
        worker: String,
    },
    /// A failed run is tried again: events after `to` no longer count for its state, but what they cost does.
    Rewound {
        /// The last event that still counts.
        to: u64,
        /// Who.
        by: String,
    },
    /// The run ended. The last event, unless the run is rewound.
    RunEnded {
        /// How.
        result: RunResult,
    },
}

/// How a run began.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RunStarted {
    /// The run.
    pub run: RunId,
    /// The workflow's name.
    pub workflow: String,
    /// The user's id for the run.
    pub workflow_id: WorkflowId,
    /// The workflow's input.
    pub input: Payload,
    /// How long the run may take, in milliseconds in the journal.
    #[serde(default, rename = "timeout_ms", with = "millis_option", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// What the run may spend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// The run that started this one as its child.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// The run that this one was forked from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked_from: Option<ForkedFrom>,
    /// The common part of the run's idempotency keys where it is not the run's own: a fork keeps its parent's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_base: Option<String>,
    /// The W3C `traceparent` that the run joins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// For whom it runs; budgets and reports go by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The process that took it up.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub worker: String,
}

impl RunStarted {
    /// How the worker of a run begins that others carry out and that is only written down.
    pub const RECORDER: &str = "recorder:";

    /// Who wrote the run down, if others carry it out: no engine takes it up, and nobody takes in a message to it.
    pub fn recorder(&self) -> Option<&str> {
        self.worker.strip_prefix(Self::RECORDER).map(str::trim)
    }
}

/// Which operation of which run started a child.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Parent {
    /// The parent.
    pub run: RunId,
    /// Its operation.
    pub op: OpId,
}

/// Where a fork left its parent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ForkedFrom {
    /// The parent.
    pub run: RunId,
    /// The last of the parent's events that the fork shares.
    pub event: u64,
    /// When the first of its ancestors started: what the fork repeats, it repeats with that one's clock.
    pub origin_at: Timestamp,
    /// The first of its ancestors, whose random numbers it draws.
    pub origin: RunId,
}

/// An attempt, as it was asked for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AttemptScheduled {
    /// The operation.
    pub op: OpId,
    /// The step's name.
    pub step: Name,
    /// The how-manieth use of that name in the run, from 1.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub nth: u32,
    /// Which attempt, from 1.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub attempt: u32,
    /// The step's input; recorded with the first attempt, the same for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Payload>,
    /// How long the attempt may take, in milliseconds.
    #[serde(rename = "timeout_ms", with = "millis")]
    pub timeout: Duration,
    /// The longest silence between heartbeats, in milliseconds.
    #[serde(
        default,
        rename = "heartbeat_ms",
        with = "millis_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub heartbeat: Option<Duration>,
    /// The queue it goes through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<Name>,
    /// The outside party that it talks to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Name>,
    /// The step that would undo it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<Name>,
    /// For a compensation: the first operation of the step that it undoes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undoes: Option<OpId>,
    /// What holds it back: `attempt_started` follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<WaitReason>,
}

fn one() -> u32 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_one(count: &u32) -> bool {
    *count == 1
}

/// What holds an attempt back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitReason {
    /// The queue's limit.
    Queue,
    /// The target's gate.
    Gate,
    /// The run is paused.
    Paused,
    /// No step of that name is registered.
    Code,
    /// The engine is stopping; the next process starts it.
    Stopping,
}

/// How an attempt or a child ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// With this output.
    Ok(Payload),
    /// With this failure.
    Failed(Failure),
}

impl From<Result<Payload, Failure>> for Ended {
    fn from(result: Result<Payload, Failure>) -> Self {
        match result {
            Ok(output) => Ended::Ok(output),
            Err(failure) => Ended::Failed(failure),
        }
    }
}

impl From<Ended> for Result<Payload, Failure> {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Ok(output) => Ok(output),
            Ended::Failed(failure) => Err(failure),
        }
    }
}

/// A child's end as its parent records it.
impl From<RunResult> for Ended {
    fn from(result: RunResult) -> Self {
        match result {
            RunResult::Completed(output) => Ended::Ok(output),
            RunResult::Failed { failure, .. } => Ended::Failed(failure),
        }
    }
}

/// What a timer is for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimerPurpose {
    /// The workflow sleeps.
    Sleep,
    /// The limit of a wait for a signal.
    SignalTimeout,
    /// The wait before a step is tried again.
    Retry {
        /// The step's name.
        step: String,
        /// The how-manieth use of it.
        #[serde(default = "one", skip_serializing_if = "is_one")]
        nth: u32,
        /// The attempt that follows.
        attempt: u32,
        /// The most attempts.
        of: u32,
        /// Why so long.
        because: DelayReason,
    },
}

/// What a workflow only says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// The run takes the new side of a deliberate change of code.
    Patched(String),
    /// A status for people.
    Status(String),
    /// A step is not tried again.
    GaveUp {
        /// The step's name.
        step: String,
        /// The how-manieth use of it.
        #[serde(default = "one", skip_serializing_if = "is_one")]
        nth: u32,
        /// How many attempts were made.
        attempts: u32,
        /// Why.
        because: GiveUp,
    },
    /// Compensations begin.
    Compensating {
        /// What made them necessary.
        cause: Failure,
        /// The steps that will be undone, in that order.
        steps: Vec<String>,
    },
}

/// Why a run needs a person.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParkReason {
    /// A budget is reached.
    Budget,
    /// A compensation failed for good; the ones before it are still to do.
    CompensationFailed,
    /// A receiver replays an old failure for the step's key.
    ReplayedFailure,
    /// The code asks for other operations than the journal records.
    Mismatch,
    /// The workflow's code panicked.
    Panicked,
    /// The workflow awaits something that is no operation, and would never wake.
    Stray,
    /// No workflow or step of that name is registered.
    NoCode,
}

/// A person's answer to a parked operation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// Try again.
    Retry,
    /// It was done by hand; this is its output.
    Done(Payload),
    /// Go on as failed.
    Fail,
}

/// How a run ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunResult {
    /// With this output.
    Completed(Payload),
    /// With a failure.
    Failed {
        /// The failure; class `cancelled` or `timeout` if the run was told to stop.
        failure: Failure,
        /// How many steps were undone.
        #[serde(default)]
        compensated: u32,
        /// How many of those a person settled by hand.
        #[serde(default)]
        resolved: u32,
    },
}

impl EventKind {
    /// The operation that it belongs to, if any.
    pub fn op(&self) -> Option<OpId> {
        match self {
            EventKind::AttemptScheduled(attempt) => Some(attempt.op),
            EventKind::AttemptStarted { op }
            | EventKind::Heartbeat { op, .. }
            | EventKind::AttemptEnded { op, .. }
            | EventKind::TimerStarted { op, .. }
            | EventKind::TimerFired { op }
            | EventKind::SignalAwaited { op, .. }
            | EventKind::ChildStarted { op, .. }
            | EventKind::ChildEnded { op, .. }
            | EventKind::Abandoned { op }
            | EventKind::Noted { op, .. }
            | EventKind::Resolved { op, .. } => Some(*op),
            EventKind::Parked { op, .. } => *op,
            EventKind::RunStarted(_)
            | EventKind::SignalReceived { .. }
            | EventKind::Unparked { .. }
            | EventKind::BudgetRaised { .. }
            | EventKind::CancelRequested { .. }
            | EventKind::Paused { .. }
            | EventKind::Resumed { .. }
            | EventKind::Recovered { .. }
            | EventKind::Rewound { .. }
            | EventKind::RunEnded { .. } => None,
        }
    }
}
