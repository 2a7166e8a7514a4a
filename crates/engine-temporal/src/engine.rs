//! The engine as callers see it: a client of the server, and a worker in this process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use midwatch_journal::Journal;
use midwatch_workflow::gate::GateView;
use midwatch_workflow::{
    Class, Engine, EngineError, Message, NewRun, OnDuplicate, Payload, Registry, RunId, RunResult,
    RunStarted, Started, Timestamp,
};
use temporalio_client::errors::{WorkflowGetResultError, WorkflowStartError};
use temporalio_client::{
    Client, UntypedWorkflowHandle, WorkflowDescribeOptions, WorkflowGetResultOptions, WorkflowIdReusePolicy,
    WorkflowStartOptions,
};
use temporalio_common::error::IncomingError;
use temporalio_common::protos::temporal::api::common::v1::Payload as Raw;
use temporalio_common::{MemoValues, UntypedWorkflow};
use tokio::task::AbortHandle;

use crate::catch_up::CatchUp;
use crate::connect::{connect, trouble};
use crate::ends::own_failure;
use crate::ids::{temporal_id, temporal_ids};
use crate::options::Options;
use crate::shown::{at_first, is_registered};
use crate::standing::{Closed, Standing, standing};
use crate::time::timestamp;
use crate::wire::{
    BYTES_MAX, MEMO_RUN, MEMO_WORKFLOW_ID, Start, Terms, arguments, raw, raw_of, read, read_payload,
};
use crate::worker::RunningWorker;

/// The Temporal engine. Dropping it stops its worker at once, as a crash would; see [`Temporal::shut_down`].
pub struct Temporal {
    client: Client,
    /// Where the server is.
    pub(crate) address: String,
    options: Options,
    registry: Arc<Registry>,
    journal: Arc<dyn Journal>,
    /// Temporal's ids of runs that were started or looked up here.
    ids: Mutex<HashMap<RunId, String>>,
    worker: RunningWorker,
    /// Whether the server knows midwatch's search attributes.
    is_indexed: bool,
    pub(crate) catch_up: CatchUp,
    /// Brings into the journal what workers that died could not write.
    tending: AbortHandle,
}

impl Drop for Temporal {
    fn drop(&mut self) {
        self.tending.abort();
    }
}

/// A history that is shorter than this is not left: taking the run up again would fill it.
const HISTORY_LEAST: u32 = 50;

/// How many ids are remembered; others are looked up in the journal.
const IDS_MAX: usize = 100_000;

impl Temporal {
    /// Connects to the server and starts a worker for all registered workflows and steps, which mirrors their runs into the
    /// journal. Needs a tokio runtime.
    ///
    /// # Errors
    /// If the server cannot be reached or refuses the worker.
    pub async fn open(
        journal: Arc<dyn Journal>,
        registry: Registry,
        options: Options,
    ) -> Result<Self, EngineError> {
        let (client, address) = connect(&options.server).await?;
        let is_indexed = is_registered(&client).await;
        let registry = Arc::new(registry);
        let worker =
            RunningWorker::start(options.clone(), Arc::clone(&registry), Arc::clone(&journal)).await?;
        let catch_up = CatchUp {
            client: client.clone(),
            journal: Arc::clone(&journal),
            registry: Arc::clone(&registry),
            mirror: worker.mirror.clone(),
            address: address.clone(),
            every: options.compare_every,
            known: Arc::default(),
        };
        let tending = tokio::spawn(catch_up.clone().tend()).abort_handle();
        Ok(Self {
            client,
            address,
            options,
            registry,
            journal,
            ids: Mutex::default(),
            worker,
            is_indexed,
            catch_up,
            tending,
        })
    }

    /// Takes no more tasks, lets attempts under way end within the drain limit, and leaves the rest to other workers.
    ///
    /// # Errors
    /// If the worker had failed.
    pub async fn shut_down(&self) -> Result<(), EngineError> {
        self.tending.abort();
        self.worker.shut_down().await
    }

    /// The gates of all targets that turned up: what they know of their targets, and how many attempts wait at them.
    pub fn gates(&self) -> Vec<GateView> {
        self.worker.grounds.admissions.gates()
    }

    async fn begin(&self, mut new: NewRun) -> Result<Started, EngineError> {
        let workflow = self.registry.workflow(&new.workflow);
        let workflow = workflow.ok_or_else(|| EngineError::UnknownWorkflow(new.workflow.to_string()))?;
        let bytes = new.input.as_str().len();
        if bytes > BYTES_MAX {
            let what = format!("input of {bytes} bytes is over Temporal's limit of {BYTES_MAX} bytes");
            return Err(EngineError::Unavailable(what.into()));
        }
        let on_duplicate = new.on_duplicate;
        // The input is an argument of its own.
        let input = std::mem::replace(&mut new.input, Payload::null());
        let run = RunId::new(now(), random_bytes());
        let start = RunStarted::of(workflow, new, run, self.options.worker.as_str());
        let id = start.workflow_id.clone();
        let temporal = temporal_id(workflow.name(), &id);
        let terms = Terms {
            history_max: self.options.history_max.map(|max| max.max(HISTORY_LEAST)),
            is_indexed: self.is_indexed,
            names_itself: false,
        };
        let mut memo = MemoValues::new();
        memo.insert(MEMO_RUN, run.to_string());
        memo.insert(MEMO_WORKFLOW_ID, id.to_string());
        let options = WorkflowStartOptions::new(self.options.task_queue.clone(), temporal.clone())
            .id_reuse_policy(WorkflowIdReusePolicy::RejectDuplicate)
            .memo(memo)
            .maybe_search_attributes(self.is_indexed.then(|| at_first(&id)))
            .build();
        let input = arguments([raw(input.as_str()), raw_of(&Start { start, terms })]);
        let name = UntypedWorkflow::new(workflow.name().to_string());
        let started = match self.client.start_workflow(name, input, options).await {
            Ok(_) => Started { run, is_new: true },
            Err(WorkflowStartError::AlreadyStarted { .. }) => {
                let holder = self.run_of(&temporal).await?;
                // The server may have taken our first try without our hearing of it.
                Started { run: holder, is_new: holder == run }
            }
            Err(error) => return Err(trouble(&self.address, error)),
        };
        self.remember(started.run, temporal);
        match on_duplicate {
            OnDuplicate::Fail if !started.is_new => Err(EngineError::Duplicate { id, run: started.run }),
            OnDuplicate::Attach | OnDuplicate::Fail => Ok(started),
        }
    }

