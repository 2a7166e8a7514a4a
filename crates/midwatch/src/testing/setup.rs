//! What a test gives its engine: workflows, steps, stubs, answers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use midwatch_engine_embedded::{Options, QueueOptions, Registry};
use midwatch_journal::Journal;
use midwatch_journal::story::lost_attempts;
use midwatch_workflow::{
    Data, Failure, Name, Payload, Step, StepContext, StepDefinition, Workflow, WorkflowDefinition, step_fn,
};
use serde::Serialize;

use super::crash::{Difference, Survived, crash_everywhere};
use super::engine::TestEngine;

/// The code and the world of a test; made by [`TestEngine::with`].
#[derive(Clone, Default)]
#[must_use = "nothing runs before it is opened"]
pub struct TestSetup {
    workflows: Vec<WorkflowDefinition>,
    steps: HashMap<Name, MakeStep>,
    queues: HashMap<Name, QueueOptions>,
    /// Payloads of signals that are sent whenever a run waits for them.
    pub(super) answers: HashMap<String, Payload>,
}

/// Makes a step that knows the journal: a stub must tell attempts apart that a crash took.
type MakeStep = Arc<dyn Fn(Arc<dyn Journal>) -> StepDefinition + Send + Sync>;

impl TestSetup {
    /// Registers a workflow.
    pub fn workflow(mut self, workflow: impl Workflow) -> Self {
        self.workflows.push(WorkflowDefinition::of(workflow));
        self
    }

    /// Registers a step as it is. The last step or stub of a name counts.
    pub fn step(mut self, step: impl Step) -> Self {
        let step = StepDefinition::of(step);
        self.steps.insert(step.name().clone(), Arc::new(move |_| step.clone()));
        self
    }

    /// Puts a function in the place of the step of this name. It gets the input and the number of the attempt, from 1;
    /// attempts that a crash took are not counted, so that a stub does the same whatever crashes.
    pub fn stub<I: Data, O: Data>(
        mut self,
        name: impl Into<Name>,
        attempt: impl Fn(I, u32) -> Result<O, Failure> + Send + Sync + 'static,
    ) -> Self {
        let (name, attempt) = (name.into(), Arc::new(attempt));
        let stub_name = name.clone();
        let stub: MakeStep = Arc::new(move |journal| {
            let (attempt, journal) = (Arc::clone(&attempt), Arc::clone(&journal));
            StepDefinition::of(step_fn(stub_name.clone(), move |cx: StepContext, input: I| {
                let output = attempt(input, number(&cx, &*journal));
                async move { output }
            }))
        });
        self.steps.insert(name, stub);
        self
    }

    /// Limits a queue.
    pub fn queue(mut self, name: impl Into<Name>, options: QueueOptions) -> Self {
        self.queues.insert(name.into(), options);
        self
    }

    /// Answers every wait for the signal of this name, in whatever run, with this payload.
    ///
    /// # Panics
    /// If the payload has no JSON form.
    pub fn answer<T: Serialize + ?Sized>(mut self, signal: impl Into<String>, payload: &T) -> Self {
        self.answers.insert(signal.into(), payload_of(payload));
        self
    }

    /// Opens an engine with a journal in memory and a clock that stands still until the test lets time pass.
    ///
    /// # Panics
    /// If called from within a tokio runtime: write `#[test]`, not `#[tokio::test]`.
    pub fn open(self) -> TestEngine {
        TestEngine::open(self)
    }

    /// Runs the workflow once undisturbed; then again and again, each time with the process killed at another append, before
    /// and after its write; and each time compares how the run ended and what its journal says.
    ///
    /// Signals that the workflow waits for are sent by [`answer`](Self::answer). Steps must do the same whenever they are
    /// given the same, as stubs do, or every run would differ anyway.
    ///
    /// # Errors
    /// [`Difference`]: the append at which the crash was, the last event before it, and what came out otherwise.
    ///
    /// # Panics
    /// If called from within a tokio runtime, or if the run does not end without a crash either.
    pub fn crash_everywhere<W: Workflow>(self, workflow: W, input: W::Input) -> Result<Survived, Difference> {
        crash_everywhere(&self, workflow.name(), payload_of(&input))
    }

    pub(super) fn registry(&self, journal: &Arc<dyn Journal>) -> Registry {
        let mut registry = Registry::default();
        self.workflows.iter().for_each(|workflow| registry.add_workflow(workflow.clone()));
        self.steps.values().for_each(|make| registry.add_step(make(Arc::clone(journal))));
        registry
    }

    pub(super) fn options(&self, worker: String) -> Options {
        Options {
            queues: self.queues.clone(),
            // Nobody leaves letters here, and under a virtual clock every look is a step of time.
            inbox_poll: Duration::from_secs(365 * 24 * 3600),
            ..Options::new(worker)
        }
    }
}

pub(super) fn payload_of<T: Serialize + ?Sized>(value: &T) -> Payload {
    Payload::of(value).unwrap_or_else(|failure| panic!("the test's value cannot be journaled: {failure}"))
}

/// Which attempt it is, those not counted that were lost.
fn number(cx: &StepContext, journal: &dyn Journal) -> u32 {
    let events = journal.events(cx.run_id(), 0).unwrap_or_default();
    cx.attempt() - lost_attempts(&events, cx.step(), cx.attempt()).min(cx.attempt() - 1)
}
