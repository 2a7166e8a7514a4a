//! What an engine is opened with.

use std::collections::HashMap;
use std::time::Duration;

use midwatch_workflow::{Name, StepDefinition, WorkflowDefinition};

use crate::{Clock, SharedBudgets};

/// How an engine behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// How this process is called in the journal.
    pub worker: String,
    /// The clock.
    pub clock: Clock,
    /// The limits of named queues; a queue without an entry has none.
    pub queues: HashMap<Name, QueueOptions>,
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
            budgets: SharedBudgets::default(),
            linger: Duration::from_millis(100),
            drain: Duration::from_secs(30),
            inbox_poll: Duration::from_millis(100),
            recovery_concurrency: 64,
        }
    }
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

/// The code that an engine can run, by name.
#[derive(Clone, Default, Debug)]
pub struct Registry {
    workflows: HashMap<Name, WorkflowDefinition>,
    steps: HashMap<Name, StepDefinition>,
}

impl Registry {
    /// Adds a workflow; the last one of a name counts.
    pub fn add_workflow(&mut self, workflow: WorkflowDefinition) {
        self.workflows.insert(workflow.name().clone(), workflow);
    }

    /// Adds a step; the last one of a name counts.
    pub fn add_step(&mut self, step: StepDefinition) {
        self.steps.insert(step.name().clone(), step);
    }

    /// The workflow of this name.
    pub fn workflow(&self, name: &str) -> Option<&WorkflowDefinition> {
        self.workflows.get(name)
    }

    /// The step of this name.
    pub fn step(&self, name: &str) -> Option<&StepDefinition> {
        self.steps.get(name)
    }
}
