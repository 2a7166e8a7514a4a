//! One run between its execution and the server, as a pure value: what happened goes in, events and commands come out.
//!
//! It knows no server and no clock: every input brings its time. The same inputs in the same order, as a replay of the
//! server's history gives them, make the same events with the same numbers and the same commands.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use midwatch_engine_attempt::OwnBudget;
use midwatch_journal::{Fold, Open};
use midwatch_workflow::event::WaitReason;
use midwatch_workflow::{
    Advanced, Amount, Attempt, Child, Class, Ended, Event, EventKind, Execution, Failure, Message, Op, OpId,
    OpKind, ParkReason, Payload, Progress, Recorded, Registry, RunInfo, RunResult, RunStarted, Timestamp,
    WorkflowDefinition,
};

use serde::{Deserialize, Serialize};

use crate::leave::{Crowding, light};
use crate::wire::{Before, Report};

/// What reaches a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Input {
    /// An attempt ended.
    Ended(OpId, Report),
    /// A timer fired.
    Fired(OpId),
    /// A child run ended.
    ChildEnded(OpId, Result<Payload, Failure>),
    /// The run's own time is over.
    Deadline,
    /// Somebody sent a message, a signal among others; whoever waits for an answer is known by this number.
    Message(Message, Option<u64>),
}

/// What the server shall do.
#[derive(Debug)]
pub(crate) enum Command {
    /// Make an attempt.
    Attempt(OpId, Box<Attempt>, Before),
    /// Wait until then.
    Timer(OpId, Timestamp),
    /// Start a child.
    Child(OpId, Box<Child>),
    /// Tell a child to stop.
    CancelChild(OpId),
    /// Stop an attempt or a timer.
    Stop(OpId),
}

/// Where a run stands.
#[derive(Debug, PartialEq)]
pub(crate) enum Standing {
    /// It waits for inputs.
    Waiting,
    /// It ended.
    Ended(RunResult),
    /// It cannot go on with this code: for this reason, and this is what to do.
    Halted(ParkReason, String),
}

/// A run between its execution and the server.
pub(crate) struct Translation {
    registry: Arc<Registry>,
    pub(crate) info: Arc<RunInfo>,
    start: RunStarted,
    pub(crate) fold: Fold,
    pub(crate) execution: Option<Execution>,
    now: Timestamp,
    /// Whether the execution was given something since it was last advanced.
    is_fed: bool,
    pub(crate) events: Vec<Event>,
    /// All events, as a run takes them along that leaves its history.
    pub(crate) kept: Vec<Event>,
    /// Asked for and not recorded yet: an attempt that is to be stopped first holds the rest back, and so does one that is
    /// left to the next execution.
    pub(crate) asked: VecDeque<Op>,
    done: Option<RunResult>,
    pub(crate) backlog: VecDeque<Input>,
    pub(crate) commands: Vec<Command>,
    /// Attempts that the server was told to make.
    pub(crate) running: BTreeSet<OpId>,
    /// The last operation that was recorded as no longer wanted.
    abandoned: Option<OpId>,
    /// Attempts that were told to stop, and what came of them.
    pub(crate) stopping: BTreeMap<OpId, Option<Report>>,
    /// Attempts that a pause holds back.
    pub(crate) held: BTreeMap<OpId, Attempt>,
    pub(crate) crowding: Crowding,
    /// Whether the run cannot leave its history.
    pub(crate) stays: bool,
    pub(crate) standing: Standing,
    pub(crate) answers: Vec<(u64, Result<(), String>)>,
}

impl Translation {
    /// Begins a run at `at`. The history knows which patches it has taken: `is_patched` asks it.
    pub(crate) fn begin(
        registry: Arc<Registry>,
        workflow: &WorkflowDefinition,
        start: RunStarted,
        at: Timestamp,
        is_patched: fn(&str) -> bool,
    ) -> Self {
        let mut execution = Execution::new(workflow, start.clone(), at, Recorded::default());
        execution.decide_patches(is_patched);
        let began = Event { at, kind: EventKind::RunStarted(Box::new(start.clone())) };
        let fold = Fold::begin(&start, at);
        let mut translation = Self::empty(registry, start, fold);
        translation.execution = Some(execution);
        translation.is_fed = true;
        translation.kept.push(light(&began));
        translation.events.push(began);
        translation.go_on();
        translation
    }

    /// A run that stands where its fold says, without its code.
    pub(crate) fn empty(registry: Arc<Registry>, start: RunStarted, fold: Fold) -> Self {
        Self {
            registry,
            info: Arc::new(RunInfo::of(&start, 0)),
            now: fold.summary.updated_at,
            fold,
            start,
            execution: None,
            is_fed: false,
            events: Vec::new(),
            kept: Vec::new(),
            asked: VecDeque::new(),
            done: None,
            backlog: VecDeque::new(),
            commands: Vec::new(),
            running: BTreeSet::new(),
            abandoned: None,
            stopping: BTreeMap::new(),
            held: BTreeMap::new(),
            crowding: Crowding::Room,
            stays: false,
            standing: Standing::Waiting,
            answers: Vec::new(),
        }
    }

