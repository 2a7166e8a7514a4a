//! `Midwatch`: an engine with typed calls around it, and the embedded engine as its default.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use midwatch_engine_embedded::{Embedded, GateOptions, Options, QueueOptions, Registry};
use midwatch_journal::sqlite::SqliteJournal;
use midwatch_journal::{Journal, Lease};
use midwatch_workflow::gate::GateView;
use midwatch_workflow::{
    Budget, Data, Engine, EngineError, Failure, GatePolicy, InvalidId, Message, Name, NewRun, OnDuplicate,
    Payload, RunId, RunResult, Step, StepDefinition, Workflow, WorkflowDefinition, WorkflowId,
};
use serde::Serialize;

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
    engine: Arc<dyn Engine>,
    file: Option<File>,
    #[cfg(feature = "http")]
    _prices: Option<crate::prices::Watch>,
}

/// The journal file of an embedded engine, and the right to write it.
struct File {
    engine: Arc<Embedded>,
    journal: Arc<SqliteJournal>,
    _lease: Lease,
}

impl Midwatch {
    /// Prepares the embedded engine on a journal file, which is made if it is not there.
    pub fn embedded(path: impl Into<PathBuf>) -> EmbeddedBuilder {
        EmbeddedBuilder {
            path: path.into(),
            registry: Registry::default(),
            options: Options::new(process_name()),
            #[cfg(feature = "http")]
            price_file: None,
        }
    }

    /// Starts a run when awaited; it goes on whether or not its handle is kept.
    pub fn start<W: Workflow>(&self, workflow: W, input: W::Input) -> StartCall<'_, W::Output> {
        let input = Payload::of(&input);
        let new = NewRun::new(workflow.name(), Payload::null());
        StartCall { midwatch: self, new, input, id: Ok(None), output: PhantomData }
    }

    /// A handle of a run that was started earlier, here or elsewhere.
    pub fn run<O: Data>(&self, run: RunId) -> RunHandle<O> {
        RunHandle { run, is_new: false, engine: Arc::clone(&self.engine), output: PhantomData }
    }

    /// Carries out runs until SIGINT or SIGTERM comes, then shuts down.
    ///
    /// # Errors
    /// If the engine failed meanwhile.
    pub async fn host(&self) -> Result<(), EngineError> {
        let engine = Arc::clone(&self.engine);
        let hosted = engine.host(Box::pin(signalled())).await;
        self.close().await;
        hosted
    }

    /// Lets attempts under way end within the drain limit and closes the journal; open runs go on at the next start.
    pub async fn shut_down(&self) {
        // A failed journal was reported to every run; closing is all that is left.
        let _ = Arc::clone(&self.engine).host(Box::pin(std::future::ready(()))).await;
        self.close().await;
    }

    /// The gates of all targets that turned up: what is known of each target, and how many attempts wait. Other processes
    /// read the same beside the journal: [`Board`](midwatch_journal::Board).
    pub fn gates(&self) -> Vec<GateView> {
        self.file.as_ref().map(|file| file.engine.gates()).unwrap_or_default()
    }

    async fn close(&self) {
        let Some(file) = &self.file else { return };
        let journal = Arc::clone(&file.journal);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || journal.close()).await {
            tracing::warn!(%error, "journal could not be closed cleanly; the next start recovers it");
        }
    }
}

/// An embedded engine before it opens.
#[must_use = "an engine does nothing until it is opened"]
pub struct EmbeddedBuilder {
    path: PathBuf,
    registry: Registry,
    options: Options,
    #[cfg(feature = "http")]
    price_file: Option<PathBuf>,
}

impl EmbeddedBuilder {
    /// Registers a workflow.
    pub fn workflow(mut self, workflow: impl Workflow) -> Self {
        self.registry.add_workflow(WorkflowDefinition::of(workflow));
        self
    }

    /// Registers a step; compensations are steps too.
    pub fn step(mut self, step: impl Step) -> Self {
        self.registry.add_step(StepDefinition::of(step));
        self
    }

    /// Limits a queue: how many of its attempts run at once, and how fast they start.
    pub fn queue(mut self, name: impl Into<Name>, options: QueueOptions) -> Self {
        self.options.queues.insert(name.into(), options);
        self
    }

    /// Limits what all runs of a workflow together may spend in a day (of UTC). Calls under way count with what they may
    /// take; a restart does not begin anew: what is spent is in the journal.
    pub fn budget_per_day(mut self, workflow: impl Into<Name>, budget: Budget) -> Self {
        self.options.budgets.workflow_day.insert(workflow.into(), budget);
        self
    }

    /// Limits what all runs for a tenant together may spend, ever.
    pub fn tenant_budget(mut self, tenant: impl Into<String>, budget: Budget) -> Self {
        self.options.budgets.tenant.insert(tenant.into(), budget);
        self
    }

    /// Limits what all runs for a tenant together may spend in a day (of UTC).
    pub fn tenant_budget_per_day(mut self, tenant: impl Into<String>, budget: Budget) -> Self {
        self.options.budgets.tenant_day.insert(tenant.into(), budget);
        self
    }

    /// Sets the gate of one target, e.g. `openai:gpt-4o`: how fast and how many at once to begin with, and so on.
    pub fn gate(mut self, target: impl Into<Name>, policy: GatePolicy) -> Self {
        self.options.gates = self.options.gates.target(target, policy);
        self
    }

    /// Sets all gates at once; by default every target that a step names has one.
    pub fn gates(mut self, gates: GateOptions) -> Self {
        self.options.gates = gates;
        self
    }

