//! A run in a list, as views need it: what the journal keeps beside the events of every run.

use std::collections::BTreeMap;

use midwatch_workflow::event::WaitReason;
use midwatch_workflow::{Class, Money, ParkReason, RunId, Spent, Timestamp};
use serde::{Deserialize, Serialize};

/// Where a run stands; the words are the journal's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Attempts are under way, or about to be.
    Running,
    /// It waits for a timer, a signal or a child, and for nothing else.
    Waiting,
    /// It undoes its steps.
    Compensating,
    /// An operator holds it.
    Paused,
    /// It needs a person.
    Parked,
    /// It ended with an output.
    Completed,
    /// It ended with a failure and had nothing to undo.
    Failed,
    /// It ended with a failure, a cancellation or a timeout, and its steps were undone.
    Compensated,
    /// It was cancelled and had nothing to undo.
    Cancelled,
}

impl Status {
    /// Whether the run has ended.
    pub const fn is_ended(self) -> bool {
        matches!(self, Status::Completed | Status::Failed | Status::Compensated | Status::Cancelled)
    }

    /// The word used in the journal, in metrics and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Status::Running => "running",
            Status::Waiting => "waiting",
            Status::Compensating => "compensating",
            Status::Paused => "paused",
            Status::Parked => "parked",
            Status::Completed => "completed",
            Status::Failed => "failed",
            Status::Compensated => "compensated",
            Status::Cancelled => "cancelled",
        }
    }
}

/// A run in a list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Run {
    /// The run.
    pub run: RunId,
    /// The workflow's name.
    pub workflow: String,
    /// The user's id.
    pub workflow_id: String,
    /// For whom it runs.
    #[serde(default)]
    pub tenant: Option<String>,
    /// Where it stands.
    pub status: Status,
    /// When it started.
    pub started_at: Timestamp,
    /// When its last event was recorded.
    pub updated_at: Timestamp,
    /// When it ended.
    #[serde(default)]
    pub ended_at: Option<Timestamp>,
    /// When something is due next, if it waits.
    #[serde(default)]
    pub wake_at: Option<Timestamp>,
    /// How many events it has.
    #[serde(default)]
    pub events: u64,
    /// Steps that succeeded.
    #[serde(default)]
    pub steps: u64,
    /// Attempts that were asked for.
    #[serde(default)]
    pub attempts: u64,
    /// Attempts that failed.
    #[serde(default)]
    pub failures: u64,
    /// What all attempts spent.
    #[serde(default)]
    pub spent: Spent,
    /// What failed attempts cost of it.
    #[serde(default)]
    pub wasted: Money,
    /// What all attempts spent, by whom was paid, `provider:model`.
    #[serde(default)]
    pub spent_by: BTreeMap<String, Spent>,
    /// How many child runs it waits for.
    #[serde(default)]
    pub children: u32,
    /// What it does or waits for, in a few words.
    #[serde(default)]
    pub doing: String,
    /// Why it is parked.
    #[serde(default)]
    pub parked: Option<ParkReason>,
    /// What it, or its last attempt, failed with.
    #[serde(default)]
    pub class: Option<Class>,
    /// The same for people.
    #[serde(default)]
    pub message: Option<String>,
    /// The run that started it.
    #[serde(default)]
    pub parent: Option<RunId>,
    /// The process that carries it out.
    #[serde(default)]
    pub worker: String,
    /// The outside party that its latest attempt talks to.
    #[serde(default)]
    pub target: Option<String>,
    /// The queue of its latest attempt.
    #[serde(default)]
    pub queue: Option<String>,
    /// What holds an attempt of it back.
    #[serde(default)]
    pub held: Option<WaitReason>,
}

impl Run {
    /// Whether it has not ended.
    pub fn is_open(&self) -> bool {
        !self.status.is_ended()
    }
}
