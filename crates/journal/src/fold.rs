//! The fold from events to where a run stands: what is open, what was spent, what lists show.

use std::collections::BTreeMap;

use midwatch_workflow::event::{AttemptScheduled, Note, TimerPurpose, WaitReason};
use midwatch_workflow::{
    Charge, Class, Ended, Event, EventKind, Money, OpId, ParkReason, Payload, RunId, RunResult, RunStarted,
    Spent, Timestamp,
};

use midwatch_workflow::after_rewind;
pub use midwatch_workflow::{effective, recorded};

use crate::{RunSummary, Status};

/// Where a run stands after some of its events.
#[derive(Clone, Debug)]
pub struct Fold {
    /// What lists show. Its `status`, `doing` and `wake_at` are brought up to date by [`Fold::summarize`].
    pub summary: RunSummary,
    /// What was asked for and has not ended.
    pub open: BTreeMap<OpId, Open>,
    /// When the run's own time is over.
    pub deadline: Option<Timestamp>,
    /// Whether an operator holds it.
    pub is_paused: bool,
    /// Whether it was told to stop.
    pub is_cancelled: bool,
    /// Whether it undoes its steps.
    pub is_compensating: bool,
    /// Why the engine parked it, if it did.
    pub halted: Option<ParkReason>,
    /// The last heartbeat of every step that is not done, by name and use.
    pub progress: BTreeMap<(String, u32), Payload>,
    /// Ids of signals that were received, by which repeats are recognised.
    pub signal_ids: Vec<String>,
    /// How many signals of a name have come that nobody has waited for yet.
    pub mailbox: BTreeMap<String, u32>,
}

/// An operation that has not ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Open {
    /// An attempt.
    Attempt {
        /// As it was asked for; without the input.
        scheduled: Box<AttemptScheduled>,
        /// When it was asked for.
        at: Timestamp,
        /// When it started; `None` while it waits.
        started: Option<Timestamp>,
        /// When it last said that it makes progress.
        beat: Option<Timestamp>,
        /// What it has spent, as far as heartbeats said.
        charges: Vec<Charge>,
    },
    /// A wait.
    Timer {
        /// Until when.
        until: Timestamp,
        /// What for.
        purpose: TimerPurpose,
    },
    /// A wait for a signal.
    Signal {
        /// Its name.
        name: String,
    },
    /// A child run.
    Child {
        /// The child.
        run: RunId,
        /// Its workflow.
        workflow: String,
    },
    /// A question to a person.
    Person {
        /// The step that it is about.
        step: Option<String>,
        /// Why.
        reason: ParkReason,
    },
}

impl Fold {
    /// Begins with event 1.
    pub fn begin(start: &RunStarted, at: Timestamp) -> Self {
        let summary = RunSummary {
            run: start.run,
            workflow: start.workflow.clone(),
            workflow_id: start.workflow_id.clone(),
            tenant: start.tenant.clone(),
            status: Status::Running,
            started_at: at,
            updated_at: at,
            ended_at: None,
            wake_at: None,
            events: 1,
            steps: 0,
            attempts: 0,
            failures: 0,
            spent: Spent::default(),
            wasted: Money::ZERO,
            spent_by: BTreeMap::new(),
            children: 0,
            doing: String::new(),
            status_text: None,
            parked: None,
            class: None,
            message: None,
            compensated: 0,
            parent: start.parent,
            forked_from: start.forked_from,
            worker: start.worker.clone(),
            target: None,
            queue: None,
            held: None,
        };
        Self {
            summary,
            open: BTreeMap::new(),
            deadline: start.timeout.map(|timeout| at + timeout),
            is_paused: false,
            is_cancelled: false,
            is_compensating: false,
            halted: None,
            progress: BTreeMap::new(),
            signal_ids: Vec::new(),
            mailbox: BTreeMap::new(),
        }
    }

    /// Folds a run's events from the first; `None` if there is none or the first is no start.
    pub fn of(events: &[Event]) -> Option<Self> {
        let (first, rest) = events.split_first()?;
        let EventKind::RunStarted(start) = &first.kind else { return None };
        let mut fold = Self::begin(start, first.at);
        for (event, before) in rest.iter().zip(1..) {
            match event.kind {
                EventKind::Rewound { to, .. } => fold.rewind(&events[..before], to),
                _ => fold.apply(event),
            }
        }
        fold.summarize();
        Some(fold)
    }

