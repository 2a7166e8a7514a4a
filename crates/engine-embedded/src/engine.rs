//! The engine: which runs are in memory, and how everything outside reaches them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use futures_util::future::BoxFuture;
use midwatch_engine_attempt::Admissions;
use midwatch_journal::{Append, Error, Fold, Journal};
use midwatch_workflow::event::Parent;
use midwatch_workflow::gate::GateView;
use midwatch_workflow::{
    Child, Class, Engine, EngineError, Event, EventKind, Execution, Failure, ForkKeys, Message, NewRun,
    OnDuplicate, OpId, Recorded, RunId, RunInfo, RunResult, RunStarted, Started, Timestamp,
    WorkflowDefinition,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::task::AbortHandle;

use crate::control::by_parent;
use crate::run::{Driver, Found, Input, Reply, channel};
use crate::timer::Timers;
use crate::{Options, Registry, fork, recovery};

/// The embedded engine. Dropping it stops everything at once, as a crash would; see [`Embedded::shut_down`].
pub struct Embedded {
    core: Arc<Core>,
    tasks: Vec<AbortHandle>,
}

/// What all parts of an engine share.
pub(crate) struct Core {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) registry: Registry,
    pub(crate) options: Options,
    pub(crate) admissions: Admissions,
    pub(crate) timers: Timers,
    /// The runs in memory. Whoever sends to a run or evicts one holds this lock, so no input is lost between the two.
    active: Mutex<HashMap<RunId, Active>>,
    waiters: Mutex<Waiters>,
    loads: Arc<Semaphore>,
    is_stopping: AtomicBool,
    /// Nothing ends here any more, so nobody may wait for it. Set before the waiters are let go.
    is_closed: AtomicBool,
    failed: OnceLock<Error>,
    left: Notify,
}

/// Who waits for the end of which run.
type Waiters = HashMap<RunId, Vec<oneshot::Sender<RunResult>>>;

struct Active {
    inputs: UnboundedSender<Input>,
    task: Option<AbortHandle>,
    /// How it ended, while it still is in memory.
    ended: Option<RunResult>,
}

impl Active {
    fn new(inputs: UnboundedSender<Input>) -> Self {
        Self { inputs, task: None, ended: None }
    }
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
        let core = Arc::new(Core {
            admissions,
            loads: Arc::new(Semaphore::new(options.recovery_concurrency.max(1))),
            journal,
            registry,
            options,
            timers: Timers::default(),
            active: Mutex::default(),
            waiters: Mutex::default(),
            is_stopping: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            failed: OnceLock::new(),
            left: Notify::new(),
        });
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
        self.core.is_stopping.store(true, Ordering::Release);
        self.core.tell_all(|| Input::Stop);
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
        self.core.active().len()
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
        self.core.is_stopping.store(true, Ordering::Release);
        for (_, active) in self.core.active().drain() {
            if let Some(task) = active.task {
                task.abort();
            }
            let _ = active.inputs.send(Input::Quit);
        }
        self.core.close();
    }
}

impl Engine for Embedded {
    fn start(&self, run: NewRun) -> BoxFuture<'_, Result<Started, EngineError>> {
        Box::pin(async move {
            let workflow = self.core.registry.workflow(&run.workflow);
            let workflow = workflow.ok_or_else(|| EngineError::UnknownWorkflow(run.workflow.to_string()))?;
            let (start, on_duplicate) = self.core.new_run(workflow, run);
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
            match self.core.failed.get() {
                Some(error) => Err(unavailable(error.clone())),
                None => Ok(()),
            }
        })
    }
}

impl Core {
    /// No foreign code runs under these locks, so poisoned ones still hold whole states.
    fn active(&self) -> MutexGuard<'_, HashMap<RunId, Active>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiters(&self) -> MutexGuard<'_, Waiters> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    fn stopped(&self) -> EngineError {
        self.failed.get().map_or(EngineError::Stopped, |error| unavailable(error.clone()))
    }

    fn new_run(&self, workflow: &WorkflowDefinition, new: NewRun) -> (RunStarted, OnDuplicate) {
        let run = RunId::new(self.options.clock.now(), random_bytes());
        let on_duplicate = new.on_duplicate;
        (RunStarted::of(workflow, new, run, self.options.worker.as_str()), on_duplicate)
    }

