//! The driver of one run in memory: what happened goes in, events are appended, and only then is anything done.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use midwatch_journal::{Append, Appended, Error, Fold, Open, RunSummary};
use midwatch_workflow::event::WaitReason;
use midwatch_workflow::{
    Advanced, Attempt, AttemptInfo, Charge, Child, Class, Ended, EngineError, Event, EventKind, Execution,
    Failure, Message, Name, Op, OpId, OpKind, ParkReason, Payload, Progress, RunId, RunInfo, RunResult,
    RunStarted, Started, StepContext, Timestamp,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use crate::attempt::{self, Limits, Report, Reports};
use crate::budget::RunAccount;
use crate::engine::Core;
use crate::place::{Place, Places};
use crate::queue::Permit;
use crate::replay::{Unreplayable, replay, take_in};

/// What reaches a run in memory.
pub(crate) enum Input {
    /// The append under way is durable, or failed.
    Committed(Result<Appended, Error>),
    /// An attempt ended.
    Ended { op: OpId, result: Result<Payload, Failure>, charges: Vec<Charge> },
    /// An attempt has something to report.
    Reported(OpId),
    /// An attempt's turn in its queue or at its gate has come.
    Admitted(OpId, Place),
    /// A child run ended.
    ChildEnded { op: OpId, result: RunResult },
    /// What the journal knows of a child that an earlier process, or an earlier life of the run, asked for.
    ChildFound { op: OpId, found: Found },
    /// Somebody sent a message.
    Message(Message, Reply),
    /// The engine is stopping: start nothing, leave when nothing is under way.
    Stop,
    /// The drain limit is over: leave now.
    Quit,
}

/// Whether a run has begun, and ended.
pub(crate) enum Found {
    /// There is no trace of it.
    Nothing,
    /// It goes on.
    Open,
    /// It ended.
    Ended(RunResult),
}

/// Answered when a message is durably recorded.
pub(crate) type Reply = oneshot::Sender<Result<(), EngineError>>;

/// How long a summary of a busy run may trail its journal.
const SUMMARY_LAG: Duration = Duration::from_secs(1);

/// A run in memory.
pub(crate) struct Driver {
    pub(crate) engine: Arc<Core>,
    pub(crate) run: RunId,
    pub(crate) fold: Fold,
    /// `None` once the run has ended or is parked by the engine.
    pub(crate) execution: Option<Execution>,
    start: Box<RunStarted>,
    pub(crate) info: Arc<RunInfo>,
    /// What the run spends, if any budget concerns it and it spends at all.
    pub(crate) account: Option<Arc<RunAccount>>,
    inputs: UnboundedReceiver<Input>,
    sender: UnboundedSender<Input>,
    backlog: VecDeque<Input>,
    /// Recorded and not yet appended.
    events: Vec<Event>,
    /// Recorded as asked for, to be performed once they are durable.
    ops: Vec<(Op, Option<WaitReason>)>,
    /// To be answered once `events` are durable.
    pub(crate) replies: Vec<Reply>,
    started: Option<oneshot::Sender<Result<Started, EngineError>>>,
    running: BTreeMap<OpId, Running>,
    /// Asked for but held back by a queue, a pause, missing code or the engine's stop.
    held: BTreeMap<OpId, Attempt>,
    /// What attempts that have not started have of the places that they need.
    places: BTreeMap<OpId, Places>,
    /// Children that the journal asks for and that may have been started or not.
    looked_up: BTreeMap<OpId, Child>,
    dues: BTreeSet<(Timestamp, Due)>,
    summary: SummaryState,
    /// How it ended, until everybody is told.
    ended: Option<RunResult>,
    /// Whether the state must be rebuilt from the journal after the next commit.
    pub(crate) reload: bool,
    is_stopping: bool,
}

struct Running {
    task: AbortHandle,
    reports: Arc<Reports>,
    _permit: Option<Permit>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // A run that is gone from here, however it went, has no attempt under way here.
        self.task.abort();
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Deadline,
    Timer(OpId),
    Queue(OpId),
}

/// When the summary was last written, and what of it decides about writing it again.
struct SummaryState {
    key: Option<SummaryKey>,
    at: Instant,
    is_behind: bool,
}

#[derive(PartialEq, Eq)]
struct SummaryKey {
    is_ended: bool,
    is_paused: bool,
    is_compensating: bool,
    halted: Option<ParkReason>,
    /// Recovery goes by what the summary of an idle run says, so that is always exact.
    is_idle: bool,
}

/// What the driver waited for.
enum Next {
    Input(Input),
    Due,
    FlushSummary,
    Evicted,
}

impl Driver {
    /// Takes up a new run; `started` is answered when its start is durable.
    pub(crate) fn begin(
        engine: Arc<Core>,
        start: RunStarted,
        at: Timestamp,
        execution: Execution,
        channel: (UnboundedSender<Input>, UnboundedReceiver<Input>),
        started: oneshot::Sender<Result<Started, EngineError>>,
    ) -> Self {
        let fold = Fold::begin(&start, at);
        let mut driver = Self::assemble(engine, start.clone(), fold, channel);
        driver.execution = Some(execution);
        driver.started = Some(started);
        driver.events.push(Event { at, kind: EventKind::RunStarted(Box::new(start)) });
        driver.await_deadline();
        driver
    }

    /// Takes up a run from its events.
    pub(crate) fn resume(
        engine: Arc<Core>,
        events: &[Event],
        channel: (UnboundedSender<Input>, UnboundedReceiver<Input>),
    ) -> Option<Self> {
        let fold = Fold::of(events)?;
        let EventKind::RunStarted(start) = &events.first()?.kind else { return None };
        let mut driver = Self::assemble(engine, (**start).clone(), fold, channel);
        driver.rebuild(events);
        Some(driver)
    }

    fn assemble(
        engine: Arc<Core>,
        start: RunStarted,
        fold: Fold,
        (sender, inputs): (UnboundedSender<Input>, UnboundedReceiver<Input>),
    ) -> Self {
        let run = start.run;
        let trace = start.traceparent.as_deref().and_then(trace_of).unwrap_or(*run.as_bytes());
        Self {
            is_stopping: engine.is_stopping(),
            engine,
            run,
            fold,
            execution: None,
            info: Arc::new(RunInfo {
                run,
                workflow_id: start.workflow_id.clone(),
                workflow: Name::Owned(start.workflow.clone()),
                trace,
                tenant: start.tenant.clone(),
            }),
            account: None,
            start: Box::new(start),
            inputs,
            sender,
            backlog: VecDeque::new(),
            events: Vec::new(),
            ops: Vec::new(),
            replies: Vec::new(),
            started: None,
            running: BTreeMap::new(),
            held: BTreeMap::new(),
            places: BTreeMap::new(),
            looked_up: BTreeMap::new(),
            dues: BTreeSet::new(),
            summary: SummaryState { key: None, at: Instant::now(), is_behind: false },
            ended: None,
            reload: false,
        }
    }

    /// Replays the journal and takes up what was open.
    fn rebuild(&mut self, events: &[Event]) {
        if self.fold.summary.ended_at.is_some() {
            return;
        }
        let worker = self.engine.options.worker.clone();
        if self.fold.summary.worker != worker {
            self.record(EventKind::Recovered { worker });
        }
        self.await_deadline();
        let name = &self.start.workflow;
        let Some(workflow) = self.engine.registry.workflow(name) else {
            let message = format!("no workflow `{name}` is registered: start a process that has it");
            return self.halt(ParkReason::NoCode, message);
        };
        match replay(workflow, events, &self.fold) {
            Ok(replayed) => {
                if self.fold.halted.is_some() {
                    self.record(EventKind::Unparked { by: "replay".to_owned() });
                }
                self.execution = Some(replayed.execution);
                self.take_up(replayed.open);
                self.ask(Advanced { ops: replayed.fresh, progress: replayed.progress });
                self.advance();
            }
            Err(Unreplayable::Mismatch(mismatch)) => {
                let message =
                    format!("{mismatch}: put the old code back, or guard the change with cx.patched(\"…\")");
                self.halt(ParkReason::Mismatch, message);
            }
            Err(Unreplayable::Panicked(message)) => self.halt(ParkReason::Panicked, panicked(&message)),
            Err(Unreplayable::NoStart) => tracing::error!(run = %self.run, "journal of a run has no start"),
        }
    }

    /// Takes up operations that the journal records as open.
    fn take_up(&mut self, open: Vec<Op>) {
        for op in open {
            match self.fold.open.get(&op.id) {
                // After a reload the attempt may still be under way here.
                Some(Open::Attempt { .. }) if self.running.contains_key(&op.id) => {}
                Some(Open::Attempt { started: Some(_), charges, .. }) => {
                    let message = "the process died during the attempt";
                    let failure = Failure::new(Class::Lost, message).ambiguous();
                    let (op, charges) = (op.id, charges.clone());
                    self.record(EventKind::AttemptEnded { op, result: Ended::Failed(failure), charges });
                }
                Some(Open::Attempt { .. }) => {
                    if let OpKind::Attempt(attempt) = op.kind {
                        self.held.insert(op.id, *attempt);
                    }
                }
                Some(Open::Child { .. }) => {
                    if let OpKind::Child(child) = op.kind {
                        self.engine.look_up(child.run, op.id, self.sender.clone());
                        self.looked_up.insert(op.id, *child);
                    }
                }
                _ => self.ops.push((op, None)),
            }
        }
        self.release_held();
    }

    /// Carries the run on until it leaves memory.
    pub(crate) async fn drive(mut self) {
        self.advance();
        loop {
            let is_told_to_quit = matches!(self.backlog.front(), Some(Input::Quit));
            if !is_told_to_quit && (!self.events.is_empty() || !self.ops.is_empty()) {
                match self.commit().await {
                    Ok(()) => {
                        self.advance();
                        self.take_what_came();
                    }
                    Err(Stop::Duplicate) => return self.engine.forget(self.run),
                    Err(Stop::Failed(error)) => return self.give_up(&error),
                    Err(Stop::Quit) => return self.quit(),
                }
                continue;
            }
            let next = match self.backlog.pop_front() {
                Some(input) => Next::Input(input),
                None => self.next().await,
            };
            match next {
                Next::Input(Input::Quit) => return self.quit(),
                Next::Input(input) => self.take(input),
                Next::Due => self.take_due(),
                Next::FlushSummary => self.flush_summary(),
                Next::Evicted => return,
            }
            self.advance();
        }
    }

    /// Takes what came during a commit, and what is due: a run whose attempts never wait hears of a cancellation too.
    fn take_what_came(&mut self) {
        while let Ok(input) = self.inputs.try_recv() {
            self.backlog.push_back(input);
        }
        // A message may reload the run, or come after its end: those are taken when all is written.
        while self.execution.is_some()
            && !self.reload
            && let Some(input) = self.backlog.pop_front_if(|input| !matches!(input, Input::Quit))
        {
            self.take(input);
            self.advance();
        }
        let now = self.engine.options.clock.now();
        if self.execution.is_some() && self.dues.first().is_some_and(|(at, _)| *at <= now) {
            self.take_due();
            self.advance();
        }
    }

    async fn next(&mut self) -> Next {
        let now = Instant::now();
        let due = self.dues.first().map(|(at, _)| self.engine.options.clock.instant(*at));
        let flush = self.summary.is_behind.then(|| self.summary.at + SUMMARY_LAG);
        let leave = self.may_leave(due, now).then(|| now + self.linger());
        let wake = [due, flush, leave].into_iter().flatten().min();
        let input = match wake {
            None => self.inputs.recv().await,
            Some(wake) => tokio::select! {
                biased;
                input = self.inputs.recv() => input,
                () = sleep_until(wake) => {
                    return match wake {
                        wake if due.is_some_and(|due| due <= wake) => Next::Due,
                        wake if flush.is_some_and(|flush| flush <= wake) => Next::FlushSummary,
                        _ => self.leave(),
                    };
                }
            },
        };
        // The driver holds a sender itself, so the channel never closes.
        input.map_or(Next::Evicted, Next::Input)
    }

    /// Nothing under way, and nothing due soon.
    fn may_leave(&self, due: Option<Instant>, now: Instant) -> bool {
        let is_far = due.is_none_or(|due| due > now + 2 * self.engine.options.linger);
        self.running.is_empty()
            && (self.held.is_empty() || self.is_stopping)
            && (self.looked_up.is_empty() || self.is_stopping)
            && (is_far || self.is_stopping)
    }

    fn linger(&self) -> Duration {
        if self.is_stopping || self.fold.summary.ended_at.is_some() {
            Duration::ZERO
        } else {
            self.engine.options.linger
        }
    }

    fn leave(&mut self) -> Next {
        if self.summary.is_behind {
            self.flush_summary();
        }
        let due = self.dues.first().map(|(at, _)| *at);
        self.engine.evict(self.run, due, &mut self.inputs).map_or(Next::Evicted, Next::Input)
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Ended { op, result, charges } => {
                if let Some(running) = self.running.remove(&op) {
                    self.end_attempt(op, result, charges, &running.reports);
                }
            }
            Input::Reported(op) => {
                if let Some(report) = self.running.get(&op).and_then(|running| running.reports.take()) {
                    let Report { progress, charges, replies } = report;
                    self.record(EventKind::Heartbeat { op, progress, charges });
                    self.replies.extend(replies);
                }
            }
            Input::Admitted(op, place) => self.admit(op, place),
            Input::ChildEnded { op, result } => {
                if let Some(Open::Child { .. }) = self.fold.open.get(&op) {
                    self.record(EventKind::ChildEnded { op, result: child_result(result) });
                }
            }
            Input::ChildFound { op, found } => self.take_child(op, found),
            Input::Message(message, reply) => self.take_message(message, reply),
            Input::Stop => self.is_stopping = true,
            Input::Committed(_) | Input::Quit => {}
        }
    }

    /// Takes a child up where an earlier process left it. A cancellation that came meanwhile was kept until now.
    fn take_child(&mut self, op: OpId, found: Found) {
        let Some(child) = self.looked_up.remove(&op) else { return };
        if !matches!(self.fold.open.get(&op), Some(Open::Child { .. })) {
            return;
        }
        let run = child.run;
        match found {
            Found::Ended(result) => {
                return self.record(EventKind::ChildEnded { op, result: child_result(result) });
            }
            Found::Nothing => self.engine.start_child(&self.info, op, child),
            Found::Open => {}
        }
        if self.fold.is_cancelled {
            self.engine.cancel_child(run, self.run);
        }
    }

    fn take_due(&mut self) {
        let now = self.engine.options.clock.now();
        while let Some((at, due)) = self.dues.first().copied().filter(|(at, _)| *at <= now) {
            self.dues.remove(&(at, due));
            match due {
                Due::Timer(op) => self.record(EventKind::TimerFired { op }),
                Due::Deadline if self.fold.is_cancelled => {}
                Due::Deadline => {
                    let timeout = self.start.timeout.unwrap_or_default();
                    let reason = format!("the run took longer than {timeout:?}");
                    let by = "deadline".to_owned();
                    self.record(EventKind::CancelRequested { class: Class::Timeout, reason, by });
                }
                // The pause holds it back now, not the queue; after it, it queues anew.
                Due::Queue(_) if self.fold.is_paused => {}
                Due::Queue(op) => {
                    if let Some(attempt) = self.held.remove(&op) {
                        let places = self.places.remove(&op).unwrap_or_default();
                        let message =
                            format!("{} within {:?}", places.missing(&attempt), attempt.queue_timeout);
                        let result = Ended::Failed(Failure::new(Class::Timeout, message));
                        self.record(EventKind::AttemptEnded { op, result, charges: Vec::new() });
                    }
                }
            }
        }
    }

    /// Fires a timer before it is due.
    pub(crate) fn fire_now(&mut self, op: OpId) {
        self.dues.retain(|(_, due)| *due != Due::Timer(op));
        self.record(EventKind::TimerFired { op });
    }

    /// Puts an event at the end of the journal, and tells fold and execution of it.
    pub(crate) fn record(&mut self, kind: EventKind) {
        let event = Event { at: self.engine.options.clock.now(), kind };
        self.fold.apply(&event);
        if let Some(execution) = &mut self.execution {
            take_in(execution, &event.kind, event.at);
        }
        self.events.push(event);
    }

    /// Takes a run that has ended back, given all its events. The summary that is written with it says at once that the
    /// run is open again: a crash here would lose it otherwise.
    pub(crate) fn record_rewound(&mut self, mut events: Vec<Event>, to: u64, by: String) {
        let event = Event { at: self.engine.options.clock.now(), kind: EventKind::Rewound { to, by } };
        events.push(event.clone());
        if let Some(fold) = Fold::of(&events) {
            self.fold = fold;
            self.events.push(event);
            self.reload = true;
        }
    }

    /// Whether something recorded waits for the next commit.
    pub(crate) fn has_unwritten(&self) -> bool {
        !self.events.is_empty()
    }

    fn advance(&mut self) {
        if let Some(execution) = &mut self.execution {
            let advanced = execution.advance();
            self.ask(advanced);
        }
    }

    /// Records what the run asks for.
    fn ask(&mut self, advanced: Advanced) {
        match advanced.progress {
            Progress::Panicked(message) => return self.halt(ParkReason::Panicked, panicked(&message)),
            Progress::Stray => {
                let message = "the workflow awaits something that is no operation of its context, \
                               e.g. a timer or channel of the runtime: use cx.sleep, cx.signal or a step";
                return self.halt(ParkReason::Stray, message.to_owned());
            }
            Progress::Waiting | Progress::Done(_) => {}
        }
        for op in advanced.ops {
            let waits = self.wait_reason(&op);
            let is_abandon = op.kind == OpKind::Abandon;
            if let Some(kind) = op.to_event(waits) {
                let event = Event { at: self.engine.options.clock.now(), kind };
                self.fold.apply(&event);
                self.events.push(event);
            }
            // Dropping has no effect that the journal must know of first, and an end must stay the last event.
            match is_abandon {
                true => self.abandon(op.id),
                false => self.ops.push((op, waits)),
            }
        }
        if let Progress::Done(result) = advanced.progress {
            self.execution = None;
            self.ended = Some(result.clone());
            self.record(EventKind::RunEnded { result });
        }
    }

    /// Whether an attempt must wait, and for what; if not, its places in queue and gate are taken.
    fn wait_reason(&mut self, op: &Op) -> Option<WaitReason> {
        let OpKind::Attempt(attempt) = &op.kind else { return None };
        if self.is_stopping {
            return Some(WaitReason::Stopping);
        }
        if self.fold.is_paused {
            return Some(WaitReason::Paused);
        }
        if self.engine.registry.step(&attempt.step).is_none() {
            return Some(WaitReason::Code);
        }
        self.take_places(op.id, attempt)
    }

    /// Parks the run by the engine: what it asked for beyond the journal is forgotten, and asked for again after.
    fn halt(&mut self, reason: ParkReason, message: String) {
        self.execution = None;
        if self.fold.halted != Some(reason) {
            self.record(EventKind::Parked { op: None, step: None, reason, message });
        }
    }

    /// Makes all that is recorded durable, then performs what was asked for and answers who waits for it.
    async fn commit(&mut self) -> Result<(), Stop> {
        if !self.events.is_empty() {
            self.append().await?;
        }
        if let Some(started) = self.started.take() {
            let _ = started.send(Ok(Started { run: self.run, is_new: true }));
        }
        if self.reload {
            // Whoever hears that the run goes on must not be given its old end.
            self.engine.run_reopened(self.run);
        }
        self.replies.drain(..).for_each(|reply| drop(reply.send(Ok(()))));
        if std::mem::take(&mut self.reload) {
            return self.reload_now().await;
        }
        let is_alone = self.ops.len() == 1 && self.running.is_empty();
        for (op, waits) in std::mem::take(&mut self.ops) {
            self.perform(op, waits, is_alone);
        }
        if let Some(result) = self.ended.take() {
            tracing::debug!(run = %self.run, status = %self.fold.summary.status, "run ended");
            self.end(&result);
        }
        Ok(())
    }

    /// Appends in one piece, or in several if one would be too large: every prefix of a run's events is a state of it.
    async fn append(&mut self) -> Result<(), Stop> {
        let mut first = self.fold.summary.events + 1 - self.events.len() as u64;
        let mut rest = self.events.len();
        while rest > 0 {
            let events = &self.events[self.events.len() - rest..];
            let (append, count) = match Append::new(self.run, first, events, None) {
                Err(Error::TooLarge { .. }) => largest_prefix(self.run, first, events),
                append => append.map(|append| (append, rest)),
            }
            .map_err(Stop::Failed)?;
            let summary = match count == rest {
                true => self.summary_if_due(),
                // A start needs a summary, of no more than what is written with it.
                false if first == 1 => Fold::of(&events[..count]).map(|fold| Box::new(fold.summary)),
                false => None,
            };
            self.write(Append { summary, ..append }).await?;
            first += count as u64;
            rest -= count;
        }
        self.events.clear();
        Ok(())
    }

    async fn write(&mut self, append: Append) -> Result<(), Stop> {
        let sender = self.sender.clone();
        self.engine
            .journal
            .append(append, Box::new(move |result| drop(sender.send(Input::Committed(result)))));
        loop {
            match self.inputs.recv().await {
                Some(Input::Committed(Ok(Appended::Written))) => return Ok(()),
                Some(Input::Committed(Ok(Appended::Duplicate(run)))) => {
                    if let Some(started) = self.started.take() {
                        let _ = started.send(Ok(Started { run, is_new: false }));
                    }
                    return Err(Stop::Duplicate);
                }
                Some(Input::Committed(Err(error))) => return Err(Stop::Failed(error)),
                Some(input) => self.backlog.push_back(input),
                None => return Err(Stop::Quit),
            }
        }
    }

    fn summary_if_due(&mut self) -> Option<Box<RunSummary>> {
        let key = self.summary_key();
        let is_due = key.is_idle
            || key.is_ended
            || self.summary.key.as_ref() != Some(&key)
            || self.summary.at.elapsed() >= SUMMARY_LAG;
        self.summary.is_behind = !is_due;
        if !is_due {
            return None;
        }
        self.summary.key = Some(key);
        self.summary.at = Instant::now();
        self.fold.summarize();
        Some(Box::new(self.fold.summary.clone()))
    }

    fn summary_key(&self) -> SummaryKey {
        SummaryKey {
            is_ended: self.fold.summary.ended_at.is_some(),
            is_paused: self.fold.is_paused,
            is_compensating: self.fold.is_compensating,
            halted: self.fold.halted,
            is_idle: self.fold.is_idle(),
        }
    }

    /// Writes the summary alone, when a busy run has said nothing else for a while.
    fn flush_summary(&mut self) {
        self.fold.summarize();
        self.summary.is_behind = false;
        self.summary.at = Instant::now();
        let summary = Some(Box::new(self.fold.summary.clone()));
        let append =
            Append { run: self.run, first: self.fold.summary.events + 1, body: String::new(), summary };
        // A summary that cannot be written is no loss: it is recomputed from the journal.
        self.engine.journal.append(append, Box::new(drop));
    }

    fn perform(&mut self, op: Op, waits: Option<WaitReason>, is_alone: bool) {
        let id = op.id;
        match op.kind {
            OpKind::Attempt(attempt) => match waits {
                None => self.start_attempt(id, *attempt, is_alone),
                Some(waits @ (WaitReason::Queue | WaitReason::Gate)) => self.enqueue(id, *attempt, waits),
                Some(WaitReason::Code) => {
                    let message =
                        format!("no step `{}` is registered: start a process that has it", attempt.step);
                    self.held.insert(id, *attempt);
                    self.halt(ParkReason::NoCode, message);
                }
                Some(_) => drop(self.held.insert(id, *attempt)),
            },
            OpKind::Timer { until, .. } => drop(self.dues.insert((until, Due::Timer(id)))),
            OpKind::Child(child) => self.engine.start_child(&self.info, id, *child),
            OpKind::CancelChild => {
                if let Some(Open::Child { run, .. }) = self.fold.open.get(&id)
                    && !self.looked_up.contains_key(&id)
                {
                    self.engine.cancel_child(*run, self.run);
                }
            }
            OpKind::Abandon | OpKind::Signal { .. } | OpKind::Park { .. } | OpKind::Note(_) => {}
        }
    }

    fn start_attempt(&mut self, op: OpId, attempt: Attempt, is_alone: bool) {
        let Some(step) = self.engine.registry.step(&attempt.step).cloned() else { return };
        let Places { permit, pass, .. } = self.places.remove(&op).unwrap_or_default();
        let account = self.account(&attempt);
        if let Some(failure) = account.as_ref().and_then(|account| account.reached()) {
            let result = Ended::Failed(failure);
            return self.record(EventKind::AttemptEnded { op, result, charges: Vec::new() });
        }
        let gate = pass.as_ref().map(|pass| Arc::clone(pass.gate()));
        let reports = Reports::new(op, self.sender.clone(), gate, account);
        let cx = self.step_context(&attempt, &reports);
        let limits = Limits { timeout: attempt.timeout, heartbeat: attempt.heartbeat };
        let mut body = Box::pin(attempt::run(step, cx, attempt.input, limits, Arc::clone(&reports)));
        // A lone attempt that ends without waiting needs no task of its own.
        if is_alone && let Some((result, charges)) = body.as_mut().now_or_never() {
            pass.into_iter().for_each(|pass| pass.ended(&result, &charges));
            drop(permit);
            return self.end_attempt(op, result, charges, &reports);
        }
        let sender = self.sender.clone();
        let task = tokio::spawn(async move {
            let (result, charges) = body.await;
            pass.into_iter().for_each(|pass| pass.ended(&result, &charges));
            let _ = sender.send(Input::Ended { op, result, charges });
        });
        self.running.insert(op, Running { task: task.abort_handle(), reports, _permit: permit });
    }

    /// Records an attempt's end. One that failed leaves its last word of progress to the next one.
    fn end_attempt(
        &mut self,
        op: OpId,
        result: Result<Payload, Failure>,
        charges: Vec<Charge>,
        reports: &Reports,
    ) {
        if let Some(progress) = reports.unsaid().filter(|_| result.is_err()) {
            self.record(EventKind::Heartbeat { op, progress, charges: charges.clone() });
        }
        self.record(EventKind::AttemptEnded { op, result: result.into(), charges });
    }

    fn step_context(&self, attempt: &Attempt, reports: &Arc<Reports>) -> StepContext {
        let progress = match self.fold.progress.is_empty() {
            true => None,
            false => self.fold.progress.get(&(attempt.step.to_string(), attempt.nth)).cloned(),
        };
        StepContext::new(AttemptInfo {
            run: Arc::clone(&self.info),
            step: attempt.step.clone(),
            nth: attempt.nth,
            attempt: attempt.attempt,
            key: Arc::clone(&attempt.key),
            target: attempt.target.clone(),
            progress,
            reporter: Arc::clone(reports) as _,
        })
    }

    /// Takes an attempt's places in queue and gate, as far as it needs any, and says which one it must wait for.
    fn take_places(&mut self, op: OpId, attempt: &Attempt) -> Option<WaitReason> {
        if !Places::are_needed(&self.engine, attempt) {
            return None;
        }
        self.places.entry(op).or_default().take(&self.engine, attempt)
    }

    fn enqueue(&mut self, op: OpId, attempt: Attempt, waits: WaitReason) {
        // The limit is for the whole wait, in the queue and at the gate.
        if !self.dues.iter().any(|(_, due)| *due == Due::Queue(op)) {
            let until = self.engine.options.clock.now() + attempt.queue_timeout;
            self.dues.insert((until, Due::Queue(op)));
        }
        let sender = self.sender.clone();
        let admit = move |place| drop(sender.send(Input::Admitted(op, place)));
        self.places.entry(op).or_default().wait(&self.engine, &attempt, waits, admit);
        self.held.insert(op, attempt);
    }

    /// An attempt's turn has come, unless it is no longer wanted.
    fn admit(&mut self, op: OpId, place: Place) {
        if self.is_stopping || self.fold.is_paused {
            self.places.remove(&op);
            return;
        }
        if let Some(attempt) = self.held.remove(&op) {
            self.places.entry(op).or_default().add(place);
            self.release(op, attempt);
        }
    }

    /// Lets attempts go that nothing but their queue or gate holds back any more.
    pub(crate) fn release_held(&mut self) {
        if self.is_stopping || self.fold.is_paused {
            return;
        }
        for (op, attempt) in std::mem::take(&mut self.held) {
            if self.engine.registry.step(&attempt.step).is_none() {
                self.ops
                    .push((Op { id: op, kind: OpKind::Attempt(Box::new(attempt)) }, Some(WaitReason::Code)));
                continue;
            }
            self.release(op, attempt);
        }
    }

    /// Starts an attempt that was held if it has all its places, and lets it wait for the next one if not.
    fn release(&mut self, op: OpId, attempt: Attempt) {
        match self.take_places(op, &attempt) {
            Some(waits) => self.enqueue(op, attempt, waits),
            None => {
                self.dues.retain(|(_, due)| *due != Due::Queue(op));
                self.start_held(op, attempt);
            }
        }
    }

    fn start_held(&mut self, op: OpId, attempt: Attempt) {
        self.record(EventKind::AttemptStarted { op });
        self.ops.push((Op { id: op, kind: OpKind::Attempt(Box::new(attempt)) }, None));
    }

    /// Drops what is no longer wanted. An attempt may have had its effect; what it spent is booked.
    fn abandon(&mut self, op: OpId) {
        self.dues.retain(|(_, due)| !matches!(due, Due::Timer(id) | Due::Queue(id) if *id == op));
        self.held.remove(&op);
        self.places.remove(&op);
        // What was asked for and dropped within one poll, or one append, is never begun.
        self.ops.retain(|(asked, _)| asked.id != op || asked.kind == OpKind::CancelChild);
        if let Some(running) = self.running.remove(&op) {
            let charges = running.reports.close();
            let failure = Failure::new(Class::Cancelled, "no longer wanted").ambiguous();
            self.record(EventKind::AttemptEnded { op, result: Ended::Failed(failure), charges });
        }
    }

    fn await_deadline(&mut self) {
        if let Some(deadline) = self.fold.deadline.filter(|_| !self.fold.is_cancelled) {
            self.dues.insert((deadline, Due::Deadline));
        }
    }

    /// Tells everybody who waits for the run's end.
    fn end(&mut self, result: &RunResult) {
        self.dues.clear();
        self.held.clear();
        self.places.clear();
        self.engine.run_ended(self.run, self.fold.summary.parent, result);
    }

    async fn reload_now(&mut self) -> Result<(), Stop> {
        let events = self.engine.load(self.run).await.map_err(Stop::Failed)?;
        let Some(fold) = Fold::of(&events) else { return Ok(()) };
        self.fold = fold;
        self.execution = None;
        self.ops.clear();
        self.dues.clear();
        self.held.clear();
        self.places.clear();
        self.looked_up.clear();
        self.rebuild(&events);
        Ok(())
    }

    fn give_up(mut self, error: &Error) {
        tracing::error!(run = %self.run, %error, "run left in its last durable state");
        let unavailable = || EngineError::Unavailable(Box::new(error.clone()));
        if let Some(started) = self.started.take() {
            let _ = started.send(Err(unavailable()));
        }
        for reply in self.replies.drain(..) {
            let _ = reply.send(Err(unavailable()));
        }
        self.engine.journal_failed(error.clone());
        self.quit();
    }

    /// Leaves at once; attempts under way are dropped, and the next process finds them lost.
    fn quit(mut self) {
        self.running.clear();
        self.engine.forget(self.run);
    }
}

