//! The shapes of a timeline.

use std::time::Duration;

use midwatch_workflow::event::WaitReason;
use midwatch_workflow::{
    Charge, Class, DelayReason, Ended, Failure, GiveUp, Money, OpId, ParkReason, Payload, Resolution, RunId,
    RunResult, Spent, Timestamp, WorkflowId,
};
use serde::{Serialize, Serializer};

/// An event of the run: its number and its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Mark {
    /// Its number, from 1.
    pub event: u64,
    /// When it was recorded.
    pub at: Timestamp,
}

impl Mark {
    pub(super) fn earlier(one: Mark, other: Mark) -> Mark {
        if one.event <= other.event { one } else { other }
    }
}

/// One thing that happened.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Entry {
    /// A step, with all its attempts.
    Step(Step),
    /// The workflow slept.
    Sleep(Sleep),
    /// It waited for a signal.
    Signal(Signal),
    /// A signal that nothing has taken yet.
    Unclaimed(Received),
    /// A child run.
    Child(Child),
    /// It needed a person.
    Person(Person),
    /// Something else worth telling.
    Happening(Happening),
}

impl Entry {
    /// Where it began.
    pub fn mark(&self) -> Mark {
        match self {
            Entry::Step(step) => step.asked,
            Entry::Sleep(sleep) => sleep.asked,
            Entry::Signal(signal) => signal.asked,
            Entry::Unclaimed(received) => received.mark,
            Entry::Child(child) => child.asked,
            Entry::Person(person) => person.asked,
            Entry::Happening(happening) => happening.mark,
        }
    }

    /// The `rewound` event that voided it, if one did.
    pub fn void(&self) -> Option<u64> {
        match self {
            Entry::Step(step) => step.void,
            Entry::Sleep(sleep) => sleep.void,
            Entry::Signal(signal) => signal.void,
            Entry::Unclaimed(received) => received.void,
            Entry::Child(child) => child.void,
            Entry::Person(person) => person.void,
            Entry::Happening(happening) => happening.void,
        }
    }

    pub(super) fn set_void(&mut self, by: u64) {
        let void = match self {
            Entry::Step(step) => &mut step.void,
            Entry::Sleep(sleep) => &mut sleep.void,
            Entry::Signal(signal) => &mut signal.void,
            Entry::Unclaimed(received) => &mut received.void,
            Entry::Child(child) => &mut child.void,
            Entry::Person(person) => &mut person.void,
            Entry::Happening(happening) => &mut happening.void,
        };
        *void = Some(by);
    }
}

/// A use of a step.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// The how-manieth use of that name in the run, from 1.
    pub nth: u32,
    /// The operation of its first attempt, which stands for the step.
    pub op: OpId,
    /// Where its first attempt was asked for.
    pub asked: Mark,
    /// Its input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Payload>,
    /// The queue it goes through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// The outside party that it talks to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The step that would undo it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undo: Option<String>,
    /// For a compensation: what it undoes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undoes: Option<Undoes>,
    /// Where its compensation was first asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undone_at: Option<Mark>,
    /// Its attempts, in the order in which they were asked for.
    pub attempts: Vec<Attempt>,
    /// Where it gave up, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gave_up: Option<GaveUp>,
    /// The `rewound` event after which nothing of it counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub void: Option<u64>,
}

impl Step {
    /// The name, with `#n` from the second use on.
    pub fn title(&self) -> String {
        titled(&self.name, self.nth)
    }

    /// The last attempt that counts.
    pub fn last(&self) -> Option<&Attempt> {
        self.attempts.iter().rev().find(|attempt| attempt.void.is_none())
    }

    /// What all attempts spent.
    pub fn spent(&self) -> Spent {
        let mut spent = Spent::default();
        self.attempts.iter().for_each(|attempt| spent.add_all(&attempt.charges));
        spent
    }
}

/// A step's name, with `#n` from the second use on.
pub(super) fn titled(name: &str, nth: u32) -> String {
    if nth > 1 { format!("{name}#{nth}") } else { name.to_owned() }
}

/// What a compensation undoes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Undoes {
    /// The first operation of the step.
    pub op: OpId,
    /// The step, as [`Step::title`] gives it; `None` for an effect of the workflow's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
}

/// One attempt at a step.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Attempt {
    /// Which one, from 1.
    pub number: u32,
    /// Its operation.
    pub op: OpId,
    /// Where it was asked for.
    pub asked: Mark,
    /// What held it back at first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits: Option<WaitReason>,
    /// Where it started; `None` while it is held back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<Mark>,
    /// How long it may take; milliseconds in JSON.
    #[serde(rename = "timeout_ms", serialize_with = "millis")]
    pub timeout: Duration,
    /// The last heartbeat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beat: Option<Beat>,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<AttemptEnd>,
    /// Where the workflow lost interest in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abandoned: Option<Mark>,
    /// What it spent; while it is under way, as far as heartbeats said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub charges: Vec<Charge>,
    /// The wait before the next attempt; `None` if that came at once, or never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryWait>,
    /// The `rewound` event that voided it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub void: Option<u64>,
}

impl Attempt {
    /// Whether it may still end by itself.
    pub fn is_open(&self) -> bool {
        self.end.is_none() && self.abandoned.is_none() && self.void.is_none()
    }

