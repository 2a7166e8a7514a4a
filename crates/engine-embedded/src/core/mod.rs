//! What all parts of an engine share: the runs in memory, how they get there and leave, and how inputs reach them.

mod ends;
mod relatives;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use midwatch_engine_attempt::Admissions;
use midwatch_journal::{Error, Journal};
use midwatch_workflow::{
    EngineError, Event, EventKind, Execution, Message, NewRun, Recorded, RunId, RunResult, RunStarted,
    Started, Timestamp, WorkflowDefinition,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::task::AbortHandle;

use crate::run::{Driver, Input, Reply, channel};
use crate::timer::Timers;
use crate::{Options, Registry};

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

impl Core {
    pub(crate) fn new(
        journal: Arc<dyn Journal>,
        registry: Registry,
        options: Options,
        admissions: Admissions,
    ) -> Self {
        Self {
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
        }
    }

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

    /// What the journal failed with, if it did.
    pub(crate) fn failed(&self) -> Option<&Error> {
        self.failed.get()
    }

    pub(crate) fn runs_in_memory(&self) -> usize {
        self.active().len()
    }

    /// Starts nothing more, and lets attempts under way end.
    pub(crate) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        self.tell_all(|| Input::Stop);
    }

    /// Ends everything here and now, as a crash would.
    pub(crate) fn abort(&self) {
        self.is_stopping.store(true, Ordering::Release);
        for (_, active) in self.active().drain() {
            if let Some(task) = active.task {
                task.abort();
            }
            let _ = active.inputs.send(Input::Quit);
        }
        self.close();
    }

    pub(crate) fn stopped(&self) -> EngineError {
        self.failed().map_or(EngineError::Stopped, |error| unavailable(error.clone()))
    }

    /// The first event of a new run.
    pub(crate) fn new_run(&self, workflow: &WorkflowDefinition, new: NewRun) -> RunStarted {
        let run = RunId::new(self.options.clock.now(), random_bytes());
        RunStarted::of(workflow, new, run, self.options.worker.as_str())
    }

    /// Takes up a new run in memory; its start and its first operations are one append.
    pub(crate) fn launch(
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

    /// The journal takes nothing more: nothing can be done that is not recorded, so everything stops.
    pub(crate) fn journal_failed(&self, error: Error) {
        let _ = self.failed.set(error);
        self.is_stopping.store(true, Ordering::Release);
        self.close();
        self.tell_all(|| Input::Quit);
    }

    pub(crate) fn tell_all(&self, input: impl Fn() -> Input) {
        self.active().values().for_each(|active| drop(active.inputs.send(input())));
    }

    pub(crate) async fn wait_until_empty(&self) {
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

pub(crate) fn unavailable(error: Error) -> EngineError {
    EngineError::Unavailable(Box::new(error))
}

fn random_bytes() -> [u8; 10] {
    let mut bytes = [0; 10];
    fastrand::fill(&mut bytes);
    bytes
}
