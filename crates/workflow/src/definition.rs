//! What users register: workflows and steps, typed where they write them and erased where engines call them.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::Instrument as _;

use crate::{Budget, Context, Failure, Payload, RetryPolicy, StepContext, Timeouts};

/// A registered name: of a workflow, step, queue or target.
pub type Name = Cow<'static, str>;

/// What goes into and comes out of workflows and steps: data with a JSON form.
pub trait Data: Serialize + DeserializeOwned + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Send + 'static> Data for T {}

/// A workflow: a deterministic function that asks for steps, timers, signals and child runs.
///
/// Usually written with `#[workflow]`; without the macro by [`workflow_fn`] or by hand.
pub trait Workflow: Send + Sync + 'static {
    /// What a run is started with.
    type Input: Data;
    /// What a run ends with.
    type Output: Data;

    /// The registered name.
    fn name(&self) -> Name;

    /// Limits of its runs.
    fn options(&self) -> WorkflowOptions {
        WorkflowOptions::default()
    }

    /// The code. It must do the same whenever it gets the same answers: no clock, no randomness, no I/O of its own.
    fn run(
        &self,
        cx: Context,
        input: Self::Input,
    ) -> impl Future<Output = Result<Self::Output, Failure>> + Send;
}

/// A step: one named side effect.
///
/// Usually written with `#[step]`; without the macro by [`step_fn`] or by hand.
pub trait Step: Send + Sync + 'static {
    /// What an attempt is given.
    type Input: Data;
    /// What a successful attempt gives.
    type Output: Data;

    /// The registered name.
    fn name(&self) -> Name;

    /// How it is tried; a call may say otherwise.
    fn options(&self) -> StepOptions {
        StepOptions::default()
    }

    /// One attempt.
    fn run(
        &self,
        cx: StepContext,
        input: Self::Input,
    ) -> impl Future<Output = Result<Self::Output, Failure>> + Send;
}

/// A function that makes a workflow is one: `#[workflow]` turns the user's function into such a one.
impl<F, W> Workflow for F
where
    F: Fn() -> W + Send + Sync + 'static,
    W: Workflow,
{
    type Input = W::Input;
    type Output = W::Output;

    fn name(&self) -> Name {
        self().name()
    }

    fn options(&self) -> WorkflowOptions {
        self().options()
    }

    fn run(&self, cx: Context, input: W::Input) -> impl Future<Output = Result<W::Output, Failure>> + Send {
        let workflow = self();
        async move { workflow.run(cx, input).await }
    }
}

/// A function that makes a step is one: `#[step]` turns the user's function into such a one.
impl<F, S> Step for F
where
    F: Fn() -> S + Send + Sync + 'static,
    S: Step,
{
    type Input = S::Input;
    type Output = S::Output;

    fn name(&self) -> Name {
        self().name()
    }

    fn options(&self) -> StepOptions {
        self().options()
    }

    fn run(
        &self,
        cx: StepContext,
        input: S::Input,
    ) -> impl Future<Output = Result<S::Output, Failure>> + Send {
        let step = self();
        async move { step.run(cx, input).await }
    }
}

/// Limits of a workflow's runs.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct WorkflowOptions {
    /// How long a run may take until it is told to stop and compensates.
    pub timeout: Duration,
    /// What a run may spend.
    pub budget: Option<Budget>,
}

impl Default for WorkflowOptions {
    /// 30 days, no budget.
    fn default() -> Self {
        Self { timeout: Duration::from_secs(30 * 24 * 3600), budget: None }
    }
}

/// How a step is tried.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct StepOptions {
    /// How long each part may take.
    pub timeouts: Timeouts,
    /// When it is tried again.
    pub retry: RetryPolicy,
    /// What all attempts at one use of the step may spend.
    pub budget: Option<Budget>,
    /// The queue its attempts go through; `None` for no limit.
    pub queue: Option<Name>,
    /// Higher goes first within a queue; 0 is usual.
    pub priority: i8,
    /// The outside party that it talks to, e.g. `stripe`: what rate limits belong to.
    pub target: Option<Name>,
    /// What an idempotency key stands for.
    pub keys: KeyScope,
}

/// What an idempotency key stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum KeyScope {
    /// The step: all attempts share the key, so that a receiver does it once.
    #[default]
    Step,
    /// The attempt: a receiver takes each one as new. Only for receivers where that is meant.
    Attempt,
}

type Run<C> = Arc<dyn Fn(C, Payload) -> BoxFuture<'static, Result<Payload, Failure>> + Send + Sync>;

/// A workflow as engines call it: by name, with a payload.
#[derive(Clone)]
pub struct WorkflowDefinition {
    name: Name,
    options: WorkflowOptions,
    run: Run<Context>,
}

impl WorkflowDefinition {
    /// Erases a workflow's types.
    pub fn of<W: Workflow>(workflow: W) -> Self {
        let (name, options, workflow) = (workflow.name(), workflow.options(), Arc::new(workflow));
        let run: Run<Context> = Arc::new(move |cx, input| {
            let workflow = Arc::clone(&workflow);
            Box::pin(async move { Payload::of(&workflow.run(cx, input.read()?).await?) })
        });
        Self { name, options, run }
    }

