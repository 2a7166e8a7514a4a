//! The fold from events to spans: what is open, and what becomes of it.

use std::collections::{BTreeMap, HashMap};

use midwatch_workflow::event::{AttemptScheduled, Note, TimerPurpose};
use midwatch_workflow::{
    Charge, Ended, Event, EventKind, Failure, OpId, Resolution, RunResult, RunStarted, SpanId, SpanOf,
    Timestamp, after_rewind,
};

use super::open::{Halt, Open, OpenAttempt, OpenStep, Over, Pause, Sum};
use super::span::{Happening, Span};

/// Takes in a run's events, one after another, and gives its spans.
#[derive(Clone, Debug)]
pub struct Tracer {
    pub(super) start: Box<RunStarted>,
    pub(super) trace: [u8; 16],
    pub(super) is_sampled: bool,
    /// How often the run was rewound so far.
    pub(super) rewinds: u32,
    /// When the run started, or was last rewound.
    pub(super) since: Timestamp,
    /// The last event.
    pub(super) number: u64,
    /// Whether what comes is what a fork keeps of its parent: it stands in the parent's trace.
    is_copied: bool,
    is_ended: bool,
    pub(super) sum: Sum,
    pub(super) happenings: Vec<Happening>,
    pub(super) left_out: u64,
    pub(super) steps: HashMap<SpanId, OpenStep>,
    pub(super) ops: BTreeMap<OpId, Open>,
    /// Signals that nobody has waited for yet.
    mail: HashMap<String, u32>,
    /// The spans of steps that may be undone, by their first operation.
    undoable: HashMap<OpId, SpanId>,
    pub(super) pause: Option<Pause>,
    pub(super) halt: Option<Halt>,
}

impl Tracer {
    /// Begins with the start of a run, and gives the mark of it.
    pub fn begin(start: &RunStarted, at: Timestamp, out: &mut Vec<Span>) -> Self {
        // The input may be large, and is no part of a trace.
        let start = RunStarted { input: midwatch_workflow::Payload::null(), ..start.clone() };
        let tracer = Self {
            trace: start.trace(),
            is_sampled: start.is_sampled(),
            is_copied: start.forked_from.is_some(),
            start: Box::new(start),
            rewinds: 0,
            since: at,
            number: 1,
            is_ended: false,
            sum: Sum::default(),
            happenings: Vec::new(),
            left_out: 0,
            steps: HashMap::new(),
            ops: BTreeMap::new(),
            mail: HashMap::new(),
            undoable: HashMap::new(),
            pause: None,
            halt: None,
        };
        out.push(tracer.started_span());
        tracer
    }

    /// Takes in a run's events from the first, and gives the spans that are over; `None` if the first is no start.
    pub fn of(events: &[Event]) -> Option<(Self, Vec<Span>)> {
        let (first, rest) = events.split_first()?;
        let EventKind::RunStarted(start) = &first.kind else { return None };
        let mut spans = Vec::new();
        let mut tracer = Self::begin(start, first.at, &mut spans);
        for (event, before) in rest.iter().zip(1..) {
            match event.kind {
                EventKind::Rewound { to, .. } => tracer.rewind(&events[..before], to, event.at, &mut spans),
                _ => tracer.apply(event, &mut spans),
            }
        }
        Some((tracer, spans))
    }

    /// The number of the last event that was taken in.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether the run has ended.
    pub fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Takes in the next event, and gives the spans that are over by it. A `rewound` needs all events before it: see
    /// [`Tracer::rewind`].
    pub fn apply(&mut self, event: &Event, out: &mut Vec<Span>) {
        self.number += 1;
        if self.is_copied && event.at >= self.since {
            self.is_copied = false;
            self.sum = Sum::default();
            self.happenings.clear();
        }
        let before = out.len();
        self.take(event.at, &event.kind, out);
        if self.is_copied {
            out.truncate(before);
        }
    }

