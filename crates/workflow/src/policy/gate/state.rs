//! What a gate knows, for people and for the next process.

use serde::{Deserialize, Serialize};

use super::HeldBy;
use crate::{Name, Timestamp};

/// What a gate knows at one moment.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct GateState {
    /// Until when nothing starts, if it is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<GateClosed>,
    /// Whether an attempt is under way that finds out if the target is up again.
    #[serde(default)]
    pub is_probing: bool,
    /// Failures in a row over all runs.
    pub failures: u32,
    /// Starts per second that it allows.
    pub rate: f64,
    /// Starts per second that it is on its way back to after a pause, else the same.
    pub rate_aim: f64,
    /// Attempts under way that it allows.
    pub concurrency: u32,
    /// Attempts under way.
    pub under_way: u32,
    /// Retries that may start without a success.
    pub retries_left: u32,
}

/// The gate of a target, and who waits at it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct GateView {
    /// The target.
    pub target: Name,
    /// Attempts that wait.
    pub waiting: usize,
    /// What the gate knows.
    pub state: GateState,
}

/// A closed gate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GateClosed {
    /// When it opens, or looks whether the target is up again.
    pub until: Timestamp,
    /// Why: [`HeldBy::CoolDown`] or [`HeldBy::Circuit`].
    pub because: HeldBy,
}
