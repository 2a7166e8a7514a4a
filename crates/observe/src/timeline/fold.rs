//! The fold from events that count to entries. It knows nothing of rewinds.

use std::collections::{HashMap, HashSet, VecDeque};

use midwatch_workflow::event::{AttemptScheduled, Note, TimerPurpose};
use midwatch_workflow::{Charge, Ended, Event, EventKind, OpId, Payload, Timestamp};

use super::shape::{
    Answer, Child, ChildEnd, Entry, Happening, Limit, Mark, Person, Received, RunEnd, Signal, Sleep, What,
};
use super::step::{Attempt, AttemptEnd, Beat, GaveUp, RetryWait, Step, Undoes};

/// What the events so far told.
#[derive(Default)]
pub(super) struct Folding {
    pub(super) entries: Vec<Entry>,
    pub(super) status_text: Option<String>,
    pub(super) end: Option<RunEnd>,
    /// Where each operation is told.
    places: HashMap<OpId, Place>,
    steps: HashMap<(String, u32), usize>,
}

/// Where an operation is told: the entry, and the attempt of a step.
#[derive(Clone, Copy)]
enum Place {
    Attempt(usize, usize),
    Retry(usize, usize),
    /// The limit of the wait for a signal at this entry.
    Limit(usize),
    Entry(usize),
}

impl Folding {
    pub(super) fn of(events: &[(u64, &Event)]) -> Self {
        let mut folding = Self::default();
        for (number, event) in events {
            folding.apply(Mark { event: *number, at: event.at }, &event.kind);
        }
        folding.claim_signals();
        folding
    }

    fn apply(&mut self, mark: Mark, kind: &EventKind) {
        match kind {
            EventKind::AttemptScheduled(scheduled) => self.schedule(mark, scheduled),
            EventKind::AttemptStarted { op } => {
                if let Some(attempt) = self.attempt(*op) {
                    attempt.started = Some(mark);
                }
            }
            EventKind::Heartbeat { op, progress, charges } => self.beat(mark, *op, progress, charges),
            EventKind::AttemptEnded { op, result, charges } => self.end_attempt(mark, *op, result, charges),
            EventKind::TimerStarted { op, until, purpose } => self.start_timer(mark, *op, *until, purpose),
            EventKind::TimerFired { op } => self.fire(mark, *op),
            EventKind::SignalAwaited { op, name } => {
                let (op, name) = (*op, name.clone());
                let wait = Signal {
                    op,
                    name,
                    asked: mark,
                    limit: None,
                    received: None,
                    abandoned: None,
                    void: None,
                };
                self.begin(op, Entry::Signal(wait));
            }
            EventKind::SignalReceived { name, payload, id } => {
                let (name, payload, id) = (name.clone(), payload.clone(), id.clone());
                self.entries.push(Entry::Unclaimed(Received { mark, name, payload, id, void: None }));
            }
            EventKind::ChildStarted { op, workflow, workflow_id, run, .. } => {
                let child = Child {
                    op: *op,
                    workflow: workflow.clone(),
                    workflow_id: workflow_id.clone(),
                    run: *run,
                    asked: mark,
                    end: None,
                    abandoned: None,
                    void: None,
                };
                self.begin(*op, Entry::Child(child));
            }
            EventKind::ChildEnded { op, result } => {
                if let Some(Entry::Child(child)) = self.entry(*op) {
                    child.end = Some(ChildEnd { mark, result: result.clone() });
                }
            }
            EventKind::Abandoned { op } => self.abandon(mark, *op),
            EventKind::Noted { note, .. } => self.note(mark, note),
            EventKind::Parked { op, step, reason, message } => {
                let (step, message) = (step.clone(), message.clone());
                let (op, reason) = (*op, *reason);
                let person = Person {
                    op,
                    step,
                    reason,
                    message,
                    asked: mark,
                    answer: None,
                    abandoned: None,
                    void: None,
                };
                match op {
                    Some(op) => self.begin(op, Entry::Person(person)),
                    None => self.entries.push(Entry::Person(person)),
                }
            }
            EventKind::Resolved { op, resolution, by } => {
                if let Some(Entry::Person(person)) = self.entry(*op) {
                    person.answer =
                        Some(Answer { mark, resolution: Some(resolution.clone()), by: by.clone() });
                }
            }
            EventKind::Unparked { by } => self.unpark(mark, by),
            EventKind::BudgetRaised { usd, tokens, by } => {
                self.happen(mark, What::BudgetRaised { usd: *usd, tokens: *tokens, by: by.clone() });
            }
            EventKind::CancelRequested { class, reason, by } => {
                let (class, reason, by) = (*class, reason.clone(), by.clone());
                self.happen(mark, What::CancelRequested { class, reason, by });
            }
            EventKind::Paused { reason, by } => {
                self.happen(mark, What::Paused { reason: reason.clone(), by: by.clone() });
            }
            EventKind::Resumed { by } => self.happen(mark, What::Resumed { by: by.clone() }),
            EventKind::Recovered { worker } => self.happen(mark, What::Recovered { worker: worker.clone() }),
            EventKind::RunEnded { result } => self.end = Some(RunEnd { mark, result: result.clone() }),
            EventKind::RunStarted(_) | EventKind::Rewound { .. } => {}
        }
    }

