//! One run between its execution and the server, as a pure value: what happened goes in, events and commands come out.
//!
//! It knows no server and no clock: every input brings its time. The same inputs in the same order, as a replay of the
//! server's history gives them, make the same events with the same numbers and the same commands.

mod ask;
mod happen;
mod stop;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use midwatch_journal::Fold;
use midwatch_workflow::{
    Attempt, Child, Event, EventKind, Execution, Failure, Message, Op, OpId, ParkReason, Payload, Recorded,
    Registry, RunInfo, RunResult, RunStarted, Timestamp, WorkflowDefinition,
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
