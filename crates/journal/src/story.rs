//! A run's journal as lines without times and ids: what two journals of the same history have in common.
//!
//! Tests compare such lines, of one engine with those of another, and of a run that met a crash with those of one that
//! met none.

use std::collections::{BTreeMap, HashMap};

use midwatch_workflow::event::{AttemptScheduled, Note, TimerPurpose};
use midwatch_workflow::{
    Charge, Class, Ended, Event, EventKind, Failure, OpId, ParkReason, Resolution, RunResult, Spent,
    effective,
};

/// Tells a run's events, a line for each.
pub fn story(events: &[Event]) -> Vec<String> {
    let mut teller = Teller::default();
    events.iter().map(|event| teller.tell(&event.kind)).collect()
}

/// Tells what is left of a run's events when the traces of crashes are taken away.
///
/// An attempt that was lost and the one that replaced it are told as one, `recovered` is not told, and neither is what
/// depends on the process alone: how long an attempt had to wait for its start, heartbeats, and whether a failure may
/// have had an effect.
pub fn story_without_crashes(events: &[Event]) -> Vec<String> {
    let mut teller = Teller { without_crashes: Some(Lost::default()), ..Teller::default() };
    events.iter().filter_map(|event| teller.tell_unless_crash(&event.kind)).collect()
}

/// How many attempts were lost with their process at the use of a step to which this attempt, the last one asked for
/// under its number, belongs.
pub fn lost_attempts(events: &[Event], step: &str, attempt: u32) -> u32 {
    let events = effective(events);
    let attempts = events.iter().filter_map(|(_, event)| match &event.kind {
        EventKind::AttemptScheduled(attempt) if attempt.step == step => Some(attempt),
        _ => None,
    });
    let Some(nth) = attempts.clone().rfind(|asked| asked.attempt == attempt).map(|asked| asked.nth) else {
        return 0;
    };
    let ops: Vec<OpId> = attempts.filter(|asked| asked.nth == nth).map(|asked| asked.op).collect();
    let is_lost = |kind: &EventKind| match kind {
        EventKind::AttemptEnded { op, result: Ended::Failed(failure), .. } => {
            failure.class == Class::Lost && ops.contains(op)
        }
        _ => false,
    };
    u32::try_from(events.iter().filter(|(_, event)| is_lost(&event.kind)).count()).unwrap_or(u32::MAX)
}

#[derive(Default)]
struct Teller {
    /// What each operation is called.
    names: BTreeMap<OpId, String>,
    uses: HashMap<String, u32>,
    without_crashes: Option<Lost>,
}

/// Attempts that were lost with their process, by step.
#[derive(Default)]
struct Lost {
    count: HashMap<String, u32>,
    /// Steps whose next attempt only replaces a lost one.
    is_replaced: HashMap<String, bool>,
    /// Why the engine last parked the run.
    halted: Option<ParkReason>,
}

impl Teller {
    fn tell_unless_crash(&mut self, kind: &EventKind) -> Option<String> {
        match kind {
            EventKind::Recovered { .. }
            | EventKind::AttemptStarted { .. }
            | EventKind::Heartbeat { .. }
            | EventKind::Unparked { .. } => return None,
            // A process that finds the reason still there parks the run anew.
            EventKind::Parked { op: None, reason, .. } => {
                let is_known = self.lost()?.halted.replace(*reason) == Some(*reason);
                return (!is_known).then(|| self.tell(kind));
            }
            EventKind::AttemptScheduled(attempt) => {
                let line = self.tell(kind);
                let name = step_name(attempt);
                let is_replacement = self.lost()?.is_replaced.insert(name, false) == Some(true);
                return (!is_replacement).then_some(line);
            }
            EventKind::AttemptEnded { op, result: Ended::Failed(failure), .. }
                if failure.class == Class::Lost =>
            {
                let name = self.name(*op);
                let lost = self.lost()?;
                *lost.count.entry(name.clone()).or_default() += 1;
                lost.is_replaced.insert(name, true);
                return None;
            }
            _ => {}
        }
        Some(self.tell(kind))
    }