    /// Takes in a `rewound` at `at`, given the events before it: the run goes on from event `to`.
    pub fn rewind(&mut self, before: &[Event], to: u64, at: Timestamp, out: &mut Vec<Span>) {
        self.number += 1;
        self.rewinds += 1;
        self.since = at;
        self.is_ended = false;
        self.sum = Sum::default();
        self.happenings.clear();
        self.left_out = 0;
        let mut again =
            Self { steps: HashMap::new(), ops: BTreeMap::new(), mail: HashMap::new(), ..self.clone() };
        let mut told = Vec::new();
        for (_, event) in after_rewind(before, to) {
            again.take(event.at, &event.kind, &mut told);
            told.clear();
        }
        // What it asked for then and has not got is open again; what it has got stays told.
        (self.steps, self.ops, self.mail) = (again.steps, again.ops, again.mail);
        (self.pause, self.halt) = (again.pause, None);
        out.push(self.started_span());
    }

    fn take(&mut self, at: Timestamp, kind: &EventKind, out: &mut Vec<Span>) {
        match kind {
            EventKind::AttemptScheduled(scheduled) => self.schedule(at, scheduled),
            EventKind::AttemptStarted { op } => self.start_attempt(at, *op, out),
            EventKind::Heartbeat { op, charges, .. } => {
                if let Some(Open::Attempt(attempt)) = self.ops.get_mut(op) {
                    attempt.beats += 1;
                    if !charges.is_empty() {
                        attempt.charges.clone_from(charges);
                    }
                }
            }
            EventKind::AttemptEnded { op, result, charges } => {
                self.end_attempt(at, *op, result, charges, out)
            }
            EventKind::TimerStarted { op, purpose, .. } => self.start_timer(at, *op, purpose),
            EventKind::TimerFired { op } => self.fire(at, *op, out),
            EventKind::SignalAwaited { op, name } => match self.mail.get_mut(name) {
                Some(1) => drop(self.mail.remove(name)),
                Some(count) => *count -= 1,
                None => drop(self.ops.insert(*op, Open::Signal { at, name: name.clone() })),
            },
            EventKind::SignalReceived { name, .. } => self.receive(at, name, out),
            EventKind::ChildStarted { op, workflow, workflow_id, run, .. } => {
                let (workflow, workflow_id) = (workflow.clone(), workflow_id.to_string());
                self.ops.insert(*op, Open::Child { at, run: *run, workflow, workflow_id });
            }
            EventKind::ChildEnded { op, result } => {
                if let Some(open) = self.ops.remove(op) {
                    let failure = match result {
                        Ended::Failed(failure) => Some(failure),
                        Ended::Ok(_) => None,
                    };
                    out.extend(self.child_span(&open, at, failure));
                }
            }
            EventKind::Abandoned { op } => self.abandon(at, *op, out),
            EventKind::Noted { note, .. } => self.note(at, note, out),
            EventKind::Parked { op: Some(op), step, reason, .. } => {
                self.ops.insert(*op, Open::Person { at, step: step.clone(), reason: *reason });
            }
            EventKind::Parked { op: None, reason, .. } => {
                self.halt = Some(Halt { event: self.number, at, reason: *reason });
            }
            EventKind::Resolved { op, resolution, by } => self.resolve(at, *op, resolution, by, out),
            EventKind::Unparked { by } => {
                if let Some(halt) = self.halt.take() {
                    out.push(self.halt_span(&halt, at, Some(by)));
                }
            }
            EventKind::Paused { by, .. } => {
                self.pause = Some(Pause { event: self.number, at, by: by.clone() });
            }
            EventKind::Resumed { by } => {
                if let Some(pause) = self.pause.take() {
                    out.push(self.pause_span(&pause, at, Some(by)));
                }
            }
            EventKind::RunEnded { result } => self.end(at, result, out),
            EventKind::RunStarted(_) | EventKind::Rewound { .. } => {}
            EventKind::BudgetRaised { .. }
            | EventKind::CancelRequested { .. }
            | EventKind::Recovered { .. } => self.happen(at, kind),
        }
    }