    /// Takes up a new run in memory; its start and its first operations are one append.
    fn launch(
        self: &Arc<Self>,
        workflow: &WorkflowDefinition,
        start: RunStarted,
    ) -> oneshot::Receiver<Result<Started, EngineError>> {
        let (started, answer) = oneshot::channel();
        if self.is_stopping() {
            let _ = started.send(Err(self.stopped()));
            return answer;
        }
        let run = start.run;
        let (inputs, receiver) = channel();
        let at = self.options.clock.now();
        let told = inputs.clone();
        let execution = Execution::new(workflow, start.clone(), at, Recorded::default());
        let driver =
            Driver::begin(Arc::clone(self), start, at, execution, (inputs.clone(), receiver), started);
        self.active().insert(run, Active::new(inputs));
        self.attach_task(run, tokio::spawn(driver.drive()).abort_handle());
        if self.is_stopping() {
            // Whoever told all runs to stop may have looked before this one was there.
            let _ = told.send(Input::Stop);
        }
        answer
    }

    fn attach_task(&self, run: RunId, task: AbortHandle) {
        if let Some(active) = self.active().get_mut(&run) {
            active.task = Some(task);
        }
    }

    /// Sends a message to a run, which is brought into memory for it.
    pub(crate) fn deliver(self: &Arc<Self>, run: RunId, message: Message, reply: Reply) {
        if self.is_stopping() {
            let _ = reply.send(Err(self.stopped()));
            return;
        }
        self.input(run, Input::Message(message, reply));
    }

    /// Gives an input to a run, in memory or not.
    fn input(self: &Arc<Self>, run: RunId, input: Input) {
        let mut active = self.active();
        if let Some(active) = active.get(&run) {
            let _ = active.inputs.send(input);
            return;
        }
        if self.is_stopping() {
            // What is left out here is found again by the next process, or was a message that is answered so.
            return;
        }
        let (inputs, receiver) = channel();
        let _ = inputs.send(input);
        active.insert(run, Active::new(inputs.clone()));
        drop(active);
        self.spawn_load(run, inputs, receiver);
    }

    /// Brings a run into memory, when few enough others are being loaded.
    pub(crate) async fn activate_when_free(self: &Arc<Self>, run: RunId) {
        let Ok(permit) = Arc::clone(&self.loads).acquire_owned().await else { return };
        drop(permit);
        let (inputs, receiver) = channel();
        {
            let mut active = self.active();
            if active.contains_key(&run) || self.is_stopping() {
                return;
            }
            active.insert(run, Active::new(inputs.clone()));
        }
        self.spawn_load(run, inputs, receiver);
    }

    fn spawn_load(
        self: &Arc<Self>,
        run: RunId,
        inputs: UnboundedSender<Input>,
        receiver: UnboundedReceiver<Input>,
    ) {
        let core = Arc::clone(self);
        let task = tokio::spawn(async move {
            match core.load(run).await {
                Ok(events) if events.is_empty() => {
                    core.refuse(run, receiver, || EngineError::UnknownRun(run))
                }
                Err(error) => core.refuse(run, receiver, || unavailable(error.clone())),
                Ok(events) => {
                    if let Some(EventKind::RunEnded { result }) = events.last().map(|event| &event.kind) {
                        core.tell_end(run, result);
                    }
                    match Driver::resume(Arc::clone(&core), &events, (inputs, receiver)) {
                        Some(driver) => {
                            drop(events);
                            driver.drive().await;
                        }
                        None => core.forget(run),
                    }
                }
            }
        });
        self.attach_task(run, task.abort_handle());
    }

    /// A run that cannot be loaded: all that was sent to it is answered so.
    fn refuse(&self, run: RunId, mut inputs: UnboundedReceiver<Input>, why: impl Fn() -> EngineError) {
        self.forget(run);
        self.waiters().remove(&run);
        while let Ok(input) = inputs.try_recv() {
            if let Input::Message(_, reply) = input {
                let _ = reply.send(Err(why()));
            }
        }
    }