    /// The registered name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Limits of its runs.
    pub fn options(&self) -> &WorkflowOptions {
        &self.options
    }

    pub(crate) fn run(&self, cx: Context, input: Payload) -> BoxFuture<'static, Result<Payload, Failure>> {
        (self.run)(cx, input)
    }
}

impl fmt::Debug for WorkflowDefinition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "workflow {}", self.name)
    }
}

/// A step as engines call it: by name, with a payload.
#[derive(Clone)]
pub struct StepDefinition {
    name: Name,
    run: Run<StepContext>,
}

impl StepDefinition {
    /// Erases a step's types.
    pub fn of<S: Step>(step: S) -> Self {
        let (name, step) = (step.name(), Arc::new(step));
        let run: Run<StepContext> = Arc::new(move |cx, input| {
            let step = Arc::clone(&step);
            Box::pin(async move { Payload::of(&step.run(cx, input.read()?).await?) })
        });
        Self { name, run }
    }

    /// The registered name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The same step with something around each attempt: `enter` may lend to its context, and what it gives beside that is
    /// dropped when the attempt's code has ended, or was dropped itself.
    #[must_use]
    pub fn around<G: Send + 'static>(
        self,
        enter: impl Fn(StepContext) -> (StepContext, G) + Send + Sync + 'static,
    ) -> Self {
        let Self { name, run: inner } = self;
        let run: Run<StepContext> = Arc::new(move |cx, input| {
            let (cx, guard) = enter(cx);
            let attempt = inner(cx, input);
            Box::pin(async move {
                let ended = attempt.await;
                drop(guard);
                ended
            })
        });
        Self { name, run }
    }

    /// Makes one attempt. What it logs by `tracing` meanwhile is inside [`StepContext::log_span`].
    pub fn run(&self, cx: StepContext, input: Payload) -> BoxFuture<'static, Result<Payload, Failure>> {
        let span = cx.log_span();
        let attempt = (self.run)(cx, input);
        // Where nobody listens, nothing is added.
        if span.is_disabled() { attempt } else { Box::pin(attempt.instrument(span)) }
    }
}

impl fmt::Debug for StepDefinition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {}", self.name)
    }
}

/// A step or workflow made of a name and a function; see [`step_fn`] and [`workflow_fn`].
pub struct Named<F, I, O, Options> {
    name: Name,
    options: Options,
    function: Arc<F>,
    types: PhantomData<fn(I) -> O>,
}

impl<F, I, O, Options: Clone> Clone for Named<F, I, O, Options> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            options: self.options.clone(),
            function: Arc::clone(&self.function),
            types: PhantomData,
        }
    }
}

impl<F, I, O, Options> Named<F, I, O, Options> {
    /// The same with other options.
    #[must_use]
    pub fn with(self, options: Options) -> Self {
        Self { options, ..self }
    }
}

/// Makes a step of a name and an async function.
///
/// ```
/// use midwatch_workflow::{StepContext, step_fn};
/// let double = step_fn("double", |_: StepContext, n: u64| async move { Ok(2 * n) });
/// ```
pub fn step_fn<F, Fut, I, O>(name: impl Into<Name>, function: F) -> Named<F, I, O, StepOptions>
where
    F: Fn(StepContext, I) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, Failure>> + Send,
    I: Data,
    O: Data,
{
    Named {
        name: name.into(),
        options: StepOptions::default(),
        function: Arc::new(function),
        types: PhantomData,
    }
}

/// Makes a workflow of a name and an async function.
///
/// ```
/// use midwatch_workflow::{Context, workflow_fn};
/// let answer = workflow_fn("answer", |_: Context, _: ()| async move { Ok(42) });
/// ```
pub fn workflow_fn<F, Fut, I, O>(name: impl Into<Name>, function: F) -> Named<F, I, O, WorkflowOptions>
where
    F: Fn(Context, I) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, Failure>> + Send,
    I: Data,
    O: Data,
{
    Named {
        name: name.into(),
        options: WorkflowOptions::default(),
        function: Arc::new(function),
        types: PhantomData,
    }
}

impl<F, Fut, I, O> Step for Named<F, I, O, StepOptions>
where
    F: Fn(StepContext, I) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, Failure>> + Send,
    I: Data,
    O: Data,
{
    type Input = I;
    type Output = O;

    fn name(&self) -> Name {
        self.name.clone()
    }

    fn options(&self) -> StepOptions {
        self.options.clone()
    }

    fn run(&self, cx: StepContext, input: I) -> impl Future<Output = Result<O, Failure>> + Send {
        (self.function)(cx, input)
    }
}

impl<F, Fut, I, O> Workflow for Named<F, I, O, WorkflowOptions>
where
    F: Fn(Context, I) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, Failure>> + Send,
    I: Data,
    O: Data,
{
    type Input = I;
    type Output = O;

    fn name(&self) -> Name {
        self.name.clone()
    }

    fn options(&self) -> WorkflowOptions {
        self.options
    }

    fn run(&self, cx: Context, input: I) -> impl Future<Output = Result<O, Failure>> + Send {
        (self.function)(cx, input)
    }
}
