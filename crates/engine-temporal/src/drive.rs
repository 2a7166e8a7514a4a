//! Drives one workflow execution: gives its run what the server says, and the server what the run asks for.
//!
//! What is in flight is polled in the order in which the server resolved it, then in the order in which it was begun:
//! both are the same on replay.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::future::LocalBoxFuture;
use midwatch_workflow::event::Parent;
use midwatch_workflow::{
    Class, Failure, Message, Name, OpId, Payload, RunId, RunResult, RunStarted, Timestamp, WorkflowId,
};
use temporalio_common::data_converters::RawValue;
use temporalio_common::error::ApplicationFailure;
use temporalio_sdk::workflow_interceptors::WorkflowOutputValue;
use temporalio_sdk::{WaitConditionOptions, WorkflowCancellationToken, WorkflowContext, WorkflowTermination};

use crate::host::{Host, Shared};
use crate::server::{self, Asked};
use crate::shown::Shown;
use crate::time::timestamp;
use crate::translate::{Command, Input, Standing, Translation};
use crate::wire::{Start, arguments, raw, raw_of, read, read_payload};

type Output = Result<Box<dyn WorkflowOutputValue>, WorkflowTermination>;

/// Runs a workflow to its end.
pub(crate) async fn drive(cx: WorkflowContext<Host>, input: RawValue) -> Output {
    let shared = cx.state(|host| Arc::clone(&host.shared));
    let at = now(&cx);
    let start = start_of(&cx, &input);
    let Some(workflow) = shared.registry.workflow(&start.workflow) else {
        let failure = Failure::new(Class::InvalidRequest, "the start names another workflow than its type");
        return finish(&RunResult::Failed { failure, compensated: 0, resolved: 0 }, false);
    };
    let is_child = start.parent.is_some();
    let begin = || Translation::begin(Arc::clone(&shared.registry), workflow, start, at, is_patched);
    let translation = polled(&cx, begin);
    let mut driver = Driver::new(cx.clone(), shared, translation);
    let result = std::future::poll_fn(|task| driver.poll(task)).await;
    // Whoever sent an update is answered before the execution closes.
    let options =
        WaitConditionOptions::builder().cancellation_token(WorkflowCancellationToken::new()).build();
    let handlers = cx.clone();
    let _ = cx.wait_condition_with_options(|_| handlers.all_handlers_finished(), options).await;
    finish(&result, is_child)
}

thread_local! {
    /// The execution whose workflow is being polled: workflows may move between threads, its context may not.
    static POLLED: RefCell<Option<WorkflowContext<Host>>> = const { RefCell::new(None) };
}

fn polled<T>(cx: &WorkflowContext<Host>, act: impl FnOnce() -> T) -> T {
    POLLED.with(|slot| *slot.borrow_mut() = Some(cx.clone()));
    let acted = act();
    POLLED.with(|slot| slot.borrow_mut().take());
    acted
}

/// Whether the history takes the new side of a change: a marker in it says so.
fn is_patched(id: &str) -> bool {
    POLLED.with(|slot| slot.borrow().as_ref().is_none_or(|cx| cx.patched(id)))
}

/// How the run began, as its starter said; one that was started by hand is given what is missing.
fn start_of(cx: &WorkflowContext<Host>, input: &RawValue) -> RunStarted {
    let data = read_payload(input.payloads.first()).unwrap_or_else(Payload::null);
    if let Some(Start { start }) = read(input.payloads.get(1)) {
        return RunStarted { input: data, ..start };
    }
    let info = cx.info();
    let run: RunId = info.first_execution_run_id().parse().unwrap_or(RunId::from_bytes([0; 16]));
    let workflow_id = WorkflowId::new(info.workflow_id()).unwrap_or_else(|_| run.into());
    RunStarted { workflow_id, input: data, ..RunStarted::bare(run, info.workflow_type()) }
}

