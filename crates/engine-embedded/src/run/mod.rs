//! The driver of one run in memory: what happened goes in, events are appended, and only then is anything done.

mod due;
mod hold;
mod perform;
mod rebuild;
mod write;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use midwatch_engine_attempt::{Durable, Place, Places, Report, RunAccount};
use midwatch_journal::{Appended, Error, Fold, Open};
use midwatch_workflow::event::WaitReason;
use midwatch_workflow::{
    Advanced, Attempt, Charge, Child, EngineError, Event, EventKind, Execution, Failure, Message, Op, OpId,
    OpKind, ParkReason, Payload, Progress, RunId, RunInfo, RunResult, RunStarted, Started, Timestamp,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use self::due::Due;
use self::perform::Running;
use self::write::{SUMMARY_LAG, SummaryState};
use crate::core::Core;

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
    /// Attempts that wait until what they reported is durable.
    durables: Vec<Durable>,
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
        driver.count_rewinds(events);
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
        Self {
            is_stopping: engine.is_stopping(),
            engine,
            run,
            fold,
            execution: None,
            info: Arc::new(RunInfo::of(&start, 0)),
            account: None,
            start: Box::new(start),
            inputs,
            sender,
            backlog: VecDeque::new(),
            events: Vec::new(),
            ops: Vec::new(),
            replies: Vec::new(),
            durables: Vec::new(),
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
                    let Report { progress, charges, replies, .. } = report;
                    self.record(EventKind::Heartbeat { op, progress, charges });
                    self.durables.extend(replies);
                }
            }
            Input::Admitted(op, place) => self.admit(op, place),
            Input::ChildEnded { op, result } => {
                if let Some(Open::Child { .. }) = self.fold.open.get(&op) {
                    self.record(EventKind::ChildEnded { op, result: result.into() });
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
                return self.record(EventKind::ChildEnded { op, result: result.into() });
            }
            Found::Nothing => self.engine.start_child(&self.info, op, child),
            Found::Open => {}
        }
        if self.fold.is_cancelled {
            self.engine.cancel_child(run, self.run);
        }
    }

    /// Puts an event at the end of the journal, and tells fold and execution of it.
    pub(crate) fn record(&mut self, kind: EventKind) {
        let event = Event { at: self.engine.options.clock.now(), kind };
        self.fold.apply(&event);
        if let Some(execution) = &mut self.execution {
            execution.happened(&event.kind, event.at);
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
        if let Some((reason, message)) = advanced.progress.obstacle() {
            return self.halt(reason, message);
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
        for durable in self.durables.drain(..) {
            let _ = durable.send(());
        }
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

    /// Tells everybody who waits for the run's end.
    fn end(&mut self, result: &RunResult) {
        self.dues.clear();
        self.held.clear();
        self.places.clear();
        self.engine.run_ended(self.run, self.fold.summary.parent, result);
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

/// Makes the channel of a driver.
pub(crate) fn channel() -> (UnboundedSender<Input>, UnboundedReceiver<Input>) {
    unbounded_channel()
}