    /// What it failed with, if it did.
    pub fn failure(&self) -> Option<&Failure> {
        match &self.end.as_ref()?.result {
            Ended::Failed(failure) => Some(failure),
            Ended::Ok(_) => None,
        }
    }
}

/// The end of an attempt.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct AttemptEnd {
    /// Where.
    pub mark: Mark,
    /// Its output, or what it failed with.
    pub result: Ended,
}

/// The last sign of progress.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Beat {
    /// Where.
    pub mark: Mark,
    /// How many there were so far.
    pub count: u64,
    /// What it said.
    pub progress: Payload,
}

/// A wait before a step is tried again.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct RetryWait {
    /// Its operation.
    pub op: OpId,
    /// Where it began.
    pub asked: Mark,
    /// Until when.
    pub until: Timestamp,
    /// Where it was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fired: Option<Mark>,
    /// Where the workflow lost interest in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abandoned: Option<Mark>,
    /// The attempt that follows.
    pub attempt: u32,
    /// The most attempts.
    pub of: u32,
    /// Why so long.
    pub because: DelayReason,
}

/// The decision not to try a step again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct GaveUp {
    /// Where.
    pub mark: Mark,
    /// After how many attempts.
    pub attempts: u32,
    /// Why.
    pub because: GiveUp,
}

/// A sleep.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Sleep {
    /// Its operation.
    pub op: OpId,
    /// Where it began.
    pub asked: Mark,
    /// Until when.
    pub until: Timestamp,
    /// Where it was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fired: Option<Mark>,
    /// Where the workflow lost interest in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abandoned: Option<Mark>,
    /// The `rewound` event that voided it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub void: Option<u64>,
}

/// A wait for a signal.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Signal {
    /// Its operation.
    pub op: OpId,
    /// The signal's name.
    pub name: String,
    /// Where the wait began.
    pub asked: Mark,
    /// How long it may last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    /// The signal that it took; it may have come before the wait began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received: Option<Received>,
    /// Where the workflow lost interest in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abandoned: Option<Mark>,
    /// The `rewound` event that voided it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub void: Option<u64>,
}

/// The limit of a wait for a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Limit {
    /// Until when.
    pub until: Timestamp,
    /// Where it was reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fired: Option<Mark>,
}

/// A signal that reached the run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Received {
    /// Where.
    pub mark: Mark,
    /// Its name.
    pub name: String,
    /// What it brought.
    pub payload: Payload,
    /// The sender's id for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The `rewound` event that voided it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub void: Option<u64>,
}

/// A child run.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Child {
    /// The operation.
    pub op: OpId,
    /// Its workflow.
    pub workflow: String,
    /// Its workflow id.
    pub workflow_id: WorkflowId,
    /// Its run.
    pub run: RunId,
    /// Where it was started.
    pub asked: Mark,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<ChildEnd>,
    /// Where the workflow lost interest in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abandoned: Option<Mark>,
    /// The `rewound` event that voided it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub void: Option<u64>,
}

/// The end of a child run.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ChildEnd {
    /// Where.
    pub mark: Mark,
    /// Its output, or what it failed with.
    pub result: Ended,
}

/// A question to a person.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Person {
    /// The operation that waits; `None` if the engine parked the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub op: Option<OpId>,
    /// The step that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Why.
    pub reason: ParkReason,
    /// The same for people.
    pub message: String,
    /// Where it was asked.
    pub asked: Mark,
    /// The answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// Where the workflow lost interest in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abandoned: Option<Mark>,
    /// The `rewound` event that voided it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub void: Option<u64>,
}

impl Person {
    /// Whether the question still stands.
    pub fn is_open(&self) -> bool {
        self.answer.is_none() && self.abandoned.is_none() && self.void.is_none()
    }
}

/// A person's answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Answer {
    /// Where.
    pub mark: Mark,
    /// What; `None` if the engine had parked the run and takes it up again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolution: Option<Resolution>,
    /// Who.
    pub by: String,
}

/// The end of the run.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct RunEnd {
    /// Where.
    pub mark: Mark,
    /// How.
    pub result: RunResult,
}

/// Something without duration.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Happening {
    /// Where.
    pub mark: Mark,
    /// What.
    pub what: What,
    /// The `rewound` event that voided it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub void: Option<u64>,
}

/// What happened.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The run was told to stop.
    CancelRequested {
        /// `cancelled` or `timeout`.
        class: Class,
        /// Why.
        reason: String,
        /// Who.
        by: String,
    },
    /// Compensations began.
    Compensating {
        /// What made them necessary.
        cause: Failure,
        /// The steps that will be undone, in that order.
        steps: Vec<String>,
    },
    /// An operator held the run.
    Paused {
        /// Why.
        reason: String,
        /// Who.
        by: String,
    },
    /// An operator let it go on.
    Resumed {
        /// Who.
        by: String,
    },
    /// Another process took it over.
    Recovered {
        /// The new process.
        worker: String,
    },
    /// Its budget was raised.
    BudgetRaised {
        /// By how many dollars.
        usd: Money,
        /// By how many tokens.
        tokens: u64,
        /// Who.
        by: String,
    },
    /// It was taken back.
    Rewound {
        /// The last event that still counts.
        to: u64,
        /// Who.
        by: String,
    },
    /// It takes the new side of a deliberate change of code.
    Patched {
        /// Which change.
        id: String,
    },
    /// The workflow said something of itself.
    Said {
        /// What.
        text: String,
    },
}

fn millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