    fn lost(&mut self) -> Option<&mut Lost> {
        self.without_crashes.as_mut()
    }

    fn lost_of(&self, step: &str) -> u32 {
        self.without_crashes.as_ref().and_then(|lost| lost.count.get(step)).copied().unwrap_or(0)
    }

    fn tell(&mut self, kind: &EventKind) -> String {
        match kind {
            EventKind::RunStarted(start) => {
                let child = if start.parent.is_some() { " as a child" } else { "" };
                let fork =
                    start.forked_from.map(|fork| format!(" as a fork{}", self.place(" at", fork.event)));
                format!("{} started{child}{}", start.workflow, fork.unwrap_or_default())
            }
            EventKind::AttemptScheduled(attempt) => self.schedule(attempt),
            EventKind::AttemptStarted { op } => format!("{} goes", self.name(*op)),
            EventKind::Heartbeat { op, progress, charges } => {
                format!("{} beats {}{}", self.name(*op), progress.as_str(), spent(charges))
            }
            EventKind::AttemptEnded { op, result, charges } => {
                format!("{} {}{}", self.name(*op), self.ended(result), spent(charges))
            }
            EventKind::TimerStarted { op, purpose, .. } => self.start_timer(*op, purpose),
            EventKind::TimerFired { op } => format!("{} is over", self.name(*op)),
            EventKind::SignalAwaited { op, name } => {
                let name = self.call(*op, format!("signal {name}"));
                format!("{name} is awaited")
            }
            EventKind::SignalReceived { name, payload, .. } => {
                format!("signal {name} received: {}", payload.as_str())
            }
            EventKind::ChildStarted { op, workflow, .. } => {
                let name = self.call(*op, format!("child {workflow}"));
                format!("{name} asked for")
            }
            EventKind::ChildEnded { op, result } => format!("{} {}", self.name(*op), self.ended(result)),
            EventKind::Abandoned { op } => format!("{} no longer wanted", self.name(*op)),
            EventKind::Noted { note, .. } => self.note(note),
            EventKind::Parked { op: Some(op), step, reason, .. } => {
                let step = step.as_deref().unwrap_or("run");
                let name = self.call(*op, format!("question about {step} ({})", word(reason)));
                format!("parked: {name}")
            }
            EventKind::Parked { op: None, reason, .. } => format!("parked by the engine: {}", word(reason)),
            EventKind::Resolved { op, resolution, by } => {
                let answer = match resolution {
                    Resolution::Retry => "retry".to_owned(),
                    Resolution::Done(output) => format!("done: {}", output.as_str()),
                    Resolution::Fail => "fail".to_owned(),
                };
                format!("{} answered by {by}: {answer}", self.name(*op))
            }
            EventKind::Unparked { by } => format!("unparked by {by}"),
            EventKind::BudgetRaised { usd, tokens, by } => {
                format!("budget raised by {usd}, {tokens} tokens by {by}")
            }
            EventKind::CancelRequested { class, reason, by } => {
                // A parent names itself with its id.
                let by = by.split(' ').next().unwrap_or_default();
                format!("told to stop ({class}) by {by}: {reason}")
            }
            EventKind::Paused { reason, by } => format!("paused by {by}: {reason}"),
            EventKind::Resumed { by } => format!("resumed by {by}"),
            EventKind::Recovered { .. } => "recovered".to_owned(),
            EventKind::Rewound { to, by } => format!("rewound{} by {by}", self.place(" to", *to)),
            EventKind::RunEnded { result } => self.end(result),
        }
    }

    /// The number of an event; crashes shift it.
    fn place(&self, preposition: &str, event: u64) -> String {
        if self.without_crashes.is_some() { String::new() } else { format!("{preposition} {event}") }
    }