fn now(cx: &WorkflowContext<Host>) -> Timestamp {
    cx.workflow_time().map_or(Timestamp::default(), timestamp)
}

/// An end as Temporal shows it. A cancelled run is cancelled there too, unless it is a child: a parent is not given the
/// details of a cancellation, and needs them.
fn finish(result: &RunResult, is_child: bool) -> Output {
    match result {
        RunResult::Completed(output) => Ok(Box::new(arguments([raw(output.as_str())]))),
        RunResult::Failed { failure, .. } if failure.class == Class::Cancelled && !is_child => {
            Err(WorkflowTermination::cancelled_with_details(arguments([raw_of(result)])))
        }
        RunResult::Failed { failure, .. } => {
            let application = ApplicationFailure::builder(failure.to_string())
                .type_name(failure.class.to_string())
                .non_retryable(true)
                .details(arguments([raw_of(result)]));
            Err(application.build().into())
        }
    }
}

struct Driver {
    cx: WorkflowContext<Host>,
    shared: Arc<Shared>,
    task: Arc<str>,
    translation: Translation,
    /// How many events the mirror was given.
    told: u64,
    in_flight: BTreeMap<u64, InFlight>,
    begun: u64,
    /// By which an operation is stopped.
    tokens: HashMap<OpId, WorkflowCancellationToken>,
    woken: Arc<Woken>,
    is_halted: bool,
    shown: Shown,
}

struct InFlight {
    future: LocalBoxFuture<'static, Option<Input>>,
    waker: Waker,
}

impl Driver {
    fn new(cx: WorkflowContext<Host>, shared: Arc<Shared>, translation: Translation) -> Self {
        let task: Arc<str> = cx.run_id().into();
        let mut driver = Self {
            cx,
            shared,
            task,
            translation,
            told: 0,
            in_flight: BTreeMap::new(),
            begun: 0,
            tokens: HashMap::new(),
            woken: Arc::default(),
            is_halted: false,
            shown: Shown::default(),
        };
        driver.await_cancellation();
        if let Some(deadline) = driver.translation.deadline() {
            let timer =
                server::timer(&driver.cx, driver.remaining(deadline), WorkflowCancellationToken::new());
            driver.begin(Box::pin(async move { timer.await.then_some(Input::Deadline) }));
        }
        driver
    }

    /// A cancellation that was asked for at the server itself, e.g. in its UI.
    fn await_cancellation(&mut self) {
        let cx = self.cx.clone();
        self.begin(Box::pin(async move {
            let reason = cx.cancelled().await.filter(|reason| !reason.is_empty());
            let reason = reason.unwrap_or_else(|| "cancelled at the server".to_owned());
            Some(Input::Message(Message::Cancel { reason, by: "temporal".to_owned() }, None))
        }));
    }

    fn remaining(&self, until: Timestamp) -> std::time::Duration {
        until.since(now(&self.cx))
    }

    fn begin(&mut self, future: LocalBoxFuture<'static, Option<Input>>) {
        self.begun += 1;
        let waker = Waker::from(Arc::new(OneWoken { number: self.begun, woken: Arc::clone(&self.woken) }));
        self.in_flight.insert(self.begun, InFlight { future, waker });
    }

    fn poll(&mut self, task: &mut Context<'_>) -> Poll<RunResult> {
        *self.woken.outer() = Some(task.waker().clone());
        self.translation.set_time(now(&self.cx));
        if !self.is_halted {
            let cx = self.cx.clone();
            polled(&cx, || while self.go_on() {});
        }
        self.tell();
        if let Standing::Halted(reason, message) = &self.translation.standing
            && !self.is_halted
        {
            self.is_halted = true;
            self.shared.mirror.halted(&self.task, self.translation.info.run, *reason, message);
            // The server tries again, and goes on once a worker has mended code.
            self.cx.force_task_fail(message.clone());
        }
        match &self.translation.standing {
            Standing::Ended(result) => Poll::Ready(result.clone()),
            Standing::Waiting | Standing::Halted(..) => Poll::Pending,
        }
    }