    fn schedule(&mut self, at: Timestamp, scheduled: &AttemptScheduled) {
        let (name, nth) = (&scheduled.step, scheduled.nth);
        let id = self.id(SpanOf::Step { step: name, nth });
        let step = self.steps.entry(id).or_insert_with(|| OpenStep {
            name: name.clone(),
            nth,
            began: at,
            last: at,
            attempts: 0,
            failures: 0,
            queue: scheduled.queue.clone(),
            target: scheduled.target.clone(),
            is_undo: scheduled.undoes.is_some(),
            undoes: scheduled.undoes.and_then(|op| self.undoable.get(&op).copied()),
            failure: None,
        });
        step.attempts += 1;
        step.last = at;
        if scheduled.undo.is_some() && step.attempts == 1 {
            self.undoable.insert(scheduled.op, id);
        }
        self.sum.attempts += 1;
        self.sum.retries += u64::from(scheduled.attempt > 1);
        self.ops.insert(
            scheduled.op,
            Open::Attempt(OpenAttempt {
                step: id,
                name: name.clone(),
                nth,
                number: scheduled.attempt,
                target: scheduled.target.clone(),
                asked: at,
                started: scheduled.waits.is_none().then_some(at),
                waits: scheduled.waits,
                beats: 0,
                charges: Vec::new(),
                is_abandoned: false,
            }),
        );
    }

    fn start_attempt(&mut self, at: Timestamp, op: OpId, out: &mut Vec<Span>) {
        let Some(Open::Attempt(attempt)) = self.ops.get_mut(&op) else { return };
        attempt.started = Some(at);
        let attempt = attempt.clone();
        out.push(self.held_span(op, &attempt, at, None));
    }

    fn end_attempt(
        &mut self,
        at: Timestamp,
        op: OpId,
        result: &Ended,
        charges: &[Charge],
        out: &mut Vec<Span>,
    ) {
        let Some(Open::Attempt(mut attempt)) = self.ops.remove(&op) else { return };
        attempt.charges = charges.to_vec();
        let failure = match result {
            Ended::Failed(failure) => Some(failure),
            Ended::Ok(_) => None,
        };
        self.sum.spent.add_all(charges);
        if failure.is_some() {
            self.sum.failures += 1;
            self.sum.wasted += charges.iter().filter_map(|charge| charge.cost).sum();
        }
        out.push(match attempt.started {
            Some(_) => self.attempt_span(&attempt, at, Some(result)),
            // It was refused before it began.
            None => self.held_span(op, &attempt, at, failure),
        });
        let Some(step) = self.steps.get_mut(&attempt.step) else { return };
        step.last = at;
        step.failures += u32::from(failure.is_some());
        step.failure = failure.map(|failure: &Failure| (failure.class, failure.message.clone()));
        match failure {
            None => self.end_step(attempt.step, at, Over::Done, out),
            Some(_) if attempt.is_abandoned => self.end_step(attempt.step, at, Over::Abandoned, out),
            Some(_) => {}
        }
    }

    fn end_step(&mut self, id: SpanId, at: Timestamp, over: Over, out: &mut Vec<Span>) {
        if let Some(step) = self.steps.remove(&id) {
            out.push(self.step_span(id, &step, at, over));
        }
    }

    fn start_timer(&mut self, at: Timestamp, op: OpId, purpose: &TimerPurpose) {
        let open = match purpose {
            TimerPurpose::Sleep => Open::Sleep { at },
            // The wait and its limit are asked for one after the other.
            TimerPurpose::SignalTimeout => Open::Limit(OpId(op.0.saturating_sub(1))),
            TimerPurpose::Retry { step, nth, attempt, because, .. } => {
                let step = self.id(SpanOf::Step { step, nth: *nth });
                Open::Retry { at, step, attempt: *attempt, because: *because }
            }
        };
        self.ops.insert(op, open);
    }

    fn fire(&mut self, at: Timestamp, op: OpId, out: &mut Vec<Span>) {
        match self.ops.remove(&op) {
            Some(Open::Limit(of)) => {
                if let Some(signal @ Open::Signal { .. }) = self.ops.remove(&of) {
                    out.extend(self.wait_span(of, &signal, at, Over::TimedOut));
                }
            }
            Some(open) => out.extend(self.wait_span(op, &open, at, Over::Done)),
            None => {}
        }
    }

