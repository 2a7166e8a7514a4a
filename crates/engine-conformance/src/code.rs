//! The code that an engine is opened with, and steps as an exercise's workflow calls them.

use midwatch_workflow::{
    Class, Failure, Name, Step, StepContext, StepDefinition, StepOptions, Workflow, WorkflowDefinition,
};
use serde_json::Value;

/// Workflows, steps and limits of queues.
#[derive(Clone, Default, Debug)]
pub struct Code {
    /// The workflows.
    pub workflows: Vec<WorkflowDefinition>,
    /// The steps.
    pub steps: Vec<StepDefinition>,
    /// Queues, and how many attempts each lets run at once.
    pub queues: Vec<(Name, usize)>,
}

impl Code {
    /// No code yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a workflow.
    #[must_use]
    pub fn workflow(mut self, workflow: impl Workflow) -> Self {
        self.workflows.push(WorkflowDefinition::of(workflow));
        self
    }

    /// Adds a step.
    #[must_use]
    pub fn step(mut self, step: StepDefinition) -> Self {
        self.steps.push(step);
        self
    }

    /// Limits a queue.
    #[must_use]
    pub fn queue(mut self, name: &'static str, concurrency: usize) -> Self {
        self.queues.push((name.into(), concurrency));
        self
    }
}

/// A step as a workflow names it. What it does is registered apart, with [`crate::World::step`], as it may be on a
/// machine where the workflow's code is not.
#[derive(Clone, Debug)]
pub struct Ask(Name, StepOptions);

impl Ask {
    /// The step of this name, with an unspread wait of one tick between up to five attempts.
    pub fn of(name: &'static str) -> Self {
        use midwatch_workflow::{Backoff, Jitter, RetryPolicy};
        let retry = RetryPolicy::default().backoff(Backoff::Fixed(crate::TICK)).jitter(Jitter::None);
        Self(name.into(), StepOptions { retry, ..StepOptions::default() })
    }

    /// The same with other options.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut StepOptions)) -> Self {
        change(&mut self.1);
        self
    }

    /// The same with so many attempts.
    #[must_use]
    pub fn attempts(self, attempts: u32) -> Self {
        self.with(|options| options.retry.attempts = attempts)
    }
}

impl Step for Ask {
    type Input = Value;
    type Output = Value;

    fn name(&self) -> Name {
        self.0.clone()
    }

    fn options(&self) -> StepOptions {
        self.1.clone()
    }

    async fn run(&self, cx: StepContext, _: Value) -> Result<Value, Failure> {
        Err(Failure::new(Class::Bug, format!("step {} is only named here", cx.step())))
    }
}
