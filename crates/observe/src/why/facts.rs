//! What an answer is computed from, and nothing else.

use std::time::Duration;

use midwatch_workflow::{Event, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Cause, Verdict};
use crate::baseline::Baselines;
use crate::run::Run;

/// Everything that is known about a run and its surroundings at one moment.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Facts {
    /// The run's events, all of them from the first.
    pub events: Vec<Event>,
    /// The time at which the question is asked.
    pub now: Timestamp,
    /// Who owns the journal.
    #[serde(default)]
    pub owner: Owner,
    /// What is usual for the workflow.
    #[serde(default)]
    pub baselines: Baselines,
    /// Other open runs, as many as were looked at.
    #[serde(default)]
    pub neighbours: Vec<Run>,
    /// The run's children that have not been told as ended.
    #[serde(default)]
    pub children: Vec<Relative>,
    /// What is known of gates.
    #[serde(default)]
    pub gates: Vec<Gate>,
    /// Silence beyond this is a stall.
    #[serde(default = "stall_limit")]
    pub stall_limit: Duration,
}

/// The stall limit where nothing else is said: 5 minutes.
pub const STALL_LIMIT: Duration = Duration::from_secs(300);

fn stall_limit() -> Duration {
    STALL_LIMIT
}

impl Facts {
    /// The bare minimum: a run and the time.
    pub fn new(events: Vec<Event>, now: Timestamp) -> Self {
        Self {
            events,
            now,
            owner: Owner::Unknown,
            baselines: Baselines::default(),
            neighbours: Vec::new(),
            children: Vec::new(),
            gates: Vec::new(),
            stall_limit: STALL_LIMIT,
        }
    }
}

/// Who owns the journal, and so carries its runs out.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// It cannot be told.
    #[default]
    Unknown,
    /// Nobody: no run goes on.
    Nobody,
    /// A process that is alive.
    Process {
        /// In words.
        name: String,
        /// Since when.
        #[serde(default)]
        since: Option<Timestamp>,
    },
}

/// A child run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Relative {
    /// As lists show it.
    pub run: Run,
    /// The answer for it, if it was asked for.
    #[serde(default)]
    pub answer: Option<ShortAnswer>,
}

/// An answer in short.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ShortAnswer {
    /// How it is doing.
    pub verdict: Verdict,
    /// Why.
    pub cause: Cause,
    /// The same in a sentence.
    pub headline: String,
}

/// A gate.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Gate {
    /// Whose.
    pub target: String,
    /// Until when it is closed at least; `None` if it is open.
    #[serde(default)]
    pub closed_until: Option<Timestamp>,
}
