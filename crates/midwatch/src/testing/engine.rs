//! The engine of a test, and its runs.

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use midwatch_engine_embedded::Clock;
use midwatch_journal::memory::MemoryJournal;
use midwatch_journal::{Fold, Journal, Status, story::story};
use midwatch_workflow::{
    Data, Ended, Engine as _, EngineError, Event, EventKind, Failure, Message, NewRun, Payload, RunId,
    RunResult, Timestamp, Workflow, WorkflowId, effective,
};
use serde::Serialize;
use tokio::runtime::Runtime;

use super::image::{Life, NEVER, answer_signals, clock, open, runtime, told};
use super::setup::{TestSetup, payload_of};
use crate::RunError;

/// An embedded engine on a journal in memory, under a virtual clock.
///
/// Time stands still while the test's own code runs. While the test waits, in [`TestRun::result`] or [`TestEngine::pass`],
/// time jumps from one thing that is due to the next. Every call that can go wrong for a reason outside the workflow
/// panics, as tests want it.
pub struct TestEngine {
    // Dropped in this order: the engine's tasks need their runtime.
    life: RefCell<Option<Arc<Life>>>,
    runtime: Runtime,
    disk: MemoryJournal,
    setup: TestSetup,
    clock: Clock,
    lives: Cell<u32>,
}

impl TestEngine {
    /// Begins to say what the engine has.
    pub fn with() -> TestSetup {
        TestSetup::default()
    }

    pub(super) fn open(setup: TestSetup) -> Self {
        let runtime = runtime();
        let clock = clock(&runtime);
        let disk = MemoryJournal::new();
        let life = runtime.block_on(open(&setup, &disk, Arc::new(disk.clone()), clock, 1));
        Self { life: RefCell::new(Some(life)), runtime, disk, setup, clock, lives: Cell::new(1) }
    }

    /// Starts a run.
    ///
    /// # Panics
    /// If the workflow is not registered or its input has no JSON form.
    pub fn start<W: Workflow>(&self, workflow: W, input: W::Input) -> TestRun<'_, W::Output> {
        self.start_as(NewRun::new(workflow.name(), payload_of(&input)))
    }

    /// Starts a run under an id of the test's own; a second one of that id is the first.
    ///
    /// # Panics
    /// As [`start`](Self::start), or if the id cannot be one.
    pub fn start_with_id<W: Workflow>(
        &self,
        workflow: W,
        input: W::Input,
        id: &str,
    ) -> TestRun<'_, W::Output> {
        let workflow_id = WorkflowId::new(id).unwrap_or_else(|error| panic!("{error}"));
        self.start_as(NewRun {
            workflow_id: Some(workflow_id),
            ..NewRun::new(workflow.name(), payload_of(&input))
        })
    }

    fn start_as<O: Data>(&self, new: NewRun) -> TestRun<'_, O> {
        let life = self.life();
        match self.wait(async move { life.engine.start(new).await }) {
            Ok(started) => TestRun { engine: self, run: started.run, output: PhantomData },
            Err(error) => panic!("the run does not start: {error}"),
        }
    }

    /// Lets so much time pass, with all that happens in it.
    pub fn pass(&self, time: Duration) {
        self.wait(async move { tokio::time::sleep(time).await });
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        self.runtime.block_on(async { self.clock.now() })
    }

    /// What the engine has written, of all runs, for whatever reads journals.
    pub fn journal(&self) -> Arc<dyn Journal> {
        Arc::new(self.disk.clone())
    }

    /// Kills the engine, as `kill -9` would, and opens it again on what it had written.
    pub fn crash(&self) {
        self.lives.set(self.lives.get() + 1);
        // The old one must be gone before the new one reads what it left.
        drop(self.life.take());
        let journal = Arc::new(self.disk.clone());
        let next = open(&self.setup, &self.disk, journal, self.clock, self.lives.get());
        let next = self.runtime.block_on(next);
        self.life.replace(Some(next));
    }

    fn life(&self) -> Arc<Life> {
        let life = self.life.borrow();
        Arc::clone(life.as_ref().unwrap_or_else(|| panic!("the engine is being opened anew")))
    }

    /// Waits for something while runs go on and get the signals that the set-up promised.
    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        let life = self.life();
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                output = future => output,
                () = answer_signals(&self.setup, &self.disk, &life) => unreachable!("it answers for ever"),
            }
        })
    }
}

