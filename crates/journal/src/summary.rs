//! What lists show of a run: kept beside the journal in the same transaction, and recomputable from it.

use std::collections::BTreeMap;
use std::fmt;

use midwatch_workflow::event::{ForkedFrom, Parent, WaitReason};
use midwatch_workflow::{Class, Money, ParkReason, RunId, Spent, Timestamp, WorkflowId};
use serde::{Deserialize, Serialize};

/// Where a run stands.
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
    /// All states, open ones first.
    pub const ALL: [Status; 9] = [
        Status::Running,
        Status::Waiting,
        Status::Compensating,
        Status::Paused,
        Status::Parked,
        Status::Completed,
        Status::Failed,
        Status::Compensated,
        Status::Cancelled,
    ];

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

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for Status {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Status::ALL.map(Status::as_str).join(", ");
        let found = Status::ALL.into_iter().find(|status| status.as_str() == text);
        found.ok_or_else(|| format!("`{text}` is no status: expected one of {}", known()))
    }
}

/// A run in a list. Of an open run it trails the journal by at most a second, of a waiting or ended run not at all.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RunSummary {
    /// The run.
    pub run: RunId,
    /// The workflow's name.
    pub workflow: String,
    /// The user's id.
    pub workflow_id: WorkflowId,
    /// For whom it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Where it stands.
    pub status: Status,
    /// When it started.
    pub started_at: Timestamp,
    /// When its last event was recorded.
    pub updated_at: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// When something is due next, if the run waits: the earliest of its timers and its deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake_at: Option<Timestamp>,
    /// How many events it has.
    pub events: u64,
    /// Steps that succeeded, compensations included.
    pub steps: u64,
    /// Attempts that were asked for.
    pub attempts: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// What all attempts spent.
    pub spent: Spent,
    /// What failed attempts cost of it.
    pub wasted: Money,
    /// What all attempts spent, by whom was paid, `provider:model`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub spent_by: BTreeMap<String, Spent>,
    /// How many child runs it waits for.
    #[serde(default)]
    pub children: u32,
    /// What it does or waits for, in a few words, e.g. `charge_card attempt 2` or `signal approve`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub doing: String,
    /// What the workflow last said of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_text: Option<String>,
    /// Why it is parked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked: Option<ParkReason>,
    /// What it failed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// The same for people; of an open run, the last attempt's failure; of a parked one, what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How many steps were undone.
    #[serde(default)]
    pub compensated: u32,
    /// The run that started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// The run that it was forked from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked_from: Option<ForkedFrom>,
    /// The process that carries it out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub worker: String,
    /// The outside party that its latest attempt talks to: who else has trouble with it is asked by this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The queue of its latest attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// What holds an attempt of it back: such a run waits rightly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<WaitReason>,
}

impl RunSummary {
    /// How the worker of a run begins that others carry out and that is only written down here.
    pub const RECORDER: &str = midwatch_workflow::RunStarted::RECORDER;

    /// Whether others carry the run out: no engine takes it up.
    pub fn is_recorded(&self) -> bool {
        self.worker.starts_with(Self::RECORDER)
    }

    /// Whether a gateway records the run: it can keep the run from calling any further.
    pub fn is_of_gateway(&self) -> bool {
        self.worker.strip_prefix(Self::RECORDER).is_some_and(|by| by.trim_start().starts_with("gateway"))
    }

    /// Whether no other run of the workflow may be started under its workflow id.
    ///
    /// Children and forks make no such claim: a child's id is its parent's choice and a fork keeps that of the run that
    /// it was forked from, so both start whatever else has the id.
    pub fn claims_workflow_id(&self) -> bool {
        self.parent.is_none() && self.forked_from.is_none()
    }
}