/// Why a driver stops.
enum Stop {
    Duplicate,
    Failed(Error),
    Quit,
}

/// Halves a list of events until it fits into one append.
fn largest_prefix(run: RunId, first: u64, events: &[Event]) -> Result<(Append, usize), Error> {
    let mut count = events.len();
    loop {
        count = count.div_ceil(2);
        match Append::new(run, first, &events[..count], None) {
            Err(Error::TooLarge { .. }) if count > 1 => {}
            append => return append.map(|append| (append, count)),
        }
    }
}

/// Makes the channel of a driver.
pub(crate) fn channel() -> (UnboundedSender<Input>, UnboundedReceiver<Input>) {
    unbounded_channel()
}

fn panicked(message: &str) -> String {
    format!("the workflow's code panicked: {message}; mend it and start again, nothing is lost")
}

fn child_result(result: RunResult) -> Ended {
    match result {
        RunResult::Completed(output) => Ended::Ok(output),
        RunResult::Failed { failure, .. } => Ended::Failed(failure),
    }
}

/// The trace id of a W3C `traceparent`: version, 32 hex digits, 16 hex digits, flags.
fn trace_of(traceparent: &str) -> Option<[u8; 16]> {
    let trace = traceparent.split('-').nth(1).filter(|trace| trace.len() == 32)?;
    u128::from_str_radix(trace, 16).ok().filter(|trace| *trace != 0).map(u128::to_be_bytes)
}
