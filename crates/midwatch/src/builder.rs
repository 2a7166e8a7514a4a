//! What is said of an engine before it opens; the same for all engines, but for the options of each.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use midwatch_engine_embedded::{GateOptions, QueueOptions, Registry, SharedBudgets, read_inbox};
use midwatch_journal::Journal;
use midwatch_workflow::gate::GateView;
use midwatch_workflow::{
    Budget, Engine, EngineError, GatePolicy, Name, Step, StepDefinition, Workflow, WorkflowDefinition,
};

use self::sealed::{Inbox, Opened, Setup};
use crate::file::JournalFile;
use crate::front::{Midwatch, Task};

/// An engine before it opens: its workflows and steps, its journal, and what is particular to it (`K`).
#[must_use = "an engine does nothing until it is opened"]
pub struct Builder<K> {
    path: PathBuf,
    registry: Registry,
    worker: String,
    drain: Duration,
    queues: HashMap<Name, QueueOptions>,
    gates: GateOptions,
    budgets: SharedBudgets,
    #[cfg(feature = "http")]
    price_file: Option<PathBuf>,
    #[cfg(feature = "otlp")]
    traces: Option<midwatch_otlp::Otlp>,
    #[cfg(feature = "gateway")]
    gateway: Option<midwatch_gateway::Options>,
    pub(crate) kind: K,
}

/// How often messages of other processes are looked for.
const INBOX_POLL: Duration = Duration::from_millis(100);

/// A kind of engine; only midwatch's own are.
pub trait Kind: Sized + Send + sealed::Opens {}

/// What opens an engine: visible through [`Kind`], and not to be named from outside.
pub(crate) mod sealed {
    use super::{
        Arc, BoxFuture, Duration, Engine, EngineError, GateOptions, GateView, HashMap, Journal, Name,
        QueueOptions, Registry, SharedBudgets,
    };

    /// What every kind of engine is opened with.
    pub struct Setup {
        pub(crate) journal: Arc<dyn Journal>,
        pub(crate) registry: Registry,
        pub(crate) worker: String,
        pub(crate) drain: Duration,
        pub(crate) queues: HashMap<Name, QueueOptions>,
        pub(crate) gates: GateOptions,
        pub(crate) budgets: SharedBudgets,
    }

    /// An engine that was opened.
    pub struct Opened {
        pub(crate) engine: Arc<dyn Engine>,
        pub(crate) gates: GateViews,
        pub(crate) inbox: Inbox,
    }

    /// Tells how the gates of a process stand.
    pub(crate) type GateViews = Box<dyn Fn() -> Vec<GateView> + Send + Sync>;

    /// Who hears the messages that other processes leave in the journal.
    pub(crate) enum Inbox {
        /// The engine itself.
        Heard,
        /// Nobody: the engine's server does not know of it.
        #[cfg_attr(not(any(feature = "temporal", feature = "restate")), allow(dead_code))]
        Unheard,
    }

    pub trait Opens {
        /// If the truth of its runs is elsewhere, so that its journal may be behind a spool: how long commits may wait for
        /// more to share them, while much comes.
        fn patience(&self) -> Option<Duration> {
            None
        }

        fn open(self, setup: Setup) -> BoxFuture<'static, Result<Opened, EngineError>>;
    }
}

