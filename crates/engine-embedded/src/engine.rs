//! The engine as its users hold it: how it opens, what may be asked of it, how it shuts down.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use midwatch_engine_attempt::Admissions;
use midwatch_journal::Journal;
use midwatch_workflow::gate::GateView;
use midwatch_workflow::{Engine, EngineError, Message, NewRun, OnDuplicate, RunId, RunResult, Started};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::core::{Core, unavailable};
use crate::run::Input;
use crate::{Options, Registry, recovery};

/// The embedded engine. Dropping it stops everything at once, as a crash would; see [`Embedded::shut_down`].
pub struct Embedded {
    core: Arc<Core>,
    tasks: Vec<AbortHandle>,
}

impl Embedded {
    /// Opens an engine on a journal that no other process writes, and takes up its open runs. Needs a tokio runtime.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub async fn open(
        journal: Arc<dyn Journal>,
        registry: Registry,
        options: Options,
    ) -> Result<Self, EngineError> {
        let admissions = Admissions::open(&journal, options.admissions()).await.map_err(unavailable)?;
        let core = Arc::new(Core::new(journal, registry, options, admissions));
        let for_search = Arc::clone(&core);
        let open = tokio::task::spawn_blocking(move || recovery::find_open(&for_search)).await;
        let open = open.map_err(|_| EngineError::Stopped)?.map_err(unavailable)?;
        let showing = Arc::clone(&core);
        let tasks = Vec::from([
            tokio::spawn(recovery::take_up(Arc::clone(&core), open)).abort_handle(),
            tokio::spawn(recovery::wake_due(Arc::clone(&core))).abort_handle(),
            tokio::spawn(recovery::read_inbox(Arc::clone(&core))).abort_handle(),
            tokio::spawn(async move { showing.admissions.show().await }).abort_handle(),
        ]);
        Ok(Self { core, tasks })
    }

    /// Starts nothing more, lets attempts under way end within the drain limit, and leaves the rest to the next process.
    pub async fn shut_down(&self) {
        self.core.stop();
        let drained = tokio::time::timeout(self.core.options.drain, self.core.wait_until_empty()).await;
        if drained.is_err() {
            tracing::warn!("attempts were still under way at the end of the drain limit");
            self.core.tell_all(|| Input::Quit);
            self.core.wait_until_empty().await;
        }
        self.tasks.iter().for_each(AbortHandle::abort);
        self.core.admissions.show_last();
        self.core.close();
    }

    /// The gates of all targets that turned up: what they know of their targets, and how many attempts wait at them.
    pub fn gates(&self) -> Vec<GateView> {
        self.core.admissions.gates()
    }

    /// How many runs are in memory.
    pub fn runs_in_memory(&self) -> usize {
        self.core.runs_in_memory()
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
        self.core.abort();
    }
}

impl Engine for Embedded {
    fn start(&self, run: NewRun) -> BoxFuture<'_, Result<Started, EngineError>> {
        Box::pin(async move {
            let workflow = self.core.registry.workflow(&run.workflow);
            let workflow = workflow.ok_or_else(|| EngineError::UnknownWorkflow(run.workflow.to_string()))?;
            let on_duplicate = run.on_duplicate;
            let start = self.core.new_run(workflow, run);
            let id = start.workflow_id.clone();
            let started = self.core.launch(workflow, start).await.map_err(|_| self.core.stopped())??;
            match on_duplicate {
                OnDuplicate::Fail if !started.is_new => Err(EngineError::Duplicate { id, run: started.run }),
                OnDuplicate::Attach | OnDuplicate::Fail => Ok(started),
            }
        })
    }

    fn send(&self, run: RunId, message: Message) -> BoxFuture<'_, Result<(), EngineError>> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            self.core.deliver(run, message, reply);
            answer.await.map_err(|_| self.core.stopped())?
        })
    }

    fn result(&self, run: RunId) -> BoxFuture<'_, Result<RunResult, EngineError>> {
        Box::pin(async move {
            let (waiter, ended) = oneshot::channel();
            if let Some(result) = self.core.await_end(run, waiter).await? {
                return Ok(result);
            }
            match ended.await {
                Ok(result) => Ok(result),
                // Whoever should have told of the end is gone; the journal may know it all the same.
                Err(_) => self.core.recorded_result(run).await?.ok_or_else(|| self.core.stopped()),
            }
        })
    }

    fn host<'a>(&'a self, stop: BoxFuture<'a, ()>) -> BoxFuture<'a, Result<(), EngineError>> {
        Box::pin(async move {
            stop.await;
            self.shut_down().await;
            match self.core.failed() {
                Some(error) => Err(unavailable(error.clone())),
                None => Ok(()),
            }
        })
    }
}