    pub(crate) fn handle(&self, temporal: &str) -> UntypedWorkflowHandle<Client> {
        self.client.get_workflow_handle::<UntypedWorkflow>(temporal)
    }

    /// The run that has a workflow id.
    async fn run_of(&self, temporal: &str) -> Result<RunId, EngineError> {
        let handle = self.handle(temporal);
        let described = handle.describe(WorkflowDescribeOptions::default()).await;
        let described = described.map_err(|error| trouble(&self.address, error))?;
        let run: Option<String> = read(described.memo().raw_value(MEMO_RUN));
        let run = run.and_then(|run| run.parse().ok());
        run.ok_or_else(|| unavailable_text(&format!("`{temporal}` was not started by midwatch")))
    }

    fn remember(&self, run: RunId, temporal: String) {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        if ids.len() >= IDS_MAX {
            ids.clear();
        }
        ids.insert(run, temporal);
    }

    /// Temporal's id of a run.
    pub(crate) async fn temporal_of(&self, run: RunId) -> Result<String, EngineError> {
        let known = self.ids.lock().unwrap_or_else(PoisonError::into_inner).get(&run).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let journal = Arc::clone(&self.journal);
        let read = tokio::task::spawn_blocking(move || journal.run(run)).await;
        let summary = read.map_err(|_| EngineError::Stopped)?.map_err(unavailable)?;
        let summary = summary.ok_or(EngineError::UnknownRun(run))?;
        let ids = temporal_ids(&summary);
        let found = match standing(&self.client, run, &ids).await {
            Standing::Open(temporal) | Standing::Closed(Closed { temporal, .. }) => temporal,
            Standing::Missing | Standing::Untold => return Ok(ids[0].clone()),
        };
        self.remember(run, found.clone());
        Ok(found)
    }

    async fn end_of(&self, run: RunId) -> Result<RunResult, EngineError> {
        let temporal = self.temporal_of(run).await?;
        if let Some(result) = self.catch_up.recorded(run).await {
            return Ok(result);
        }
        let own = match self.handle(&temporal).get_result(WorkflowGetResultOptions::default()).await {
            Ok(output) => {
                RunResult::Completed(read_payload(output.payloads.first()).unwrap_or_else(Payload::null))
            }
            Err(WorkflowGetResultError::Failed(error)) => {
                let details = match &*error {
                    IncomingError::Application(failure) => first(failure.raw_details()),
                    _ => None,
                };
                own_failure(details, Class::Unknown, &error.failure().message)
            }
            Err(WorkflowGetResultError::Cancelled { details }) => {
                own_failure(details.raw().first(), Class::Cancelled, "cancelled at the server")
            }
            Err(WorkflowGetResultError::Terminated { .. } | WorkflowGetResultError::TimedOut) => {
                return self.forced_end_of(run, &temporal).await;
            }
            Err(WorkflowGetResultError::NotFound(_)) => return Err(EngineError::UnknownRun(run)),
            Err(error) => return Err(trouble(&self.address, error)),
        };
        self.catch_up.end(run, &temporal).await;
        Ok(own)
    }

    /// The end of a run that the server ended by itself: as the journal has it, which knows what is left to undo.
    async fn forced_end_of(&self, run: RunId, temporal: &str) -> Result<RunResult, EngineError> {
        self.catch_up.end(run, temporal).await;
        if let Some(result) = self.catch_up.recorded(run).await {
            return Ok(result);
        }
        let end = match standing(&self.client, run, &[temporal.to_owned()]).await {
            Standing::Closed(closed) => closed.end(&self.client).await,
            _ => None,
        };
        end.map(|end| end.result(&[])).ok_or(EngineError::UnknownRun(run))
    }
}

impl Engine for Temporal {
    fn start(&self, run: NewRun) -> BoxFuture<'_, Result<Started, EngineError>> {
        Box::pin(self.begin(run))
    }

    fn send(&self, run: RunId, message: Message) -> BoxFuture<'_, Result<(), EngineError>> {
        Box::pin(self.deliver(run, message))
    }

    fn result(&self, run: RunId) -> BoxFuture<'_, Result<RunResult, EngineError>> {
        Box::pin(self.end_of(run))
    }

    fn host<'a>(&'a self, stop: BoxFuture<'a, ()>) -> BoxFuture<'a, Result<(), EngineError>> {
        Box::pin(async move {
            stop.await;
            self.shut_down().await
        })
    }
}

fn first(payloads: Option<&[Raw]>) -> Option<&Raw> {
    payloads.and_then(<[Raw]>::first)
}

fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> EngineError {
    EngineError::Unavailable(Box::new(error))
}

fn unavailable_text(text: &str) -> EngineError {
    EngineError::Unavailable(text.into())
}

fn now() -> Timestamp {
    timestamp(std::time::SystemTime::now())
}

fn random_bytes() -> [u8; 10] {
    let mut bytes = [0; 10];
    fastrand::fill(&mut bytes);
    bytes
}