    /// When the run's own time is over.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.fold.deadline
    }

    /// The clock of the run.
    pub(crate) fn set_time(&mut self, at: Timestamp) {
        self.now = self.now.max(at);
    }

    /// Takes an input in.
    pub(crate) fn take(&mut self, input: Input) {
        match input {
            Input::Ended(op, report) if self.stopping.contains_key(&op) => {
                self.stopping.insert(op, Some(report));
            }
            other => self.backlog.push_back(other),
        }
        self.go_on();
    }

    /// The events since this was last asked.
    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// The commands since this was last asked. While an attempt is being stopped, nothing new is begun.
    pub(crate) fn take_commands(&mut self) -> Vec<Command> {
        let commands = std::mem::take(&mut self.commands);
        let (now, later) = commands
            .into_iter()
            .partition(|command| self.asked.is_empty() || matches!(command, Command::Stop(_)));
        self.commands = later;
        now
    }

    pub(crate) fn go_on(&mut self) {
        while self.standing == Standing::Waiting {
            let is_recorded = self.record_asked();
            if !is_recorded && !self.is_leaving() {
                return;
            }
            if self.standing != Standing::Waiting {
                break;
            }
            if std::mem::take(&mut self.is_fed)
                && let Some(execution) = &mut self.execution
            {
                let advanced = execution.advance();
                self.ask(advanced);
                continue;
            }
            let next = if is_recorded { self.backlog.pop_front() } else { self.pop_urgent() };
            match next {
                Some(input) => self.apply(input),
                None => return,
            }
        }
        self.refuse_rest();
    }

    /// Whoever sent a message that comes too late is told so.
    fn refuse_rest(&mut self) {
        if !matches!(self.standing, Standing::Ended(_)) {
            return;
        }
        for input in std::mem::take(&mut self.backlog) {
            if let Input::Message(_, Some(reply)) = input {
                self.answers.push((reply, Err("has ended".to_owned())));
            }
        }
    }

    pub(crate) fn ask(&mut self, advanced: Advanced) {
        if let Some((reason, message)) = advanced.progress.obstacle() {
            return self.halt(reason, message);
        }
        if let Progress::Done(result) = advanced.progress {
            self.done = Some(result);
        }
        self.asked.extend(advanced.ops);
    }

    fn halt(&mut self, reason: ParkReason, message: String) {
        self.standing = Standing::Halted(reason, message);
    }

    /// Records what was asked for; says whether all of it is.
    fn record_asked(&mut self) -> bool {
        while let Some(op) = self.asked.front() {
            if op.kind == OpKind::Abandon {
                if !self.abandon(op.id) {
                    return false;
                }
                self.asked.pop_front();
                continue;
            }
            if self.is_for_next(op) {
                self.stop_all_abandoned();
                return false;
            }
            let Some(op) = self.asked.pop_front() else { break };
            let waits = match &op.kind {
                OpKind::Attempt(_) if self.fold.is_paused => Some(WaitReason::Paused),
                OpKind::Attempt(attempt) if self.registry.step(&attempt.step).is_none() => {
                    let message =
                        format!("no step `{}` is registered: start a process that has it", attempt.step);
                    self.halt(ParkReason::NoCode, message);
                    return true;
                }
                _ => None,
            };
            if let Some(kind) = op.to_event(waits) {
                self.write(kind, self.now);
            }
            self.perform(op, waits);
        }
        if let Some(result) = self.done.take() {
            self.execution = None;
            self.write(EventKind::RunEnded { result: result.clone() }, self.now);
            self.standing = Standing::Ended(result);
        }
        true
    }

    fn perform(&mut self, op: Op, waits: Option<WaitReason>) {
        match op.kind {
            OpKind::Attempt(attempt) if waits.is_some() => drop(self.held.insert(op.id, *attempt)),
            OpKind::Attempt(attempt) => self.start(op.id, attempt),
            OpKind::Timer { until, .. } => self.commands.push(Command::Timer(op.id, until)),
            OpKind::Child(child) => self.commands.push(Command::Child(op.id, child)),
            OpKind::CancelChild => self.commands.push(Command::CancelChild(op.id)),
            OpKind::Abandon | OpKind::Signal { .. } | OpKind::Park { .. } | OpKind::Note(_) => {}
        }
    }

    fn start(&mut self, op: OpId, attempt: Box<Attempt>) {
        let key = (attempt.step.to_string(), attempt.nth);
        let progress = self.fold.progress.get(&key).cloned();
        self.running.insert(op);
        let execution = self.execution.as_ref();
        let own = OwnBudget {
            budget: execution.and_then(Execution::budget),
            cleared: execution.and_then(Execution::cleared),
            spent: Amount::from(&self.fold.summary.spent),
        };
        // Without a limit it makes no difference what was spent.
        let own = if own.budget.is_none() && own.cleared.is_none() { OwnBudget::default() } else { own };
        self.commands.push(Command::Attempt(op, attempt, Before { progress, own }));
    }

    /// Drops what is no longer wanted; says whether that is done. An attempt under way is stopped first, and what it
    /// spent is booked: so nothing that follows, its compensation least of all, runs beside it.
    fn abandon(&mut self, op: OpId) -> bool {
        if self.abandoned != Some(op) {
            self.abandoned = Some(op);
            let is_timer = matches!(self.fold.open.get(&op), Some(Open::Timer { .. }));
            self.write(EventKind::Abandoned { op }, self.now);
            self.held.remove(&op);
            if self.forget_command(op) {
                return true;
            }
            if is_timer {
                self.commands.push(Command::Stop(op));
            }
            if !self.running.contains(&op) {
                return true;
            }
            self.stop_all_abandoned();
        }
        let Some(report) = self.stopping.get_mut(&op).and_then(Option::take) else { return false };
        self.stopping.remove(&op);
        self.running.remove(&op);
        let failure = Failure::new(Class::Cancelled, "no longer wanted").ambiguous();
        let (result, charges) = (Ended::Failed(failure), report.charges);
        self.record(EventKind::AttemptEnded { op, result, charges }, self.now);
        true
    }

    /// What was asked for and dropped before the server was told is never begun.
    fn forget_command(&mut self, op: OpId) -> bool {
        let before = self.commands.len();
        self.commands.retain(|command| match command {
            Command::Attempt(id, ..) | Command::Timer(id, _) | Command::Child(id, _) => *id != op,
            Command::CancelChild(_) | Command::Stop(_) => true,
        });
        let is_forgotten = self.commands.len() < before;
        if is_forgotten {
            self.running.remove(&op);
        }
        is_forgotten
    }

    /// Tells all attempts that are no longer wanted to stop at once, not one after the other.
    fn stop_all_abandoned(&mut self) {
        let abandoned = self.asked.iter().filter(|op| op.kind == OpKind::Abandon).map(|op| op.id);
        let running: Vec<OpId> = abandoned.filter(|op| self.running.contains(op)).collect();
        for op in running {
            let ended =
                self.backlog.iter().position(|input| matches!(input, Input::Ended(id, _) if *id == op));
            let report = ended.and_then(|at| match self.backlog.remove(at) {
                Some(Input::Ended(_, report)) => Some(report),
                _ => None,
            });
            if self.stopping.contains_key(&op) {
                continue;
            }
            if report.is_none() {
                self.commands.push(Command::Stop(op));
            }
            self.stopping.insert(op, report);
        }
    }

    fn apply(&mut self, input: Input) {
        match input {
            Input::Ended(op, report) => self.end_attempt(op, report),
            Input::Fired(op) => {
                if let Some(Open::Timer { .. }) = self.fold.open.get(&op) {
                    self.record(EventKind::TimerFired { op }, self.now);
                }
            }
            Input::ChildEnded(op, result) => {
                if let Some(Open::Child { .. }) = self.fold.open.get(&op) {
                    self.record(EventKind::ChildEnded { op, result: result.into() }, self.now);
                }
            }
            Input::Deadline if self.fold.is_cancelled => {}
            Input::Deadline => {
                let timeout = self.start.timeout.unwrap_or_default();
                let reason = format!("the run took longer than {timeout:?}");
                let by = "deadline".to_owned();
                self.record(EventKind::CancelRequested { class: Class::Timeout, reason, by }, self.now);
            }
            Input::Message(message, reply) => {
                let answer = self.control(message);
                self.answers.extend(reply.map(|reply| (reply, answer)));
            }
        }
    }

    fn end_attempt(&mut self, op: OpId, report: Report) {
        self.running.remove(&op);
        if !matches!(self.fold.open.get(&op), Some(Open::Attempt { .. })) {
            return;
        }
        for beat in report.beats {
            let at = self.fold.summary.updated_at.max(beat.at.min(self.now));
            self.write(EventKind::Heartbeat { op, progress: beat.progress, charges: beat.charges }, at);
        }
        self.record(EventKind::AttemptEnded { op, result: report.ended, charges: report.charges }, self.now);
    }

    /// Lets attempts go that a pause held back.
    pub(crate) fn release_held(&mut self) {
        for (op, attempt) in std::mem::take(&mut self.held) {
            self.write(EventKind::AttemptStarted { op }, self.now);
            self.start(op, Box::new(attempt));
        }
    }

    /// Fires a timer before it is due.
    pub(crate) fn fire_now(&mut self, op: OpId) {
        self.commands.push(Command::Stop(op));
        self.record_now(EventKind::TimerFired { op });
    }

    pub(crate) fn record_now(&mut self, kind: EventKind) {
        self.record(kind, self.now);
    }

    /// Writes an event and gives it to the execution.
    fn record(&mut self, kind: EventKind, at: Timestamp) {
        if let Some(execution) = &mut self.execution {
            self.is_fed |= execution.happened(&kind, at);
        }
        self.write(kind, at);
    }

    fn write(&mut self, kind: EventKind, at: Timestamp) {
        let event = Event { at, kind };
        self.fold.apply(&event);
        self.kept.push(light(&event));
        self.events.push(event);
    }
}