    fn schedule(&mut self, attempt: &AttemptScheduled) -> String {
        let name = step_name(attempt);
        self.names.insert(attempt.op, name.clone());
        let mut line = name.clone();
        match attempt.attempt - self.lost_of(&name).min(attempt.attempt - 1) {
            1 => {}
            number => line.push_str(&format!(" attempt {number}")),
        }
        if let Some(input) = &attempt.input {
            line.push_str(&format!(" given {}", input.as_str()));
        }
        if let Some(undone) = attempt.undoes {
            line.push_str(&format!(", undoing {}", self.name(undone)));
        }
        if let Some(waits) = attempt.waits.filter(|_| self.without_crashes.is_none()) {
            line.push_str(&format!(", held back: {}", word(&waits)));
        }
        line
    }

    fn start_timer(&mut self, op: OpId, purpose: &TimerPurpose) -> String {
        match purpose {
            TimerPurpose::Sleep => self.call(op, "sleep".to_owned()),
            TimerPurpose::SignalTimeout => self.call(op, "signal's limit".to_owned()),
            TimerPurpose::Retry { step, nth, attempt, of, because } => {
                let step = numbered(&format!("step {step}"), *nth);
                let lost = self.lost_of(&step);
                let name = self.call(op, format!("{step} wait for attempt {}", attempt.saturating_sub(lost)));
                format!("{name} of {} ({})", of.saturating_sub(lost), word(because))
            }
        }
    }

    fn note(&self, note: &Note) -> String {
        match note {
            Note::Patched(id) => format!("patch {id} taken"),
            Note::Status(text) => format!("status: {text}"),
            Note::GaveUp { step, nth, attempts, because } => {
                let step = numbered(&format!("step {step}"), *nth);
                let attempts = attempts.saturating_sub(self.lost_of(&step));
                format!("{step} given up after {attempts} ({})", word(because))
            }
            Note::Compensating { cause, steps } => {
                format!("compensating [{}] because {}", steps.join(", "), self.failure(cause))
            }
        }
    }

    fn end(&self, result: &RunResult) -> String {
        match result {
            RunResult::Completed(output) => format!("completed: {}", output.as_str()),
            RunResult::Failed { failure, compensated, resolved } => {
                let undone = match (compensated, resolved) {
                    (0, 0) => String::new(),
                    (undone, 0) => format!(", {undone} undone"),
                    (undone, by_hand) => format!(", {undone} undone, {by_hand} of them by hand"),
                };
                format!("ended: {}{undone}", self.failure(failure))
            }
        }
    }

    fn ended(&self, result: &Ended) -> String {
        match result {
            Ended::Ok(output) => format!("gave {}", output.as_str()),
            Ended::Failed(failure) => format!("failed: {}", self.failure(failure)),
        }
    }

    fn failure(&self, failure: &Failure) -> String {
        let ambiguous = if failure.ambiguous && self.without_crashes.is_none() { " (ambiguous)" } else { "" };
        format!("{failure}{ambiguous}")
    }

    /// Names an operation; the second of a name is `#2`.
    fn call(&mut self, op: OpId, name: String) -> String {
        let uses = self.uses.entry(name.clone()).or_default();
        *uses += 1;
        let name = numbered(&name, *uses);
        self.names.insert(op, name.clone());
        name
    }

    fn name(&self, op: OpId) -> String {
        self.names.get(&op).cloned().unwrap_or_else(|| "what was never asked for".to_owned())
    }
}

fn step_name(attempt: &AttemptScheduled) -> String {
    numbered(&format!("step {}", attempt.step), attempt.nth)
}

fn numbered(name: &str, number: u32) -> String {
    match number {
        0 | 1 => name.to_owned(),
        number => format!("{name}#{number}"),
    }
}

/// The journal's word for a plain enum.
fn word<T: serde::Serialize>(value: &T) -> String {
    let json = serde_json::to_value(value).ok();
    json.as_ref().and_then(serde_json::Value::as_str).unwrap_or("?").to_owned()
}

fn spent(charges: &[Charge]) -> String {
    if charges.is_empty() {
        return String::new();
    }
    let mut sum = Spent::default();
    sum.add_all(charges);
    format!(", spent {} and {} tokens", sum.cost, sum.usage.tokens())
}
