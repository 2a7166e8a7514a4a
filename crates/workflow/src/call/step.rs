//! A step as a workflow calls it.

use std::marker::PhantomData;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::tries::{StepSpec, Uncertain, run_step};
use crate::context::Context;
use crate::pattern::saga::{self, Undo, UndoOf};
use crate::{Budget, Data, Failure, KeyScope, Name, OpId, Payload, RetryPolicy, Step, Timeouts};

/// A step that will run when it is awaited; made by [`Context::step`].
#[must_use = "a step runs when it is awaited"]
pub struct StepCall<O> {
    cx: Context,
    spec: Box<StepSpec>,
    input: Result<Payload, Failure>,
    undo: Option<(Box<StepSpec>, UndoInput)>,
    uncertain: Option<Uncertain>,
    output: PhantomData<fn() -> O>,
}

/// Makes a compensation's input of the step's output.
type UndoInput = Box<dyn FnOnce(&Payload) -> Result<Payload, Failure> + Send>;

impl<O: Data> StepCall<O> {
    pub(crate) fn new<S: Step<Output = O>>(cx: Context, step: &S, input: &S::Input) -> Self {
        Self {
            cx,
            spec: Box::new(StepSpec::of(step)),
            input: Payload::of(input),
            undo: None,
            uncertain: None,
            output: PhantomData,
        }
    }

    /// Registers, when the step has succeeded, the step that undoes it.
    pub fn compensate<S: Step>(
        mut self,
        undo: S,
        input: impl FnOnce(O) -> S::Input + Send + 'static,
    ) -> Self {
        let spec = Box::new(StepSpec::of(&undo));
        self.spec.undo = Some(spec.name.clone());
        self.undo = Some((spec, Box::new(move |output| Payload::of(&input(output.read()?)))));
        self
    }

    /// Registers, before the first attempt, the step that undoes it by its idempotency key: for steps whose outcome may
    /// stay unknown. It runs unless every attempt failed for certain, so it must bear that there is nothing to undo.
    pub fn compensate_uncertain<S: Step>(
        mut self,
        undo: S,
        input: impl FnOnce(&str) -> S::Input + Send + 'static,
    ) -> Self {
        let spec = StepSpec::of(&undo);
        self.spec.undo = Some(spec.name.clone());
        self.uncertain =
            Some(Uncertain { spec: Box::new(spec), input: Box::new(move |key| Payload::of(&input(key))) });
        self
    }

    /// Tries it by another policy than the step's own.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.spec.options.retry = policy;
        self
    }

    /// Gives each attempt another limit.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.spec.options.timeouts.attempt = limit;
        self
    }

    /// Sets all limits.
    pub fn timeouts(mut self, limits: Timeouts) -> Self {
        self.spec.options.timeouts = limits;
        self
    }

    /// Limits what all attempts may spend.
    pub fn budget(mut self, budget: Budget) -> Self {
        self.spec.options.budget = Some(budget);
        self
    }

    /// Sends it through a queue.
    pub fn queue(mut self, queue: impl Into<Name>) -> Self {
        self.spec.options.queue = Some(queue.into());
        self
    }

    /// Lets it go before others of lower priority in its queue.
    pub fn priority(mut self, priority: i8) -> Self {
        self.spec.options.priority = priority;
        self
    }

    /// Names the outside party that it talks to.
    pub fn target(mut self, target: impl Into<Name>) -> Self {
        self.spec.options.target = Some(target.into());
        self
    }

    /// Gives every attempt a key of its own.
    pub fn key_per_attempt(mut self) -> Self {
        self.spec.options.keys = KeyScope::Attempt;
        self
    }

    async fn run(self) -> Result<O, Failure> {
        let input = self.input?;
        let (first, output) = run_step(&self.cx, &self.spec, input, self.uncertain).await?;
        if let Some((spec, input)) = self.undo {
            register(&self.cx, first, *spec, input(&output)?);
        }
        output.read()
    }
}

/// The certain compensation replaces an uncertain one of the same step.
fn register(cx: &Context, step: OpId, spec: StepSpec, input: Payload) {
    saga::forget(cx, step);
    cx.shared().lock().undos.push(Undo { step, of: UndoOf::Step, spec, input });
}

impl<O: Data> IntoFuture for StepCall<O> {
    type Output = Result<O, Failure>;
    type IntoFuture = BoxFuture<'static, Result<O, Failure>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
