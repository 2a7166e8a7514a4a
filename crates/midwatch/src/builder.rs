//! What is said of an engine before it opens; the same for all engines, but for the options of each.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use midwatch_engine_embedded::{Embedded, Registry};
use midwatch_journal::Journal;
use midwatch_workflow::{Engine, EngineError, Step, StepDefinition, Workflow, WorkflowDefinition};

use self::sealed::{Opened, Setup};
use crate::file::JournalFile;
use crate::front::Midwatch;

/// An engine before it opens: its workflows and steps, its journal, and what is particular to it (`K`).
#[must_use = "an engine does nothing until it is opened"]
pub struct Builder<K> {
    path: PathBuf,
    registry: Registry,
    worker: String,
    drain: Duration,
    #[cfg(feature = "http")]
    price_file: Option<PathBuf>,
    pub(crate) kind: K,
}

/// How often messages of other processes are looked for.
const INBOX_POLL: Duration = Duration::from_millis(100);

/// A kind of engine; only midwatch's own are.
pub trait Kind: Sized + Send + sealed::Opens {}

/// What opens an engine: visible through [`Kind`], and not to be named from outside.
pub(crate) mod sealed {
    use super::{Arc, BoxFuture, Duration, Embedded, Engine, EngineError, Journal, PathBuf, Registry};

    /// What every kind of engine is opened with.
    pub struct Setup {
        pub(crate) journal: Arc<dyn Journal>,
        /// Where the journal is.
        pub(crate) path: PathBuf,
        pub(crate) registry: Registry,
        pub(crate) worker: String,
        pub(crate) drain: Duration,
    }

    /// An engine that was opened.
    pub enum Opened {
        Embedded(Arc<Embedded>),
        /// One on a server, which does not know the journal's inbox.
        Hosted(Arc<dyn Engine>),
    }

    pub trait Opens {
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
            #[cfg(feature = "http")]
            price_file: None,
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

    /// Prices calls by a file of your own (see [`Prices::with_file`](crate::Prices::with_file)) before the bundled
    /// tables. It is read at the start and again whenever it changes; this holds for the whole process.
    #[cfg(feature = "http")]
    pub fn price_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.price_file = Some(path.into());
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
    /// Takes the journal, takes up its open runs, and goes to work.
    ///
    /// # Errors
    /// [`OpenError`], with a code and what to do.
    pub async fn open(self) -> Result<Midwatch, OpenError> {
        #[cfg(feature = "http")]
        let prices = {
            // Beside everything else, so that no call waits until the tables are decoded.
            drop(tokio::task::spawn_blocking(midwatch_providers::Prices::warm));
            self.price_file.map(crate::prices::watch).transpose()?
        };
        let file = JournalFile::open(self.path.clone()).await?;
        let journal: Arc<dyn Journal> = Arc::clone(&file.journal) as _;
        let setup = Setup {
            journal: Arc::clone(&journal),
            path: self.path,
            registry: self.registry,
            worker: self.worker,
            drain: self.drain,
        };
        let (engine, embedded, inbox): (Arc<dyn Engine>, _, _) = match self.kind.open(setup).await? {
            Opened::Embedded(engine) => (Arc::clone(&engine) as _, Some(engine), None),
            Opened::Hosted(engine) => {
                let server = Arc::clone(&engine);
                let send = move |run, message| {
                    let server = Arc::clone(&server);
                    async move { server.send(run, message).await }
                };
                let inbox = tokio::spawn(midwatch_engine_embedded::read_inbox(journal, INBOX_POLL, send));
                (engine, None, Some(crate::front::Task(inbox.abort_handle())))
            }
        };
        Ok(Midwatch {
            engine,
            embedded,
            file,
            _inbox: inbox,
            #[cfg(feature = "http")]
            _prices: prices,
        })
    }
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