    fn begin(&mut self, op: OpId, entry: Entry) {
        self.places.insert(op, Place::Entry(self.entries.len()));
        self.entries.push(entry);
    }

    fn happen(&mut self, mark: Mark, what: What) {
        self.entries.push(Entry::Happening(Happening { mark, what, void: None }));
    }

    fn entry(&mut self, op: OpId) -> Option<&mut Entry> {
        match self.places.get(&op) {
            Some(Place::Entry(entry)) => self.entries.get_mut(*entry),
            _ => None,
        }
    }

    fn attempt(&mut self, op: OpId) -> Option<&mut Attempt> {
        match self.places.get(&op) {
            Some(Place::Attempt(entry, attempt)) => self.attempt_at(*entry, *attempt),
            _ => None,
        }
    }

    fn attempt_at(&mut self, entry: usize, attempt: usize) -> Option<&mut Attempt> {
        match self.entries.get_mut(entry) {
            Some(Entry::Step(step)) => step.attempts.get_mut(attempt),
            _ => None,
        }
    }

    fn schedule(&mut self, mark: Mark, scheduled: &AttemptScheduled) {
        let key = (scheduled.step.to_string(), scheduled.nth);
        let place = match self.steps.get(&key) {
            Some(place) => *place,
            None => {
                let place = self.entries.len();
                let step = self.new_step(mark, scheduled);
                self.entries.push(Entry::Step(step));
                self.steps.insert(key, place);
                place
            }
        };
        let Some(Entry::Step(step)) = self.entries.get_mut(place) else { return };
        self.places.insert(scheduled.op, Place::Attempt(place, step.attempts.len()));
        step.attempts.push(Attempt {
            number: scheduled.attempt,
            op: scheduled.op,
            asked: mark,
            waits: scheduled.waits,
            started: scheduled.waits.is_none().then_some(mark),
            timeout: scheduled.timeout,
            beat: None,
            end: None,
            abandoned: None,
            charges: Vec::new(),
            retry: None,
            void: None,
        });
    }

    fn new_step(&mut self, mark: Mark, scheduled: &AttemptScheduled) -> Step {
        let undoes =
            scheduled.undoes.map(|op| Undoes { op, step: self.step_of(op).map(|step| step.title()) });
        Step {
            name: scheduled.step.to_string(),
            nth: scheduled.nth,
            op: scheduled.op,
            asked: mark,
            input: scheduled.input.clone(),
            queue: scheduled.queue.as_deref().map(str::to_owned),
            target: scheduled.target.as_deref().map(str::to_owned),
            undo: scheduled.undo.as_deref().map(str::to_owned),
            undoes,
            undone_at: None,
            attempts: Vec::new(),
            gave_up: None,
            void: None,
        }
    }

    /// The step whose attempt `op` is.
    fn step_of(&mut self, op: OpId) -> Option<&mut Step> {
        let Some(Place::Attempt(place, _)) = self.places.get(&op) else { return None };
        match self.entries.get_mut(*place) {
            Some(Entry::Step(step)) => Some(step),
            _ => None,
        }
    }

    fn beat(&mut self, mark: Mark, op: OpId, progress: &Payload, charges: &[Charge]) {
        if let Some(attempt) = self.attempt(op) {
            let count = attempt.beat.as_ref().map_or(0, |beat| beat.count) + 1;
            attempt.beat = Some(Beat { mark, count, progress: progress.clone() });
            if !charges.is_empty() {
                attempt.charges = charges.to_vec();
            }
        }
    }

    fn end_attempt(&mut self, mark: Mark, op: OpId, result: &Ended, charges: &[Charge]) {
        if let Some(attempt) = self.attempt(op) {
            attempt.end = Some(AttemptEnd { mark, result: result.clone() });
            attempt.charges = charges.to_vec();
        }
        let undone = self.step_of(op).and_then(|step| step.undoes.as_ref()).map(|undoes| undoes.op);
        if let (Some(undone), Ended::Ok(_)) = (undone, result)
            && let Some(step) = self.step_of(undone)
        {
            step.undone_at = Some(mark);
        }
    }

