//! What the admissions of a process are opened with.

use std::collections::HashMap;
use std::path::PathBuf;

use midwatch_workflow::{GatePolicy, Name};

use crate::{Clock, SharedBudgets};

/// What stands before the attempts of a process.
#[derive(Clone, Debug)]
pub struct AdmissionOptions {
    /// How this process is called.
    pub worker: String,
    /// The clock.
    pub clock: Clock,
    /// The limits of named queues; a queue without an entry has none.
    pub queues: HashMap<Name, QueueOptions>,
    /// The gates of targets.
    pub gates: GateOptions,
    /// Budgets that many runs share.
    pub budgets: SharedBudgets,
}

/// The limits of a queue.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct QueueOptions {
    /// How many of its attempts may run at once.
    pub concurrency: usize,
    /// How many may start within a second, if limited.
    pub per_second: Option<f64>,
}

impl QueueOptions {
    /// A queue that lets so many attempts run at once.
    pub fn concurrency(concurrency: usize) -> Self {
        Self { concurrency: concurrency.max(1), per_second: None }
    }

    /// The same, starting at most so many attempts a second.
    #[must_use]
    pub fn per_second(self, rate: f64) -> Self {
        Self { per_second: (rate > 0.0).then_some(rate), ..self }
    }
}

/// Which targets have gates, and of what kind. By default all have one with [`GatePolicy::default`].
#[derive(Clone, Debug)]
pub struct GateOptions {
    default: Option<GatePolicy>,
    own: HashMap<Name, Option<GatePolicy>>,
    /// The journal beside which other processes are shown how the gates stand.
    pub(crate) board: Option<PathBuf>,
}

impl Default for GateOptions {
    fn default() -> Self {
        Self { default: Some(GatePolicy::default()), own: HashMap::new(), board: None }
    }
}

impl GateOptions {
    /// No gates, but for targets that are given one.
    pub fn off() -> Self {
        Self { default: None, ..Self::default() }
    }

    /// The policy of targets that have none of their own.
    #[must_use]
    pub fn usual(self, policy: GatePolicy) -> Self {
        Self { default: Some(policy), ..self }
    }

    /// The policy of one target.
    #[must_use]
    pub fn target(mut self, target: impl Into<Name>, policy: GatePolicy) -> Self {
        self.own.insert(target.into(), Some(policy));
        self
    }

    /// No gate for one target.
    #[must_use]
    pub fn target_off(mut self, target: impl Into<Name>) -> Self {
        self.own.insert(target.into(), None);
        self
    }

    /// Shows other processes how the gates stand, in a [`Board`](midwatch_journal::Board) beside this journal, and begins
    /// with what the last one there says.
    #[must_use]
    pub fn shown_beside(self, journal: impl Into<PathBuf>) -> Self {
        Self { board: Some(journal.into()), ..self }
    }

    pub(crate) fn policy(&self, target: &Name) -> Option<GatePolicy> {
        self.own.get(target).copied().unwrap_or(self.default)
    }
}