    /// Prices calls by a file of your own (see [`Prices::with_file`](crate::Prices::with_file)) before the bundled
    /// tables. It is read at the start and again whenever it changes; this holds for the whole process.
    #[cfg(feature = "http")]
    pub fn price_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.price_file = Some(path.into());
        self
    }

    /// Names this process in the journal; by default its id.
    pub fn worker(mut self, name: impl Into<String>) -> Self {
        self.options.worker = name.into();
        self
    }

    /// How long attempts under way may go on when the engine stops; 30 s by default.
    pub fn drain(mut self, limit: Duration) -> Self {
        self.options.drain = limit;
        self
    }

    /// How long a run that only waits stays in memory; 100 ms by default.
    pub fn linger(mut self, limit: Duration) -> Self {
        self.options.linger = limit;
        self
    }

    /// Takes the journal, takes up its open runs, and goes to work.
    ///
    /// # Errors
    /// [`OpenError`], with a code and what to do.
    pub async fn open(self) -> Result<Midwatch, OpenError> {
        let path = self.path.clone();
        #[cfg(feature = "http")]
        let prices = {
            // Beside everything else, so that no call waits until the tables are decoded.
            drop(tokio::task::spawn_blocking(midwatch_providers::Prices::warm));
            self.price_file.map(crate::prices::watch).transpose()?
        };
        let opened = tokio::task::spawn_blocking(move || open_file(&path)).await;
        let (journal, lease) = opened.map_err(|_| OpenError::Engine(EngineError::Stopped))??;
        let shared: Arc<dyn Journal> = Arc::clone(&journal) as _;
        let mut options = self.options;
        options.gates = options.gates.shown_beside(self.path);
        let engine = Arc::new(Embedded::open(shared, self.registry, options).await?);
        Ok(Midwatch {
            engine: Arc::clone(&engine) as _,
            file: Some(File { engine, journal, _lease: lease }),
            #[cfg(feature = "http")]
            _prices: prices,
        })
    }
}

fn open_file(path: &Path) -> Result<(Arc<SqliteJournal>, Lease), midwatch_journal::Error> {
    let lease = Lease::acquire(path)?;
    let journal = SqliteJournal::open(path, midwatch_journal::sqlite::Options::default())?;
    Ok((Arc::new(journal), lease))
}

/// Why an engine could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] midwatch_journal::Error),
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The price file.
    #[cfg(feature = "http")]
    #[error(transparent)]
    Prices(#[from] crate::PriceFileError),
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
        let engine = Arc::clone(&self.midwatch.engine);
        Ok(RunHandle { run: started.run, is_new: started.is_new, engine, output: PhantomData })
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

/// A run, to wait for and to reach.
pub struct RunHandle<O> {
    run: RunId,
    is_new: bool,
    engine: Arc<dyn Engine>,
    output: PhantomData<fn() -> O>,
}

impl<O: Data> RunHandle<O> {
    /// The run's id, which is its trace id too.
    pub fn id(&self) -> RunId {
        self.run
    }

    /// Whether this call started it; otherwise it was there already.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Waits for the run's end and gives its output.
    ///
    /// # Errors
    /// [`RunError::Failed`] if it failed, was cancelled or timed out; [`RunError::Engine`] if its end cannot be known.
    pub async fn result(&self) -> Result<O, RunError> {
        match self.engine.result(self.run).await? {
            RunResult::Completed(output) => output.read().map_err(|failure| self.failed(failure, 0, 0)),
            RunResult::Failed { failure, compensated, resolved } => {
                Err(self.failed(failure, compensated, resolved))
            }
        }
    }

    fn failed(&self, failure: Failure, compensated: u32, resolved: u32) -> RunError {
        RunError::Failed { run: self.run, failure, compensated, resolved }
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// If the run has ended or the payload has no JSON form.
    pub async fn signal<T: Serialize + ?Sized>(
        &self,
        name: impl Into<String>,
        payload: &T,
    ) -> Result<(), StartError> {
        let payload = Payload::of(payload).map_err(StartError::Input)?;
        let message = Message::Signal { name: name.into(), payload, id: None };
        Ok(self.engine.send(self.run, message).await?)
    }

    /// Tells the run to stop; its compensations follow.
    ///
    /// # Errors
    /// If the run has ended.
    pub async fn cancel(&self, reason: impl Into<String>) -> Result<(), EngineError> {
        let message = Message::Cancel { reason: reason.into(), by: "code".to_owned() };
        self.engine.send(self.run, message).await
    }

    /// Sends any other message.
    ///
    /// # Errors
    /// If the run cannot take it.
    pub async fn send(&self, message: Message) -> Result<(), EngineError> {
        self.engine.send(self.run, message).await
    }
}

/// How a run ended without an output.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It failed.
    #[error("run {run} failed{}: {failure}", compensation(*.compensated, *.resolved))]
    Failed {
        /// The run.
        run: RunId,
        /// What it failed with.
        failure: Failure,
        /// How many steps were undone.
        compensated: u32,
        /// How many of those a person settled by hand.
        resolved: u32,
    },
    /// Its end cannot be known here.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

fn compensation(compensated: u32, resolved: u32) -> String {
    match (compensated, resolved) {
        (0, _) => String::new(),
        (n, 0) => format!(" ({n} steps undone)"),
        (n, by_hand) => format!(" ({n} steps undone, {by_hand} of them by hand)"),
    }
}

fn process_name() -> String {
    format!("pid-{}", std::process::id())
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