    fn start_timer(&mut self, mark: Mark, op: OpId, until: Timestamp, purpose: &TimerPurpose) {
        match purpose {
            TimerPurpose::Retry { step, nth, attempt, of, because } => {
                let wait = RetryWait {
                    op,
                    asked: mark,
                    until,
                    fired: None,
                    abandoned: None,
                    attempt: *attempt,
                    of: *of,
                    because: *because,
                };
                let Some(place) = self.steps.get(&(step.clone(), *nth)).copied() else { return };
                let Some(Entry::Step(step)) = self.entries.get_mut(place) else { return };
                let Some(last) = step.attempts.len().checked_sub(1) else { return };
                step.attempts[last].retry = Some(wait);
                self.places.insert(op, Place::Retry(place, last));
            }
            // The core asks for the wait and for its limit one after the other.
            TimerPurpose::SignalTimeout => {
                let before = OpId(op.0.saturating_sub(1));
                if let Some(Entry::Signal(signal)) = self.entry(before) {
                    signal.limit = Some(Limit { until, fired: None });
                    if let Some(Place::Entry(place)) = self.places.get(&before).copied() {
                        self.places.insert(op, Place::Limit(place));
                    }
                }
            }
            TimerPurpose::Sleep => {
                let sleep = Sleep { op, asked: mark, until, fired: None, abandoned: None, void: None };
                self.begin(op, Entry::Sleep(sleep));
            }
        }
    }

    fn fire(&mut self, mark: Mark, op: OpId) {
        match self.places.get(&op).copied() {
            Some(Place::Retry(entry, attempt)) => {
                if let Some(wait) = self.attempt_at(entry, attempt).and_then(|attempt| attempt.retry.as_mut())
                {
                    wait.fired = Some(mark);
                }
            }
            Some(Place::Limit(entry)) => {
                if let Some(Entry::Signal(Signal { limit: Some(limit), .. })) = self.entries.get_mut(entry) {
                    limit.fired = Some(mark);
                }
            }
            Some(Place::Entry(entry)) => {
                if let Some(Entry::Sleep(sleep)) = self.entries.get_mut(entry) {
                    sleep.fired = Some(mark);
                }
            }
            Some(Place::Attempt(..)) | None => {}
        }
    }

    fn abandon(&mut self, mark: Mark, op: OpId) {
        let place = self.places.get(&op).copied();
        let abandoned = match place {
            Some(Place::Attempt(entry, attempt)) => {
                self.attempt_at(entry, attempt).map(|attempt| &mut attempt.abandoned)
            }
            Some(Place::Retry(entry, attempt)) => self
                .attempt_at(entry, attempt)
                .and_then(|attempt| attempt.retry.as_mut())
                .map(|wait| &mut wait.abandoned),
            Some(Place::Entry(entry)) => self.entries.get_mut(entry).and_then(|entry| match entry {
                Entry::Sleep(sleep) => Some(&mut sleep.abandoned),
                Entry::Signal(signal) => Some(&mut signal.abandoned),
                Entry::Child(child) => Some(&mut child.abandoned),
                Entry::Person(person) => Some(&mut person.abandoned),
                Entry::Step(_) | Entry::Unclaimed(_) | Entry::Happening(_) => None,
            }),
            Some(Place::Limit(_)) | None => None,
        };
        if let Some(abandoned) = abandoned {
            *abandoned = Some(mark);
        }
    }

    fn note(&mut self, mark: Mark, note: &Note) {
        match note {
            Note::Status(text) => {
                self.status_text = Some(text.clone());
                self.happen(mark, What::Said { text: text.clone() });
            }
            Note::Patched(id) => self.happen(mark, What::Patched { id: id.clone() }),
            Note::Compensating { cause, steps } => {
                self.happen(mark, What::Compensating { cause: cause.clone(), steps: steps.clone() });
            }
            Note::GaveUp { step, nth, attempts, because } => {
                let place = self.steps.get(&(step.clone(), *nth)).copied();
                if let Some(Entry::Step(step)) = place.and_then(|place| self.entries.get_mut(place)) {
                    step.gave_up = Some(GaveUp { mark, attempts: *attempts, because: *because });
                }
            }
        }
    }

    fn unpark(&mut self, mark: Mark, by: &str) {
        let parked = self.entries.iter_mut().rev().find_map(|entry| match entry {
            Entry::Person(person) if person.op.is_none() && person.answer.is_none() => Some(person),
            _ => None,
        });
        if let Some(person) = parked {
            person.answer = Some(Answer { mark, resolution: None, by: by.to_owned() });
        }
    }

    /// Gives each signal to the oldest wait of its name that was not over when both were there.
    fn claim_signals(&mut self) {
        let mut mail: HashMap<String, VecDeque<(usize, Received)>> = HashMap::new();
        for (place, entry) in self.entries.iter().enumerate() {
            if let Entry::Unclaimed(received) = entry {
                mail.entry(received.name.clone()).or_default().push_back((place, received.clone()));
            }
        }
        let mut claimed: HashSet<usize> = HashSet::new();
        for entry in &mut self.entries {
            let Entry::Signal(wait) = entry else { continue };
            let Some(waiting) = mail.get_mut(&wait.name) else { continue };
            let over = wait.abandoned.or(wait.limit.and_then(|limit| limit.fired));
            let in_time = |(_, received): &mut (usize, Received)| {
                over.is_none_or(|over| received.mark.event < over.event)
            };
            if let Some((place, received)) = waiting.pop_front_if(in_time) {
                claimed.insert(place);
                wait.received = Some(received);
            }
        }
        let mut places = 0..;
        self.entries.retain(|_| places.next().is_none_or(|place| !claimed.contains(&place)));
    }
}
