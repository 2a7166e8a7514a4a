//! What a workflow asks of its engine, as data, and what the engine answers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::event::{AttemptScheduled, EventKind, Note, TimerPurpose, WaitReason};
use crate::{
    Budget, Charge, Failure, Name, OpId, ParkReason, Payload, Resolution, RunId, Timestamp, WorkflowId,
};

/// One thing that a workflow asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Op {
    /// Its number; `abandon` and `cancel_child` carry the number of the operation that they are about.
    pub id: OpId,
    /// What is asked.
    pub kind: OpKind,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum OpKind {
    /// Run one attempt at a step, with one try and no retry of the engine's own.
    Attempt(Box<Attempt>),
    /// Answer at this time.
    Timer {
        /// When.
        until: Timestamp,
        /// What for.
        purpose: TimerPurpose,
    },
    /// Nothing to do: the run takes the signal from its own mailbox. Recorded so that waiting is visible.
    Signal {
        /// The signal's name.
        name: String,
    },
    /// Start a child run and answer when it ends.
    Child(Box<Child>),
    /// Ask a person, and answer with the resolution.
    Park {
        /// The step that it is about.
        step: Name,
        /// Why.
        reason: ParkReason,
        /// The same for people.
        message: String,
    },
    /// Record it; no answer.
    Note(Note),
    /// The operation of this id is no longer wanted; no answer.
    Abandon,
    /// The child of this id shall be cancelled; its end is still awaited.
    CancelChild,
}

/// One attempt at a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// The step's registered name.
    pub step: Name,
    /// The how-manieth use of that name in the run, from 1.
    pub nth: u32,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// The step's input.
    pub input: Payload,
    /// The idempotency key.
    pub key: Arc<str>,
    /// How long the attempt may take.
    pub timeout: Duration,
    /// The longest silence between heartbeats.
    pub heartbeat: Option<Duration>,
    /// The longest wait for a place in the queue or at the gate.
    pub queue_timeout: Duration,
    /// The queue it goes through.
    pub queue: Option<Name>,
    /// Higher goes first within a queue; 0 is usual.
    pub priority: i8,
    /// The outside party that it talks to.
    pub target: Option<Name>,
    /// The step that would undo it.
    pub undo: Option<Name>,
    /// For a compensation: the first operation of the step that it undoes.
    pub undoes: Option<OpId>,
    /// What the step's budget leaves to this attempt.
    pub budget: Option<Budget>,
}

/// A child run to be started.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    /// Its workflow's registered name.
    pub workflow: Name,
    /// Its workflow id.
    pub workflow_id: WorkflowId,
    /// Its run id, derived from the parent's.
    pub run: RunId,
    /// Its input.
    pub input: Payload,
}

/// What the engine answers to an operation.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The attempt ended, and spent this.
    Attempt(Result<Payload, Failure>, Vec<Charge>),
    /// The timer fired.
    Fired,
    /// The child ended.
    Child(Result<Payload, Failure>),
    /// A person answered.
    Resolved(Resolution),
}

impl Op {
    /// The event that records this operation; `None` for `cancel_child`, which the cancellation implies.
    pub fn to_event(&self, waits: Option<WaitReason>) -> Option<EventKind> {
        let op = self.id;
        Some(match &self.kind {
            OpKind::Attempt(attempt) => EventKind::AttemptScheduled(Box::new(attempt.to_event(op, waits))),
            OpKind::Timer { until, purpose } => {
                EventKind::TimerStarted { op, until: *until, purpose: purpose.clone() }
            }
            OpKind::Signal { name } => EventKind::SignalAwaited { op, name: name.clone() },
            OpKind::Child(child) => EventKind::ChildStarted {
                op,
                workflow: child.workflow.to_string(),
                workflow_id: child.workflow_id.clone(),
                run: child.run,
                input: child.input.clone(),
            },
            OpKind::Park { step, reason, message } => EventKind::Parked {
                op: Some(op),
                step: Some(step.to_string()),
                reason: *reason,
                message: message.clone(),
            },
            OpKind::Note(note) => EventKind::Noted { op, note: note.clone() },
            OpKind::Abandon => EventKind::Abandoned { op },
            OpKind::CancelChild => return None,
        })
    }