    /// Reads a run's events off the runtime's threads.
    pub(crate) async fn load(&self, run: RunId) -> Result<Vec<Event>, Error> {
        let permit = Arc::clone(&self.loads).acquire_owned().await;
        let journal = Arc::clone(&self.journal);
        let events = tokio::task::spawn_blocking(move || journal.events(run, 0)).await;
        drop(permit);
        events.unwrap_or(Err(Error::Closed))
    }

    /// Lets a run leave memory, unless something has reached it meanwhile: that is given back.
    pub(crate) fn evict(
        &self,
        run: RunId,
        due: Option<Timestamp>,
        inputs: &mut UnboundedReceiver<Input>,
    ) -> Option<Input> {
        let mut active = self.active();
        if let Ok(input) = inputs.try_recv() {
            return Some(input);
        }
        active.remove(&run);
        drop(active);
        if let Some(due) = due {
            self.timers.add(due, run);
        }
        self.left.notify_waiters();
        None
    }

    /// A run's driver is gone.
    pub(crate) fn forget(&self, run: RunId) {
        self.active().remove(&run);
        self.left.notify_waiters();
    }

    /// Starts a child; it runs for the same tenant as its parent, and in the same trace.
    pub(crate) fn start_child(self: &Arc<Self>, of: &RunInfo, op: OpId, child: Child) {
        let parent = of.run;
        let Some(workflow) = self.registry.workflow(&child.workflow) else {
            let message = format!("no workflow `{}` is registered", child.workflow);
            let failure = Failure::new(Class::InvalidRequest, message);
            let result = RunResult::Failed { failure, compensated: 0, resolved: 0 };
            return self.input(parent, Input::ChildEnded { op, result });
        };
        let start = RunStarted::child(&child, Some(workflow), Parent { run: parent, op }, of);
        let start = RunStarted { worker: self.options.worker.clone(), ..start };
        // Nobody waits for the start itself: the child's end is what its parent hears of.
        drop(self.launch(workflow, start));
    }

    /// Tells a parent what the journal knows of a child that an earlier process may have started or not.
    pub(crate) fn look_up(self: &Arc<Self>, child: RunId, op: OpId, parent: UnboundedSender<Input>) {
        /// A run that is in memory and not in the journal is about to be written, or about to be found unknown.
        const AGAIN: std::time::Duration = std::time::Duration::from_millis(10);
        let core = Arc::clone(self);
        tokio::spawn(async move {
            let found = loop {
                let is_active = core.active().contains_key(&child);
                match core.recorded_result(child).await {
                    Ok(Some(result)) => break Found::Ended(result),
                    Ok(None) => break Found::Open,
                    Err(EngineError::UnknownRun(_)) if is_active => tokio::time::sleep(AGAIN).await,
                    Err(EngineError::UnknownRun(_)) => break Found::Nothing,
                    Err(error) => {
                        return tracing::error!(run = %child, %error, "child could not be looked up");
                    }
                }
            };
            let _ = parent.send(Input::ChildFound { op, found });
        });
    }

    pub(crate) fn cancel_child(self: &Arc<Self>, child: RunId, parent: RunId) {
        let (reply, _) = oneshot::channel();
        let reason = "its parent was cancelled".to_owned();
        self.deliver(child, Message::Cancel { reason, by: by_parent(parent) }, reply);
    }

    /// Makes a run out of the beginning of another one.
    pub(crate) fn fork(
        self: &Arc<Self>,
        parent: RunId,
        run: RunId,
        event: u64,
        keys: ForkKeys,
        reply: Reply,
    ) {
        let core = Arc::clone(self);
        tokio::spawn(async move {
            let _ = reply.send(core.write_fork(parent, run, event, keys).await);
        });
    }

    async fn write_fork(
        self: &Arc<Self>,
        parent: RunId,
        run: RunId,
        event: u64,
        keys: ForkKeys,
    ) -> Result<(), EngineError> {
        let refused = |why| EngineError::Refused { run: parent, why };
        let events = self.load(parent).await.map_err(unavailable)?;
        let (_, events) =
            fork::forked(&events, run, event, keys, self.options.clock.now()).map_err(refused)?;
        let summary = Fold::of(&events).map(|fold| Box::new(fold.summary));
        let append = Append::new(run, 1, &events, summary).map_err(|error| refused(error.to_string()))?;
        let (done, written) = oneshot::channel();
        self.journal.append(append, Box::new(move |result| drop(done.send(result))));
        match written.await.unwrap_or(Err(Error::Closed)) {
            // The same letter again, after a crash: the fork is there.
            Ok(_) | Err(Error::Conflict { .. }) => self.activate_when_free(run).await,
            Err(error) => {
                self.journal_failed(error.clone());
                return Err(unavailable(error));
            }
        }
        Ok(())
    }