    /// The oldest wait for it takes it.
    fn receive(&mut self, at: Timestamp, name: &str, out: &mut Vec<Span>) {
        let waits = |open: &Open| matches!(open, Open::Signal { name: awaited, .. } if awaited == name);
        match self.ops.iter().find(|(_, open)| waits(open)).map(|(op, _)| *op) {
            Some(op) => {
                if let Some(open) = self.ops.remove(&op) {
                    out.extend(self.wait_span(op, &open, at, Over::Done));
                }
            }
            None => *self.mail.entry(name.to_owned()).or_default() += 1,
        }
    }

    fn abandon(&mut self, at: Timestamp, op: OpId, out: &mut Vec<Span>) {
        // What a running attempt spent comes with its end.
        if let Some(Open::Attempt(attempt)) = self.ops.get_mut(&op)
            && attempt.started.is_some()
        {
            attempt.is_abandoned = true;
            return;
        }
        let Some(open) = self.ops.remove(&op) else { return };
        let step = match &open {
            Open::Attempt(attempt) => {
                out.push(self.held_span(op, attempt, at, None));
                Some(attempt.step)
            }
            Open::Retry { step, .. } => {
                out.extend(self.wait_span(op, &open, at, Over::Abandoned));
                Some(*step)
            }
            Open::Child { .. } => {
                out.extend(self.child_span(&open, at, None));
                None
            }
            _ => {
                out.extend(self.wait_span(op, &open, at, Over::Abandoned));
                None
            }
        };
        if let Some(step) = step {
            self.end_step(step, at, Over::Abandoned, out);
        }
    }

    fn note(&mut self, at: Timestamp, note: &Note, out: &mut Vec<Span>) {
        match note {
            Note::GaveUp { step, nth, .. } => {
                let id = self.id(SpanOf::Step { step, nth: *nth });
                // A compensation that failed is not settled before a person has said so.
                if self.steps.get(&id).is_some_and(|step| !step.is_undo) {
                    self.end_step(id, at, Over::Done, out);
                }
            }
            Note::Patched(_) | Note::Status(_) | Note::Compensating { .. } => self.remark(at, note),
        }
    }

    fn resolve(&mut self, at: Timestamp, op: OpId, resolution: &Resolution, by: &str, out: &mut Vec<Span>) {
        let Some(Open::Person { at: asked, step, reason }) = self.ops.remove(&op) else { return };
        out.push(self.person_span(op, asked, reason, step.as_deref(), at, Some((resolution, by))));
        if *resolution == Resolution::Retry {
            return;
        }
        // It is settled with whatever it came to: the step of that name that is not under way.
        let is_under_way = |id: &SpanId| {
            self.ops.values().any(|op| matches!(op, Open::Attempt(attempt) if attempt.step == *id))
        };
        let same = self.steps.iter().filter(|(_, open)| step.as_deref() == Some(&*open.name));
        let still = same.filter(|(id, _)| !is_under_way(id));
        // Of several the one that began first was asked about first.
        let settled = still.min_by_key(|(id, open)| (open.began, **id));
        if let Some(id) = settled.map(|(id, _)| *id) {
            if matches!(resolution, Resolution::Done(_))
                && let Some(step) = self.steps.get_mut(&id)
            {
                step.failure = None;
            }
            self.end_step(id, at, Over::Done, out);
        }
    }

    fn end(&mut self, at: Timestamp, result: &RunResult, out: &mut Vec<Span>) {
        out.extend(self.rest(at, Over::Abandoned));
        self.ops.clear();
        self.steps.clear();
        (self.pause, self.halt) = (None, None);
        out.push(self.run_span(at, Some(result)));
        self.happenings.clear();
        self.is_ended = true;
    }

    /// The id of one of the run's spans.
    pub(super) fn id(&self, of: SpanOf<'_>) -> SpanId {
        SpanId::of(self.start.run, self.rewinds, of)
    }
}
