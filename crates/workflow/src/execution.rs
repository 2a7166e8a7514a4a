//! A run's coroutine as a value: it is advanced, says what it needs, and is told what came of it.
//!
//! There is no clock, no disk and no runtime in here. Whatever reaches the workflow comes in through an input with its
//! time, and each input is followed by one poll; so the same inputs in the same order always give the same operations.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Wake, Waker};

use futures_util::future::BoxFuture;

use crate::context::Context;
use crate::op::{Op, Outcome};
use crate::pattern::saga;
use crate::state::{Recorded, Shared, Shield};
use crate::{
    Amount, Budget, Class, EventKind, Failure, Money, OpId, ParkReason, Payload, RunResult, RunStarted,
    Spent, Timestamp, WorkflowDefinition,
};

/// A run in memory.
pub struct Execution {
    shared: Arc<Shared>,
    future: Option<BoxFuture<'static, RunResult>>,
    root: Arc<Root>,
    inputs: std::collections::VecDeque<(Timestamp, Input)>,
    /// How it ended, if it did: whatever comes after changes nothing.
    end: Option<Progress>,
}

enum Input {
    Start,
    Outcome(OpId, Outcome),
    Signal(String, Payload),
    Cancel(Failure),
    RaiseBudget(Money, u64),
}

/// What came of advancing a run.
#[derive(Debug)]
pub struct Advanced {
    /// What it asks for now, in order; to be performed also when it is done (something may be abandoned).
    pub ops: Vec<Op>,
    /// Where it stands.
    pub progress: Progress,
}

/// Where a run stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// It waits for outcomes, signals or a resolution.
    Waiting,
    /// It ended.
    Done(RunResult),
    /// It waits for something that is no operation: no input could ever wake it.
    Stray,
    /// Its code panicked with this message.
    Panicked(String),
}

impl Progress {
    /// Why the run cannot go on with this code, and what to do about it.
    pub fn obstacle(&self) -> Option<(ParkReason, String)> {
        match self {
            Progress::Waiting | Progress::Done(_) => None,
            Progress::Panicked(message) => {
                let what = format!(
                    "the workflow's code panicked: {message}; mend it and start again, nothing is lost"
                );
                Some((ParkReason::Panicked, what))
            }
            Progress::Stray => {
                let what = "the workflow awaits something that is no operation of its context, \
                            e.g. a timer or channel of the runtime: use cx.sleep, cx.signal or a step";
                Some((ParkReason::Stray, what.to_owned()))
            }
        }
    }
}

impl Execution {
    /// Makes the execution of a run that started at `at`; nothing happens before it is advanced.
    pub fn new(
        definition: &WorkflowDefinition,
        start: RunStarted,
        at: Timestamp,
        recorded: Recorded,
    ) -> Self {
        let input = start.input.clone();
        let shared = Arc::new(Shared::new(start, at, recorded));
        let cx = Context::new(Arc::clone(&shared), Shield::Open);
        let body = definition.run(cx, input);
        let unwinding = Context::new(Arc::clone(&shared), Shield::Shielded);
        let future = Box::pin(async move {
            match body.await {
                Ok(output) => RunResult::Completed(output),
                Err(failure) => saga::unwind(&unwinding, failure).await,
            }
        });
        let inputs = [(shared.lock().now, Input::Start)].into();
        Self { shared, future: Some(future), root: Arc::default(), inputs, end: None }
    }

    /// Lets an engine decide which patches the run takes, where it does not know beforehand all that is recorded. Asked
    /// once for each id, while the run is advanced, and not about what is known to be recorded.
    pub fn decide_patches(&mut self, decides: impl Fn(&str) -> bool + Send + 'static) {
        self.shared.lock().decides = Some(Box::new(decides));
    }

    /// Takes in what happened, if it is something that reaches the workflow; says whether it is.
    pub fn happened(&mut self, kind: &EventKind, at: Timestamp) -> bool {
        match kind {
            EventKind::AttemptEnded { op, result, charges } => {
                self.settle(*op, Outcome::Attempt(result.clone().into(), charges.clone()), at);
            }
            EventKind::TimerFired { op } => self.settle(*op, Outcome::Fired, at),
            EventKind::ChildEnded { op, result } => {
                self.settle(*op, Outcome::Child(result.clone().into()), at)
            }
            EventKind::Resolved { op, resolution, .. } => {
                self.settle(*op, Outcome::Resolved(resolution.clone()), at);
            }
            EventKind::SignalReceived { name, payload, .. } => self.signal(name, payload.clone(), at),
            EventKind::CancelRequested { class, reason, .. } => self.cancel(*class, reason, at),
            EventKind::BudgetRaised { usd, tokens, .. } => self.raise_budget(*usd, *tokens, at),
            _ => return false,
        }
        true
    }