impl<K> Builder<K> {
    pub(crate) fn new(path: impl Into<PathBuf>, kind: K) -> Self {
        Self {
            path: path.into(),
            registry: Registry::default(),
            worker: format!("pid-{}", std::process::id()),
            drain: Duration::from_secs(30),
            queues: HashMap::new(),
            gates: GateOptions::default(),
            budgets: SharedBudgets::default(),
            #[cfg(feature = "http")]
            price_file: None,
            #[cfg(feature = "otlp")]
            traces: None,
            #[cfg(feature = "gateway")]
            gateway: None,
            kind,
        }
    }

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
        self.queues.insert(name.into(), options);
        self
    }

    /// Limits what all runs of a workflow together may spend in a day (of UTC). Calls under way count with what they may
    /// take; a restart does not begin anew: what is spent is in the journal.
    pub fn budget_per_day(mut self, workflow: impl Into<Name>, budget: Budget) -> Self {
        self.budgets.workflow_day.insert(workflow.into(), budget);
        self
    }

    /// Limits what all runs for a tenant together may spend, ever.
    pub fn tenant_budget(mut self, tenant: impl Into<String>, budget: Budget) -> Self {
        self.budgets.tenant.insert(tenant.into(), budget);
        self
    }

    /// Limits what all runs for a tenant together may spend in a day (of UTC).
    pub fn tenant_budget_per_day(mut self, tenant: impl Into<String>, budget: Budget) -> Self {
        self.budgets.tenant_day.insert(tenant.into(), budget);
        self
    }

    /// Sets the gate of one target, e.g. `openai:gpt-4o`: how fast and how many at once to begin with, and so on.
    pub fn gate(mut self, target: impl Into<Name>, policy: GatePolicy) -> Self {
        self.gates = self.gates.target(target, policy);
        self
    }

    /// Sets all gates at once; by default every target that a step names has one.
    pub fn gates(mut self, gates: GateOptions) -> Self {
        self.gates = gates;
        self
    }

    /// Prices calls by a file of your own (see [`Prices::with_file`](crate::Prices::with_file)) before the bundled
    /// tables. It is read at the start and again whenever it changes; this holds for the whole process.
    #[cfg(feature = "http")]
    pub fn price_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.price_file = Some(path.into());
        self
    }

    /// Hands the traces of all runs on to a collector: spans leave as they become final, by a thread of its own, from the
    /// journal. While the collector is away nothing is lost and no run waits. The first time it begins with what happens
    /// from then on.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use midwatch::{Midwatch, Otlp};
    /// let midwatch = Midwatch::embedded("midwatch.db").traces(Otlp::from_env()?).open().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "otlp")]
    pub fn traces(mut self, otlp: midwatch_otlp::Otlp) -> Self {
        self.traces = (!otlp.is_off()).then_some(otlp);
        self
    }

    /// Opens a gateway in this process, on a free port of 127.0.0.1: steps call models with any client that takes a base
    /// URL, [`cx.llm_base_url(…)`](crate::StepGateway::llm_base_url), and what that costs is booked in their attempts.
    #[cfg(feature = "gateway")]
    pub fn gateway(mut self, options: midwatch_gateway::Options) -> Self {
        self.gateway = Some(options);
        self
    }

    /// Names this process in the journal; by default its id.
    pub fn worker(mut self, name: impl Into<String>) -> Self {
        self.worker = name.into();
        self
    }

    /// How long attempts under way may go on when the engine stops; 30 s by default.
    pub fn drain(mut self, limit: Duration) -> Self {
        self.drain = limit;
        self
    }
}

impl<K: Kind> Builder<K> {
    /// Takes the journal, takes up its open runs, and goes to work. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`OpenError`], with a code and what to do.
    #[cfg_attr(not(feature = "gateway"), allow(unused_mut))]
    pub async fn open(self) -> Result<Midwatch, OpenError> {
        #[cfg(feature = "http")]
        let prices = {
            // Beside everything else, so that no call waits until the tables are decoded.
            drop(tokio::task::spawn_blocking(midwatch_providers::Prices::warm));
            self.price_file.map(crate::prices::watch).transpose()?
        };
        let file = JournalFile::open(self.path.clone(), self.kind.patience()).await?;
        let journal = file.record();
        // Before runs are taken up, so that a new cursor misses nothing of what this engine does.
        #[cfg(feature = "otlp")]
        let traces = crate::traces::Traces::start(self.traces, &self.path, &file).await?;
        let mut registry = self.registry;
        #[cfg(feature = "gateway")]
        let gateway =
            self.gateway.map(|options| crate::gateway::start(options, &mut registry)).transpose()?;
        let setup = Setup {
            journal: Arc::clone(&journal),
            registry,
            worker: self.worker,
            drain: self.drain,
            queues: self.queues,
            gates: self.gates.shown_beside(self.path),
            budgets: self.budgets,
        };
        let Opened { engine, gates, inbox } = self.kind.open(setup).await?;
        Ok(Midwatch {
            inbox: matches!(inbox, Inbox::Unheard).then(|| hear(journal, Arc::clone(&engine))),
            engine,
            gates,
            file,
            #[cfg(feature = "otlp")]
            traces,
            #[cfg(feature = "gateway")]
            _gateway: gateway,
            #[cfg(feature = "http")]
            _prices: prices,
        })
    }
}

/// Passes messages of other processes on to an engine that does not hear them itself.
fn hear(journal: Arc<dyn Journal>, engine: Arc<dyn Engine>) -> Task {
    let send = move |run, message| {
        let engine = Arc::clone(&engine);
        async move { engine.send(run, message).await }
    };
    Task(tokio::spawn(read_inbox(journal, INBOX_POLL, send)).abort_handle())
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
    /// The gateway in the process.
    #[cfg(feature = "gateway")]
    #[error("gateway: {0}")]
    Gateway(#[from] midwatch_gateway::StartError),
    /// The traces.
    #[cfg(feature = "otlp")]
    #[error("traces: {0}")]
    Traces(#[from] midwatch_otlp::StartError),
}
