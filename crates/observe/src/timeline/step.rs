//! The shapes of a step: its attempts, and the waits between them.

use std::time::Duration;

use midwatch_workflow::event::WaitReason;
use midwatch_workflow::{Charge, DelayReason, Ended, Failure, GiveUp, OpId, Payload, Spent, Timestamp};
use serde::{Serialize, Serializer};

use super::shape::Mark;

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
    /// Where its compensation succeeded; `None` too if a person said that it was undone by hand.
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

fn millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