    /// Answers an operation; an answer to an abandoned one is ignored.
    pub fn settle(&mut self, op: OpId, outcome: Outcome, at: Timestamp) {
        self.inputs.push_back((at, Input::Outcome(op, outcome)));
    }

    /// Delivers a signal.
    pub fn signal(&mut self, name: &str, payload: Payload, at: Timestamp) {
        self.inputs.push_back((at, Input::Signal(name.to_owned(), payload)));
    }

    /// Tells the run to stop: open operations end with a failure of `class`, and compensations follow.
    pub fn cancel(&mut self, class: Class, reason: &str, at: Timestamp) {
        self.inputs.push_back((at, Input::Cancel(Failure::new(class, reason))));
    }

    /// Raises the run's budget.
    pub fn raise_budget(&mut self, usd: Money, tokens: u64, at: Timestamp) {
        self.inputs.push_back((at, Input::RaiseBudget(usd, tokens)));
    }

    /// Takes in what was settled, one input and one poll at a time, and says what the run needs next.
    pub fn advance(&mut self) -> Advanced {
        while let Some((at, input)) = self.inputs.pop_front() {
            self.take_in(at, input);
            let progress = self.poll();
            if progress != Progress::Waiting {
                self.future = None;
                self.inputs.clear();
                self.end = Some(progress);
            }
        }
        let mut state = self.shared.lock();
        let progress = match &self.end {
            Some(end) => end.clone(),
            None if self.root.is_stray() || !state.is_waiting() => Progress::Stray,
            None => Progress::Waiting,
        };
        Advanced { ops: state.take_asked(), progress }
    }

    /// When the run's own time is over; the engine then cancels it with class `timeout`.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.shared.deadline()
    }

    /// What all attempts have spent so far.
    pub fn spent(&self) -> Spent {
        self.shared.lock().spent
    }

    /// What the run itself may spend, as far as persons raised it by now.
    pub fn budget(&self) -> Option<Budget> {
        self.shared.lock().budget
    }

    /// What the run may spend in all whatever the budgets say that it shares with others, if a person said so.
    pub fn cleared(&self) -> Option<Amount> {
        self.shared.lock().cleared
    }

    fn take_in(&mut self, at: Timestamp, input: Input) {
        let mut state = self.shared.lock();
        // Clocks may step back between two processes; a workflow's time does not.
        state.now = state.now.max(at);
        let wakers = match input {
            Input::Start => {
                self.root.woken.store(true, Ordering::Relaxed);
                Vec::new()
            }
            Input::Outcome(op, outcome) => {
                if let Outcome::Attempt(_, charges) = &outcome {
                    state.spent.add_all(charges);
                }
                state.settle(op, outcome).into_iter().collect()
            }
            Input::Signal(name, payload) => state.signal(name, payload).into_iter().collect(),
            Input::Cancel(failure) => state.cancel(failure),
            Input::RaiseBudget(usd, tokens) => {
                state.raise_budget(Amount { usd, tokens });
                Vec::new()
            }
        };
        drop(state);
        self.root.is_polled.store(true, Ordering::Relaxed);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Polls until nothing inside the workflow wakes it any more.
    fn poll(&mut self) -> Progress {
        let Some(future) = &mut self.future else { return self.end.clone().unwrap_or(Progress::Waiting) };
        self.root.is_polled.store(true, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&self.root));
        let mut cx = std::task::Context::from_waker(&waker);
        let mut progress = Progress::Waiting;
        while progress == Progress::Waiting && self.root.woken.swap(false, Ordering::Relaxed) {
            progress = match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut cx))) {
                Ok(Poll::Pending) => Progress::Waiting,
                Ok(Poll::Ready(result)) => Progress::Done(result),
                Err(panic) => Progress::Panicked(panic_message(&*panic)),
            };
        }
        self.root.is_polled.store(false, Ordering::Relaxed);
        progress
    }
}

impl Shared {
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        let started = self.lock().started;
        self.start.timeout.map(|timeout| started + timeout)
    }
}

/// Reads the message of a caught panic.
pub fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

/// The workflow's outermost waker: whoever wakes it while it is not polled is no operation.
#[derive(Default)]
struct Root {
    woken: AtomicBool,
    is_polled: AtomicBool,
    stray: AtomicBool,
}

impl Root {
    fn is_stray(&self) -> bool {
        self.stray.load(Ordering::Relaxed)
    }
}

impl Wake for Root {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Relaxed);
        if !self.is_polled.load(Ordering::Relaxed) {
            self.stray.store(true, Ordering::Relaxed);
        }
    }
}
