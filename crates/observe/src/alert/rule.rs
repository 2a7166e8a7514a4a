//! What is watched for, and what was found.

use std::fmt;
use std::time::Duration;

use midwatch_workflow::{Money, RunId};
use serde::{Deserialize, Serialize};

/// Something that somebody wants to hear of.
#[derive(Clone, PartialEq, Debug)]
pub struct Rule {
    /// Its name, unique among the rules.
    pub name: String,
    /// When it holds.
    pub test: Test,
    /// How bad that is.
    pub severity: Severity,
    /// Only of this workflow; of all if there is none.
    pub workflow: Option<String>,
    /// For how long it must hold before anybody hears of it.
    pub after: Duration,
}

/// When a rule holds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Test {
    /// A run cost more than so many times the median of its workflow, and at least this.
    RunCost {
        /// So many medians.
        times: f64,
        /// At least this.
        least: Money,
    },
    /// A run made no progress for so long, or its timer is overdue.
    NoProgress {
        /// For so long.
        limit: Duration,
    },
    /// An attempt waits for so long to start.
    ScheduleToStart {
        /// For so long.
        limit: Duration,
    },
    /// Failed attempts cost more than this share of what a workflow spent lately, and at least this.
    WasteShare {
        /// From 0 to 1.
        share: f64,
        /// At least this was wasted.
        least: Money,
    },
    /// An open run has spent this share of its budget.
    Budget {
        /// From 0 to 1.
        share: f64,
    },
    /// A run is parked, for any reason but a failed compensation.
    Parked,
    /// A compensation failed for good.
    CompensationFailed,
    /// The gate of a target counts it as down.
    TargetDown,
    /// Runs are open, and no process owns the journal.
    NoOwner,
}

impl Test {
    /// All words for what can be watched for.
    pub const WORDS: [&'static str; 9] = [
        "run_cost",
        "no_progress",
        "schedule_to_start",
        "waste_share",
        "budget",
        "parked",
        "compensation_failed",
        "target_down",
        "no_owner",
    ];

    /// The word for it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Test::RunCost { .. } => "run_cost",
            Test::NoProgress { .. } => "no_progress",
            Test::ScheduleToStart { .. } => "schedule_to_start",
            Test::WasteShare { .. } => "waste_share",
            Test::Budget { .. } => "budget",
            Test::Parked => "parked",
            Test::CompensationFailed => "compensation_failed",
            Test::TargetDown => "target_down",
            Test::NoOwner => "no_owner",
        }
    }
}

/// How bad something is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It can wait until the morning.
    Warning,
    /// It cannot.
    Critical,
}

impl Severity {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a finding is about.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// A run.
    Run {
        /// Its id.
        run: RunId,
        /// Its workflow.
        workflow: String,
    },
    /// A workflow.
    Workflow(String),
    /// A target.
    Target(String),
    /// The whole journal.
    Journal,
}

impl Subject {
    /// The run, if it is one.
    pub fn run(&self) -> Option<RunId> {
        match self {
            Subject::Run { run, .. } => Some(*run),
            _ => None,
        }
    }

    /// The workflow, if it belongs to one.
    pub fn workflow(&self) -> Option<&str> {
        match self {
            Subject::Run { workflow, .. } | Subject::Workflow(workflow) => Some(workflow),
            _ => None,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Run { run, workflow } => write!(f, "{workflow} {}", run.short()),
            Subject::Workflow(workflow) => f.write_str(workflow),
            Subject::Target(target) => f.write_str(target),
            Subject::Journal => f.write_str("journal"),
        }
    }
}

/// A rule that holds for something.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// The rule's name.
    pub rule: String,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub subject: Subject,
    /// What is so, in a sentence.
    pub says: String,
    /// The command that tells more.
    pub next: String,
}

impl Finding {
    /// By what it is recognised when it is found again.
    pub fn key(&self) -> String {
        let subject = match &self.subject {
            Subject::Run { run, .. } => format!("run {run}"),
            Subject::Workflow(workflow) => format!("workflow {workflow}"),
            Subject::Target(target) => format!("target {target}"),
            Subject::Journal => "journal".to_owned(),
        };
        format!("{}/{subject}", self.rule)
    }
}