    /// Takes in the next event. A `rewound` needs all events: use [`Fold::of`].
    pub fn apply(&mut self, event: &Event) {
        self.summary.events += 1;
        self.summary.updated_at = event.at;
        match &event.kind {
            EventKind::AttemptScheduled(attempt) => self.schedule(attempt, event.at),
            EventKind::AttemptStarted { op } => {
                if let Some(Open::Attempt { started, .. }) = self.open.get_mut(op) {
                    *started = Some(event.at);
                }
            }
            EventKind::Heartbeat { op, progress, charges } => self.beat(*op, progress, charges, event.at),
            EventKind::AttemptEnded { op, result, charges } => self.end_attempt(*op, result, charges),
            EventKind::TimerStarted { op, until, purpose } => {
                self.open.insert(*op, Open::Timer { until: *until, purpose: purpose.clone() });
            }
            EventKind::SignalAwaited { op, name } => {
                self.await_signal(*op, name);
            }
            EventKind::ChildStarted { op, workflow, run, .. } => {
                self.open.insert(*op, Open::Child { run: *run, workflow: workflow.clone() });
            }
            EventKind::TimerFired { op }
            | EventKind::ChildEnded { op, .. }
            | EventKind::Resolved { op, .. } => {
                self.open.remove(op);
            }
            // What an abandoned attempt spent comes with its end; until then it is no longer waited for.
            EventKind::Abandoned { op } => {
                self.open.remove(op);
            }
            EventKind::Noted { note, .. } => self.note(note),
            EventKind::Parked { op: Some(op), step, reason, message } => {
                self.open.insert(*op, Open::Person { step: step.clone(), reason: *reason });
                self.summary.message = Some(message.clone());
            }
            EventKind::Parked { op: None, reason, message, .. } => {
                self.halted = Some(*reason);
                self.summary.message = Some(message.clone());
            }
            EventKind::Unparked { .. } => self.halted = None,
            EventKind::CancelRequested { .. } => self.is_cancelled = true,
            EventKind::Paused { .. } => self.is_paused = true,
            EventKind::Resumed { .. } => self.is_paused = false,
            EventKind::Recovered { worker } => self.summary.worker.clone_from(worker),
            EventKind::RunEnded { result } => self.end_run(result, event.at),
            EventKind::SignalReceived { name, id, .. } => {
                self.signal_ids.extend(id.clone());
                self.receive_signal(name);
            }
            EventKind::RunStarted(_) | EventKind::BudgetRaised { .. } | EventKind::Rewound { .. } => {}
        }
    }

    /// Brings `status`, `doing`, `parked` and `wake_at` of the summary up to date.
    pub fn summarize(&mut self) {
        let summary = &mut self.summary;
        if summary.ended_at.is_some() {
            return;
        }
        let is_active = self.open.values().any(|open| matches!(open, Open::Attempt { .. }));
        let person = self.open.values().find_map(|open| match open {
            Open::Person { reason, .. } => Some(*reason),
            _ => None,
        });
        summary.parked = self.halted.or(person);
        summary.status = match summary.parked {
            Some(_) => Status::Parked,
            None if self.is_paused => Status::Paused,
            None if self.is_compensating => Status::Compensating,
            None if is_active || self.open.is_empty() => Status::Running,
            None => Status::Waiting,
        };
        let timers = self.open.values().filter_map(|open| match open {
            Open::Timer { until, .. } => Some(*until),
            _ => None,
        });
        summary.wake_at = timers.chain(self.deadline.filter(|_| !self.is_cancelled)).min();
        let children = self.open.values().filter(|open| matches!(open, Open::Child { .. })).count();
        summary.children = u32::try_from(children).unwrap_or(u32::MAX);
        summary.held = self.open.values().find_map(|open| match open {
            Open::Attempt { scheduled, started: None, .. } => scheduled.waits,
            _ => None,
        });
        summary.doing = self.open.values().next().map(Open::describe).unwrap_or_default();
        if let more @ 1.. = self.open.len().saturating_sub(1) {
            summary.doing.push_str(&format!(" (+{more})"));
        }
    }

    /// Whether the run may leave memory: nothing of it is under way here.
    pub fn is_idle(&self) -> bool {
        !self.open.values().any(|open| matches!(open, Open::Attempt { .. }))
    }

    fn await_signal(&mut self, op: OpId, name: &str) {
        match self.mailbox.get_mut(name) {
            Some(1) => drop(self.mailbox.remove(name)),
            Some(count) => *count -= 1,
            None => drop(self.open.insert(op, Open::Signal { name: name.to_owned() })),
        }
    }

    /// The oldest wait for it takes it.
    fn receive_signal(&mut self, name: &str) {
        let waits = |open: &Open| matches!(open, Open::Signal { name: awaited } if awaited == name);
        match self.open.iter().find(|(_, open)| waits(open)).map(|(op, _)| *op) {
            Some(op) => drop(self.open.remove(&op)),
            None => *self.mailbox.entry(name.to_owned()).or_default() += 1,
        }
    }

    fn schedule(&mut self, attempt: &AttemptScheduled, at: Timestamp) {
        self.summary.attempts += 1;
        name(&mut self.summary.target, attempt.target.as_deref());
        name(&mut self.summary.queue, attempt.queue.as_deref());
        let started = attempt.waits.is_none().then_some(at);
        let scheduled = Box::new(AttemptScheduled { input: None, ..attempt.clone() });
        let open = Open::Attempt { scheduled, at, started, beat: None, charges: Vec::new() };
        self.open.insert(attempt.op, open);
    }