    /// Gives the result if the run has ended; if not, `waiter` is told of it when it does.
    async fn await_end(
        &self,
        run: RunId,
        waiter: oneshot::Sender<RunResult>,
    ) -> Result<Option<RunResult>, EngineError> {
        {
            // A run that ends takes this lock before it looks for waiters.
            let active = self.active();
            if let Some(Active { ended: Some(result), .. }) = active.get(&run) {
                return Ok(Some(result.clone()));
            }
            let mut waiters = self.waiters();
            if !self.is_closed.load(Ordering::Acquire) {
                waiters.entry(run).or_default().push(waiter);
                if active.contains_key(&run) {
                    return Ok(None);
                }
            }
        }
        let result = self.recorded_result(run).await;
        match &result {
            Ok(Some(result)) => self.wake_waiters(run, result),
            Ok(None) => {}
            Err(_) => drop(self.waiters().remove(&run)),
        }
        result
    }

    /// A run has ended, durably.
    pub(crate) fn run_ended(self: &Arc<Self>, run: RunId, parent: Option<Parent>, result: &RunResult) {
        self.tell_end(run, result);
        if let Some(Parent { run: parent, op }) = parent {
            self.input(parent, Input::ChildEnded { op, result: result.clone() });
        }
    }

    /// Keeps the end of a run in memory for those who ask, and tells those who wait.
    fn tell_end(&self, run: RunId, result: &RunResult) {
        if let Some(active) = self.active().get_mut(&run) {
            active.ended = Some(result.clone());
        }
        self.wake_waiters(run, result);
    }

    fn wake_waiters(&self, run: RunId, result: &RunResult) {
        for waiter in self.waiters().remove(&run).unwrap_or_default() {
            // One that no longer waits is as good as told.
            let _ = waiter.send(result.clone());
        }
    }

    /// A run that had ended goes on.
    pub(crate) fn run_reopened(&self, run: RunId) {
        if let Some(active) = self.active().get_mut(&run) {
            active.ended = None;
        }
        tracing::debug!(%run, "run goes on");
    }

    /// The result of a run that has ended, `None` if it has not.
    async fn recorded_result(&self, run: RunId) -> Result<Option<RunResult>, EngineError> {
        let journal = Arc::clone(&self.journal);
        let read = tokio::task::spawn_blocking(move || {
            let Some(summary) = journal.run(run)? else { return Ok(Err(EngineError::UnknownRun(run))) };
            if summary.ended_at.is_none() {
                return Ok(Ok(None));
            }
            let last = journal.events(run, summary.events.saturating_sub(1))?.pop();
            Ok(Ok(last.and_then(|event| match event.kind {
                EventKind::RunEnded { result } => Some(result),
                _ => None,
            })))
        });
        let read = read.await.map_err(|_| self.stopped())?;
        read.map_err(unavailable)?
    }

    /// The journal takes nothing more: nothing can be done that is not recorded, so everything stops.
    pub(crate) fn journal_failed(&self, error: Error) {
        let _ = self.failed.set(error);
        self.is_stopping.store(true, Ordering::Release);
        self.close();
        self.tell_all(|| Input::Quit);
    }

    /// Lets go of everybody who waits for an end: none will come.
    fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.waiters().clear();
    }

    fn tell_all(&self, input: impl Fn() -> Input) {
        self.active().values().for_each(|active| drop(active.inputs.send(input())));
    }

    async fn wait_until_empty(&self) {
        loop {
            let left = self.left.notified();
            if self.active().is_empty() {
                return;
            }
            // A driver may leave between the check and the wait.
            let _ = tokio::time::timeout(std::time::Duration::from_millis(50), left).await;
        }
    }
}

fn unavailable(error: Error) -> EngineError {
    EngineError::Unavailable(Box::new(error))
}

fn random_bytes() -> [u8; 10] {
    let mut bytes = [0; 10];
    fastrand::fill(&mut bytes);
    bytes
}