    /// Checks that the journal records this very operation.
    ///
    /// Inputs are not compared: a step that is done keeps its output, whatever the code would ask today. Times are not
    /// compared either.
    ///
    /// # Errors
    /// [`Mismatch`] with both sides.
    pub fn check(&self, recorded: &EventKind) -> Result<(), Mismatch> {
        let same = match (&self.kind, recorded) {
            (OpKind::Attempt(a), EventKind::AttemptScheduled(b)) => {
                *a.step == *b.step && a.nth == b.nth && a.attempt == b.attempt
            }
            (OpKind::Timer { purpose: a, .. }, EventKind::TimerStarted { purpose: b, .. }) => match (a, b) {
                (
                    TimerPurpose::Retry { step: a, nth: m, .. },
                    TimerPurpose::Retry { step: b, nth: n, .. },
                ) => a == b && m == n,
                (a, b) => a == b,
            },
            (OpKind::Signal { name: a }, EventKind::SignalAwaited { name: b, .. }) => a == b,
            // A fork derives other ids for its children than its parent did.
            (OpKind::Child(a), EventKind::ChildStarted { workflow, .. }) => *a.workflow == **workflow,
            (OpKind::Park { reason: a, .. }, EventKind::Parked { reason: b, .. }) => a == b,
            (OpKind::Note(a), EventKind::Noted { note: b, .. }) => same_note(a, b),
            (OpKind::Abandon, EventKind::Abandoned { .. }) => true,
            _ => false,
        };
        if same && recorded.op() == Some(self.id) {
            return Ok(());
        }
        Err(Mismatch::new(recorded, self.to_string()))
    }
}

/// A status is text for people and may be reworded; a patch must be the same.
fn same_note(code: &Note, journal: &Note) -> bool {
    match (code, journal) {
        (Note::Patched(a), Note::Patched(b)) => a == b,
        (Note::GaveUp { step: a, nth: m, .. }, Note::GaveUp { step: b, nth: n, .. }) => a == b && m == n,
        (code, journal) => std::mem::discriminant(code) == std::mem::discriminant(journal),
    }
}

impl Attempt {
    fn to_event(&self, op: OpId, waits: Option<WaitReason>) -> AttemptScheduled {
        AttemptScheduled {
            op,
            step: self.step.clone(),
            nth: self.nth,
            attempt: self.attempt,
            input: (self.attempt == 1).then(|| self.input.clone()),
            timeout: self.timeout,
            heartbeat: self.heartbeat,
            queue: self.queue.clone(),
            target: self.target.clone(),
            undo: self.undo.clone(),
            undoes: self.undoes,
            waits,
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_event(None) {
            Some(event) => f.write_str(&describe(&event)),
            None => write!(f, "{}: cancel child", self.id),
        }
    }
}

/// Says in a line what an event asks for.
fn describe(event: &EventKind) -> String {
    let what = match event {
        EventKind::AttemptScheduled(a) => format!("step {}#{} attempt {}", a.step, a.nth, a.attempt),
        EventKind::TimerStarted { purpose: TimerPurpose::Sleep, .. } => "sleep".into(),
        EventKind::TimerStarted { purpose: TimerPurpose::SignalTimeout, .. } => "signal timeout".into(),
        EventKind::TimerStarted { purpose: TimerPurpose::Retry { step, nth, .. }, .. } => {
            format!("retry wait of {step}#{nth}")
        }
        EventKind::SignalAwaited { name, .. } => format!("signal {name}"),
        EventKind::ChildStarted { workflow, run, .. } => format!("child {workflow} {}", run.short()),
        EventKind::Parked { reason, .. } => format!("park {reason:?}").to_lowercase(),
        EventKind::Noted { note: Note::Patched(id), .. } => format!("patch {id}"),
        EventKind::Noted { note: Note::Status(_), .. } => "status".into(),
        EventKind::Noted { note: Note::GaveUp { step, nth, .. }, .. } => format!("gave up {step}#{nth}"),
        EventKind::Noted { note: Note::Compensating { .. }, .. } => "compensating".into(),
        EventKind::Abandoned { .. } => "abandon".into(),
        other => return format!("{other:?}"),
    };
    match event.op() {
        Some(op) => format!("{op}: {what}"),
        None => what,
    }
}

/// The code asks for something else than the journal records.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the journal records `{journal}`, but the code asks for `{code}`")]
pub struct Mismatch {
    /// What the journal records.
    pub journal: String,
    /// What the code asks for.
    pub code: String,
}

impl Mismatch {
    /// What the journal records, beside what the code asks for.
    pub fn new(journal: &EventKind, code: impl Into<String>) -> Self {
        Self { journal: describe(journal), code: code.into() }
    }
}