    fn beat(&mut self, op: OpId, progress: &Payload, charges: &[Charge], at: Timestamp) {
        if let Some(Open::Attempt { scheduled, beat, charges: spent, .. }) = self.open.get_mut(&op) {
            *beat = Some(at);
            spent.clear();
            spent.extend_from_slice(charges);
            // A report of charges alone says null: what was said before stays.
            if progress.as_str() != "null" {
                self.progress.insert((scheduled.step.to_string(), scheduled.nth), progress.clone());
            }
        }
    }

    fn end_attempt(&mut self, op: OpId, result: &Ended, charges: &[Charge]) {
        let open = self.open.remove(&op);
        self.summary.spent.add_all(charges);
        for charge in charges {
            match self.summary.spent_by.get_mut(&charge.target) {
                Some(spent) => spent.add(charge),
                None => self.summary.spent_by.entry(charge.target.clone()).or_default().add(charge),
            }
        }
        match result {
            Ended::Ok(_) => {
                self.summary.steps += 1;
                if let Some(Open::Attempt { scheduled, .. }) = open
                    && !self.progress.is_empty()
                {
                    self.progress.remove(&(scheduled.step.into_owned(), scheduled.nth));
                }
            }
            Ended::Failed(failure) => {
                self.summary.failures += 1;
                self.summary.wasted += charges.iter().filter_map(|charge| charge.cost).sum();
                self.summary.class = Some(failure.class);
                self.summary.message = Some(failure.message.clone());
            }
        }
    }

    fn note(&mut self, note: &Note) {
        match note {
            Note::Status(text) => self.summary.status_text = Some(text.clone()),
            Note::Compensating { .. } => self.is_compensating = true,
            Note::Patched(_) | Note::GaveUp { .. } => {}
        }
    }

    fn end_run(&mut self, result: &RunResult, at: Timestamp) {
        let summary = &mut self.summary;
        self.open.clear();
        self.progress.clear();
        summary.ended_at = Some(at);
        summary.wake_at = None;
        summary.parked = None;
        summary.children = 0;
        summary.doing = String::new();
        summary.held = None;
        match result {
            RunResult::Completed(_) => {
                summary.status = Status::Completed;
                summary.class = None;
                summary.message = None;
            }
            RunResult::Failed { failure, compensated, .. } => {
                summary.status = match (compensated, failure.class) {
                    (1.., _) => Status::Compensated,
                    (0, Class::Cancelled) => Status::Cancelled,
                    (0, _) => Status::Failed,
                };
                summary.compensated = *compensated;
                summary.class = Some(failure.class);
                summary.message = Some(failure.message.clone());
            }
        }
    }

    /// Goes back to the state after event `to`; counts and costs stay.
    fn rewind(&mut self, before: &[Event], to: u64) {
        let kept = after_rewind(before, to);
        let mut kept = kept.into_iter().map(|(_, event)| event);
        let Some(Event { at, kind: EventKind::RunStarted(start) }) = kept.next() else { return };
        let mut then = Self::begin(start, *at);
        kept.for_each(|event| then.apply(event));
        let now = std::mem::replace(self, then);
        self.summary.events = now.summary.events + 1;
        self.summary.updated_at = now.summary.updated_at;
        self.summary.attempts = now.summary.attempts;
        self.summary.failures = now.summary.failures;
        self.summary.spent = now.summary.spent;
        self.summary.wasted = now.summary.wasted;
        self.summary.spent_by = now.summary.spent_by;
        self.summary.worker = now.summary.worker;
        self.signal_ids = now.signal_ids;
    }
}

/// Takes a name over without copying one that is there already.
fn name(kept: &mut Option<String>, new: Option<&str>) {
    if kept.as_deref() != new {
        *kept = new.map(str::to_owned);
    }
}

impl Open {
    /// Says in a few words what it is.
    pub fn describe(&self) -> String {
        match self {
            Open::Attempt { scheduled, started: None, .. } => {
                let behind = match scheduled.waits {
                    Some(WaitReason::Gate) => "at the gate",
                    Some(WaitReason::Paused) => "held by a pause",
                    Some(WaitReason::Code) => "without code",
                    Some(WaitReason::Stopping) => "until the next start",
                    Some(WaitReason::Queue) | None => "queued",
                };
                format!("{} {behind}", scheduled.step)
            }
            Open::Attempt { scheduled, .. } if scheduled.attempt > 1 => {
                format!("{} attempt {}", scheduled.step, scheduled.attempt)
            }
            Open::Attempt { scheduled, .. } => scheduled.step.to_string(),
            Open::Timer { purpose: TimerPurpose::Retry { step, attempt, of, .. }, .. } => {
                format!("{step} waits for attempt {attempt}/{of}")
            }
            Open::Timer { purpose: TimerPurpose::Sleep, .. } => "sleep".to_owned(),
            Open::Timer { purpose: TimerPurpose::SignalTimeout, .. } => "signal timeout".to_owned(),
            Open::Signal { name } => format!("signal {name}"),
            Open::Child { run, workflow } => format!("child {workflow} {}", run.short()),
            Open::Person { reason, .. } => format!("a person ({reason:?})").to_lowercase(),
        }
    }
}
