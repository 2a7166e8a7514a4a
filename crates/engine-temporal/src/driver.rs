//! One execution under way: the run's inputs come from the server, and its commands go there.
//!
//! What is in flight is polled in the order in which the server resolved it, then in the order in which it was begun:
//! both are the same on replay.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::future::LocalBoxFuture;
use midwatch_workflow::event::Parent;
use midwatch_workflow::{Message, OpId, Payload, RunResult, RunStarted, Timestamp};
use temporalio_common::protos::temporal::api::common::v1::Payload as Raw;
use temporalio_sdk::{WorkflowCancellationToken, WorkflowContext};

use crate::host::{Host, Shared};
use crate::leave::Crowding;
use crate::polled::{now, polled};
use crate::server::{self, Asked};
use crate::shown::Shown;
use crate::translate::{Command, Input, Standing, Translation};
use crate::wire::{BYTES_MAX, Start, Terms};
use crate::woken::{OneWoken, Woken};

/// How an execution ends.
pub(crate) enum End {
    /// The run has ended.
    Over(RunResult),
    /// The run goes on in a new execution, and takes this along.
    Leaves(Raw),
}

/// One execution under way.
pub(crate) struct Driver {
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
    terms: Terms,
    /// How large the run's input is, which it takes along too.
    input_bytes: usize,
    /// How long the history was when there was first too little room in it.
    crowded_at: Option<u32>,
}

/// A history that has grown so many times as long as when it was first too long is full.
const FULL_AFTER: u32 = 3;

struct InFlight {
    future: LocalBoxFuture<'static, Option<Input>>,
    waker: Waker,
}

impl Driver {
    pub(crate) fn new(
        cx: WorkflowContext<Host>,
        shared: Arc<Shared>,
        translation: Translation,
        terms: Terms,
        input_bytes: usize,
    ) -> Self {
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
            terms,
            input_bytes,
            crowded_at: None,
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

    /// Takes in what has come, and passes on what follows from it.
    pub(crate) fn poll(&mut self, task: &mut Context<'_>) -> Poll<End> {
        *self.woken.outer() = Some(task.waker().clone());
        self.translation.set_time(now(&self.cx));
        let mut leaves = None;
        if !self.is_halted {
            let cx = self.cx.clone();
            leaves = polled(&cx, || self.go_on_or_leave());
        }
        self.tell();
        if let Some(carried) = leaves {
            return Poll::Ready(End::Leaves(carried));
        }
        if let Standing::Halted(reason, message) = &self.translation.standing
            && !self.is_halted
        {
            self.is_halted = true;
            self.shared.mirror.halted(&self.task, self.translation.info.run, *reason, message);
            // The server tries again, and goes on once a worker has mended code.
            self.cx.force_task_fail(message.clone());
        }
        match &self.translation.standing {
            Standing::Ended(result) => Poll::Ready(End::Over(result.clone())),
            Standing::Waiting | Standing::Halted(..) => Poll::Pending,
        }
    }

    /// Passes on all that there is; gives what the run takes along if it leaves its history.
    fn go_on_or_leave(&mut self) -> Option<Raw> {
        loop {
            while self.go_on() {}
            if !self.translation.may_leave() {
                return None;
            }
            let packed = self.translation.carried().pack();
            if let Some(packed) = packed.filter(|packed| packed.data.len() + self.input_bytes <= BYTES_MAX) {
                return Some(packed);
            }
            tracing::warn!(
                run = %self.translation.info.run,
                "what the run would take along is over Temporal's limit: it stays in its history"
            );
            self.translation.stay();
        }
    }

    /// Whether it is time to leave. Asked when something has come: so a replay decides as the run did.
    fn crowding(&mut self) -> Crowding {
        let length = self.cx.history_length();
        let is_long = self.terms.history_max.is_some_and(|max| length >= max);
        if !is_long && !self.cx.continue_as_new_suggested() {
            return Crowding::Room;
        }
        let since = *self.crowded_at.get_or_insert(length);
        if length >= since.saturating_mul(FULL_AFTER) { Crowding::Full } else { Crowding::Crowded }
    }

    /// Passes on what there is; says whether there was anything.
    fn go_on(&mut self) -> bool {
        let inputs = self.take_inbox().into_iter().chain(self.poll_in_flight()).collect::<Vec<_>>();
        let mut is_moved = !inputs.is_empty();
        if is_moved {
            let crowding = self.crowding();
            self.translation.crowd(crowding);
        }
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
                let start = RunStarted { input: Payload::null(), ..start };
                let terms = Terms { names_itself: true, ..self.terms };
                Asked::Child { op, child, start: Box::new(Start { start, terms }) }
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
        let length = self.cx.history_length();
        self.shared.mirror.tell(&self.task, self.translation.info.run, first, length, events);
        self.translation.fold.summarize();
        let summary = self.translation.fold.summary.clone();
        self.shown.update(&self.cx, &summary, self.terms.is_indexed);
        self.cx.state_mut(|host| host.summary = Some(summary));
    }
}