/// A run in a test.
pub struct TestRun<'a, O> {
    engine: &'a TestEngine,
    run: RunId,
    output: PhantomData<fn() -> O>,
}

/// An attempt at a step, as the journal has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TestAttempt {
    /// Which attempt, from 1; lost ones are counted.
    pub number: u32,
    /// What came of it; `None` while it is under way.
    pub result: Option<Result<Payload, Failure>>,
}

impl<O: Data> TestRun<'_, O> {
    /// The run's id.
    pub fn id(&self) -> RunId {
        self.run
    }

    /// Lets time pass until the run ends, and gives its output.
    ///
    /// # Errors
    /// [`RunError::Failed`] if it failed, was cancelled, or ran out of time.
    ///
    /// # Panics
    /// If it does not end: it is parked, say, and nobody answers. The message is its story.
    #[allow(clippy::result_large_err)] // as of the engine's own handle
    pub fn result(&self) -> Result<O, RunError> {
        let life = self.engine.life();
        let ended =
            self.engine.wait(async move { tokio::time::timeout(NEVER, life.engine.result(self.run)).await });
        let result = match ended {
            Ok(result) => result?,
            Err(_) => panic!("the run never ends:\n  {}", told(&self.engine.disk, self.run)),
        };
        let failed = |failure, compensated, resolved| RunError::Failed {
            run: self.run,
            failure,
            compensated,
            resolved,
        };
        match result {
            RunResult::Completed(output) => output.read().map_err(|failure| failed(failure, 0, 0)),
            RunResult::Failed { failure, compensated, resolved } => {
                Err(failed(failure, compensated, resolved))
            }
        }
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// If the run has ended, or the payload has no JSON form.
    pub fn signal<T: Serialize + ?Sized>(&self, name: &str, payload: &T) {
        let message = Message::Signal { name: name.to_owned(), payload: payload_of(payload), id: None };
        self.send(message).unwrap_or_else(|error| panic!("signal {name}: {error}"));
    }

    /// Tells the run to stop.
    ///
    /// # Panics
    /// If the run has ended.
    pub fn cancel(&self) {
        let message = Message::Cancel { reason: "the test says so".to_owned(), by: "test".to_owned() };
        self.send(message).unwrap_or_else(|error| panic!("cancel: {error}"));
    }

    /// Sends any message.
    ///
    /// # Errors
    /// If the run cannot take it.
    pub fn send(&self, message: Message) -> Result<(), EngineError> {
        let life = self.engine.life();
        self.engine.wait(async move { life.engine.send(self.run, message).await })
    }

    /// Where the run stands.
    pub fn status(&self) -> Status {
        Fold::of(&self.events()).map_or(Status::Running, |fold| fold.summary.status)
    }

    /// The run's journal.
    pub fn events(&self) -> Vec<Event> {
        self.engine.disk.events(self.run, 0).unwrap_or_default()
    }

    /// The run's journal as lines without times and ids, e.g. `step charge_card gave "ch_1"`.
    pub fn story(&self) -> Vec<String> {
        story(&self.events())
    }

    /// All attempts at a step, in order, at every use of it.
    pub fn attempts(&self, step: &str) -> Vec<TestAttempt> {
        let events = self.events();
        let events = effective(&events);
        let ended = |op| {
            events.iter().find_map(|(_, event)| match &event.kind {
                EventKind::AttemptEnded { op: of, result, .. } if *of == op => Some(result.clone()),
                _ => None,
            })
        };
        let attempts = events.iter().filter_map(|(_, event)| match &event.kind {
            EventKind::AttemptScheduled(attempt) if attempt.step == step => Some(attempt),
            _ => None,
        });
        attempts
            .map(|attempt| TestAttempt {
                number: attempt.attempt,
                result: ended(attempt.op).map(|ended: Ended| ended.into()),
            })
            .collect()
    }
}
