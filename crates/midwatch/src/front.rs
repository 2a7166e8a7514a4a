//! `Midwatch`: an engine with typed calls around it.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use midwatch_workflow::gate::GateView;
use midwatch_workflow::{
    Budget, Data, Engine, EngineError, Failure, InvalidId, NewRun, OnDuplicate, Payload, RunId, Workflow,
    WorkflowId,
};
use tokio::task::AbortHandle;

use crate::builder::sealed::GateViews;
use crate::file::JournalFile;
use crate::run::RunHandle;

/// Workflows and steps, with an engine that carries them out.
///
/// ```no_run
/// # use midwatch::{Context, Failure, Midwatch, StepContext, step, workflow};
/// #[step]
/// async fn greet(_cx: StepContext, name: String) -> Result<String, Failure> {
///     Ok(format!("good night, {name}"))
/// }
///
/// #[workflow]
/// async fn greeting(cx: Context, name: String) -> Result<String, Failure> {
///     cx.step(greet, &name).await
/// }
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let midwatch = Midwatch::embedded("midwatch.db").workflow(greeting).step(greet).open().await?;
/// let run = midwatch.start(greeting, "watch".to_owned()).id("hello-1").await?;
/// println!("{}", run.result().await?);
/// midwatch.shut_down().await;
/// # Ok(())
/// # }
/// ```
pub struct Midwatch {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) gates: GateViews,
    pub(crate) file: JournalFile,
    /// Hears messages of other processes for an engine that does not do so itself.
    pub(crate) inbox: Option<Task>,
    #[cfg(feature = "otlp")]
    pub(crate) traces: crate::traces::Traces,
    #[cfg(feature = "gateway")]
    pub(crate) _gateway: Option<midwatch_gateway::InProcess>,
    #[cfg(feature = "http")]
    pub(crate) _prices: Option<crate::prices::Watch>,
}

/// A task that ends when this is dropped.
pub(crate) struct Task(pub(crate) AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Midwatch {
    /// Starts a run when awaited; it goes on whether or not its handle is kept.
    pub fn start<W: Workflow>(&self, workflow: W, input: W::Input) -> StartCall<'_, W::Output> {
        let input = Payload::of(&input);
        let new = NewRun::new(workflow.name(), Payload::null());
        StartCall { midwatch: self, new, input, id: Ok(None), output: PhantomData }
    }

    /// A handle of a run that was started earlier, here or elsewhere.
    pub fn run<O: Data>(&self, run: RunId) -> RunHandle<O> {
        RunHandle::new(run, false, Arc::clone(&self.engine))
    }

    /// Carries out runs until SIGINT or SIGTERM comes, then shuts down.
    ///
    /// # Errors
    /// If the engine failed meanwhile.
    pub async fn host(&self) -> Result<(), EngineError> {
        let hosted = self.engine.host(Box::pin(signalled())).await;
        self.close().await;
        hosted
    }

    /// Lets attempts under way end within the drain limit and closes the journal; open runs go on at the next start.
    pub async fn shut_down(&self) {
        // A failed journal was reported to every run; closing is all that is left.
        let _ = self.engine.host(Box::pin(std::future::ready(()))).await;
        self.close().await;
    }

    async fn close(&self) {
        if let Some(inbox) = &self.inbox {
            inbox.0.abort();
        }
        #[cfg(feature = "otlp")]
        self.traces.stop().await;
        self.file.close().await;
    }

    /// The gates of all targets that turned up: what is known of each target, and how many attempts wait. Other processes
    /// read the same beside the journal: [`Board`](midwatch_journal::Board).
    pub fn gates(&self) -> Vec<GateView> {
        (self.gates)()
    }
}

/// A run that will start when it is awaited; made by [`Midwatch::start`].
#[must_use = "a run starts when it is awaited"]
pub struct StartCall<'a, O> {
    midwatch: &'a Midwatch,
    new: NewRun,
    input: Result<Payload, Failure>,
    id: Result<Option<WorkflowId>, InvalidId>,
    output: PhantomData<fn() -> O>,
}

impl<O: Data> StartCall<'_, O> {
    /// Gives the run an id of the user's own. Starting the same id again gives the run that there is.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = WorkflowId::new(id).map(Some);
        self
    }

    /// What to do if the id is taken.
    pub fn on_duplicate(mut self, rule: OnDuplicate) -> Self {
        self.new.on_duplicate = rule;
        self
    }

    /// Limits what the run may spend, instead of the workflow's own budget.
    pub fn budget(mut self, budget: Budget) -> Self {
        self.new.budget = Some(budget);
        self
    }

    /// Limits how long the run may take, instead of the workflow's own limit.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.new.timeout = Some(limit);
        self
    }

    /// Says for whom it runs.
    pub fn tenant(mut self, tenant: impl Into<String>) -> Self {
        self.new.tenant = Some(tenant.into());
        self
    }

    /// Joins the trace of a W3C `traceparent`.
    pub fn traceparent(mut self, traceparent: impl Into<String>) -> Self {
        self.new.traceparent = Some(traceparent.into());
        self
    }

    async fn begin(mut self) -> Result<RunHandle<O>, StartError> {
        self.new.workflow_id = self.id?;
        self.new.input = self.input.map_err(StartError::Input)?;
        let started = self.midwatch.engine.start(self.new).await?;
        Ok(RunHandle::new(started.run, started.is_new, Arc::clone(&self.midwatch.engine)))
    }
}

impl<'a, O: Data> IntoFuture for StartCall<'a, O> {
    type Output = Result<RunHandle<O>, StartError>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.begin())
    }
}

/// Why a run could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The id.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// The input has no JSON form or is too large.
    #[error("input: {0}")]
    Input(Failure),
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Waits for SIGINT or, on Unix, SIGTERM.
async fn signalled() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
