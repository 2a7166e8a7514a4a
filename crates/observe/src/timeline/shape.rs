//! The shapes of a timeline, but for those of steps.

use midwatch_workflow::{
    Class, Ended, Failure, Money, OpId, ParkReason, Payload, Resolution, RunId, RunResult, Timestamp,
    WorkflowId,
};
use serde::Serialize;

use super::step::Step;

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