    /// Passes on what there is; says whether there was anything.
    fn go_on(&mut self) -> bool {
        let inputs = self.take_inbox().into_iter().chain(self.poll_in_flight()).collect::<Vec<_>>();
        let mut is_moved = !inputs.is_empty();
        for input in inputs {
            self.translation.take(input);
        }
        for command in self.translation.take_commands() {
            is_moved = true;
            self.obey(command);
        }
        let answers = std::mem::take(&mut self.translation.answers);
        if !answers.is_empty() {
            self.cx.state_mut(|host| host.replies.extend(answers));
        }
        is_moved && self.translation.standing == Standing::Waiting
    }

    fn take_inbox(&mut self) -> Vec<Input> {
        match self.cx.state(|host| host.inbox.is_empty()) {
            true => Vec::new(),
            false => self.cx.state_mut(|host| host.inbox.drain(..).collect()),
        }
    }

    fn poll_in_flight(&mut self) -> Vec<Input> {
        let mut inputs = Vec::new();
        let mut order = self.woken.take();
        order.extend(self.in_flight.keys());
        for number in order {
            let Some(InFlight { future, waker }) = self.in_flight.get_mut(&number) else { continue };
            if let Poll::Ready(input) = future.as_mut().poll(&mut Context::from_waker(waker)) {
                self.in_flight.remove(&number);
                inputs.extend(input);
            }
        }
        inputs
    }

    fn obey(&mut self, command: Command) {
        let asked = match command {
            Command::Attempt(op, attempt, before) => Asked::Attempt {
                op,
                call: Box::new(crate::wire::Call::of(&self.translation.info, op, &attempt, before)),
                attempt,
                lost_after: self.shared.lost_after,
            },
            Command::Timer(op, until) => Asked::Timer { op, after: self.remaining(until) },
            Command::Child(op, child) => {
                let info = &self.translation.info;
                let workflow = self.shared.registry.workflow(&child.workflow);
                let start = RunStarted::child(&child, workflow, Parent { run: info.run, op }, info);
                Asked::Child { op, child, start: Box::new(start) }
            }
            Command::CancelChild(op) | Command::Stop(op) => {
                if let Some(token) = self.tokens.remove(&op) {
                    token.cancel();
                }
                return;
            }
        };
        let token = WorkflowCancellationToken::new();
        self.tokens.insert(asked.op(), token.clone());
        let future = server::perform(&self.cx, asked, token, &self.translation.info);
        self.begin(future);
    }

    fn tell(&mut self) {
        let events = self.translation.take_events();
        if events.is_empty() {
            return;
        }
        let first = self.told + 1;
        self.told += events.len() as u64;
        self.shared.mirror.tell(&self.task, self.translation.info.run, first, events);
        self.translation.fold.summarize();
        let summary = self.translation.fold.summary.clone();
        if summary.ended_at.is_none() {
            self.shown.update(&self.cx, &summary);
        }
        self.cx.state_mut(|host| host.summary = Some(summary));
    }
}

/// Which operations were woken, in which order, and the waker of the whole.
#[derive(Default)]
struct Woken {
    order: Mutex<Vec<u64>>,
    outer: Mutex<Option<Waker>>,
}

impl Woken {
    fn take(&self) -> Vec<u64> {
        std::mem::take(&mut *self.order.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn outer(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        self.outer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct OneWoken {
    number: u64,
    woken: Arc<Woken>,
}

impl Wake for OneWoken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.order.lock().unwrap_or_else(PoisonError::into_inner).push(self.number);
        let outer = self.woken.outer().clone();
        if let Some(outer) = outer {
            outer.wake();
        }
    }
}

/// The id under which Temporal knows a run: workflow ids are unique for each workflow, Temporal's for a namespace.
pub(crate) fn temporal_id(workflow: &Name, id: &WorkflowId) -> String {
    format!("{workflow}/{id}")
}
