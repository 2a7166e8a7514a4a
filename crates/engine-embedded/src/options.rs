//! What an engine is opened with.

use std::collections::HashMap;
use std::time::Duration;

use midwatch_engine_attempt::{AdmissionOptions, Clock, GateOptions, QueueOptions, SharedBudgets};
use midwatch_workflow::Name;
pub use midwatch_workflow::Registry;

/// How an engine behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// How this process is called in the journal.
    pub worker: String,
    /// The clock.
    pub clock: Clock,
    /// The limits of named queues; a queue without an entry has none.
    pub queues: HashMap<Name, QueueOptions>,
    /// The gates of targets; all that a step names have one, unless they are turned off.
    pub gates: GateOptions,
    /// Budgets that many runs share.
    pub budgets: SharedBudgets,
    /// How long a run that only waits stays in memory.
    pub linger: Duration,
    /// How long attempts under way may go on when the engine stops.
    pub drain: Duration,
    /// How often messages from other processes are looked for.
    pub inbox_poll: Duration,
    /// How many runs are taken up again at once after a start.
    pub recovery_concurrency: usize,
}

impl Options {
    /// The defaults: system clock, no queue limits, 100 ms in memory, 30 s to drain, the inbox every 100 ms.
    pub fn new(worker: impl Into<String>) -> Self {
        Self {
            worker: worker.into(),
            clock: Clock::system(),
            queues: HashMap::new(),
            gates: GateOptions::default(),
            budgets: SharedBudgets::default(),
            linger: Duration::from_millis(100),
            drain: Duration::from_secs(30),
            inbox_poll: Duration::from_millis(100),
            recovery_concurrency: 64,
        }
    }

    pub(crate) fn admissions(&self) -> AdmissionOptions {
        AdmissionOptions {
            worker: self.worker.clone(),
            clock: self.clock,
            queues: self.queues.clone(),
            gates: self.gates.clone(),
            budgets: self.budgets.clone(),
        }
    }
}
