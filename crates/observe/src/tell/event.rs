//! One event in human words.

use std::collections::HashMap;

use midwatch_workflow::event::{AttemptScheduled, Note, TimerPurpose, WaitReason};
use midwatch_workflow::{
    Charge, Class, DelayReason, Ended, Event, EventKind, Failure, GiveUp, OpId, ParkReason, Payload,
    Resolution, RunResult, Spent, Timestamp,
};

use super::Tone;
use super::Tone::{Active, Bad, Faint, Good, Plain, Warn};
use super::{amount, time};

/// How a time of day is written: the reader's zone is not known here.
pub type Clock = fn(Timestamp) -> String;

/// What the operations of a run are called, as far as its events told.
#[derive(Default)]
pub struct Names(HashMap<OpId, String>);

impl Names {
    /// Takes in an event.
    pub fn learn(&mut self, event: &Event) {
        let Some(op) = event.kind.op() else { return };
        let name = match &event.kind {
            EventKind::AttemptScheduled(attempt) => attempt_name(attempt),
            EventKind::TimerStarted { purpose: TimerPurpose::Sleep, .. } => "the sleep".to_owned(),
            EventKind::TimerStarted { purpose: TimerPurpose::SignalTimeout, .. } => {
                "the time for the signal".to_owned()
            }
            EventKind::TimerStarted { purpose: TimerPurpose::Retry { step, .. }, .. } => {
                format!("the wait of {step}")
            }
            EventKind::SignalAwaited { name, .. } => format!("the wait for signal {name}"),
            EventKind::ChildStarted { workflow, workflow_id, .. } => {
                format!("child {workflow} {workflow_id}")
            }
            EventKind::Parked { .. } => "the question".to_owned(),
            _ => return,
        };
        self.0.insert(op, name);
    }

    fn of(&self, op: OpId) -> String {
        self.0.get(&op).cloned().unwrap_or_else(|| op.to_string())
    }
}

/// Says what happened, and how it should look.
pub fn words(event: &Event, names: &Names, clock: Clock) -> (String, Tone) {
    match &event.kind {
        EventKind::RunStarted(start) => {
            let worker =
                if start.worker.is_empty() { String::new() } else { format!(" by {}", start.worker) };
            (format!("{} {} started{worker}", start.workflow, start.workflow_id), Plain)
        }
        EventKind::AttemptScheduled(attempt) => (scheduled(attempt, names), Plain),
        EventKind::AttemptStarted { op } => (format!("{} started", names.of(*op)), Plain),
        EventKind::Heartbeat { op, progress, .. } => {
            (format!("{} beats: {}", names.of(*op), short(progress)), Faint)
        }
        EventKind::AttemptEnded { op, result, charges } => {
            let (what, style) = ended(result);
            (format!("{} {what}{}", names.of(*op), spent(charges)), style)
        }
        EventKind::TimerStarted { until, purpose, .. } => timer(*until, event.at, purpose, clock),
        EventKind::TimerFired { op } => (format!("{} is over", names.of(*op)), Plain),
        EventKind::SignalAwaited { name, .. } => (format!("waits for signal {name}"), Plain),
        EventKind::SignalReceived { name, payload, .. } => {
            (format!("signal {name} came: {}", short(payload)), Active)
        }
        EventKind::ChildStarted { workflow, workflow_id, run, .. } => {
            (format!("child {workflow} {workflow_id} started ({})", run.short()), Plain)
        }
        EventKind::ChildEnded { op, result } => {
            let (what, style) = ended(result);
            (format!("{} {what}", names.of(*op)), style)
        }
        EventKind::Abandoned { op } => (format!("{} is no longer wanted", names.of(*op)), Faint),
        EventKind::Noted { note, .. } => noted(note),
        EventKind::Parked { reason, message, .. } => {
            (format!("parked, {}: {message}", parked(*reason)), Warn)
        }
        EventKind::Resolved { resolution, by, .. } => {
            (format!("{by} answered: {}", resolved(resolution)), Active)
        }
        EventKind::Unparked { by } => (format!("{by} had the run taken up again"), Active),
        EventKind::BudgetRaised { usd, tokens, by } => {
            (format!("{by} raised the budget by {usd} and {} tokens", amount::count(*tokens)), Active)
        }
        EventKind::CancelRequested { reason, by, .. } => (format!("{by} cancelled{}", colon(reason)), Warn),
        EventKind::Paused { reason, by } => (format!("{by} paused{}", colon(reason)), Warn),
        EventKind::Resumed { by } => (format!("{by} resumed"), Active),
        EventKind::Recovered { worker } => (format!("taken over by {worker}"), Warn),
        EventKind::Rewound { to, by } => (format!("{by} took the run back to event {to}"), Warn),
        EventKind::RunEnded { result } => run_ended(result),
    }
}

fn attempt_name(attempt: &AttemptScheduled) -> String {
    let nth = if attempt.nth > 1 { format!("#{}", attempt.nth) } else { String::new() };
    let number = if attempt.attempt > 1 { format!(" attempt {}", attempt.attempt) } else { String::new() };
    format!("{}{nth}{number}", attempt.step)
}

fn scheduled(attempt: &AttemptScheduled, names: &Names) -> String {
    let undoes = attempt.undoes.map(|op| format!(", undoes {}", names.of(op))).unwrap_or_default();
    let begins = attempt.waits.map_or("started", held);
    format!("{} {begins}{undoes}", attempt_name(attempt))
}

/// What holds an attempt back.
pub fn held(reason: WaitReason) -> &'static str {
    match reason {
        WaitReason::Queue => "waits in its queue",
        WaitReason::Gate => "waits at its target's gate",
        WaitReason::Paused => "held by the pause",
        WaitReason::Code => "no code for it is registered",
        WaitReason::Stopping => "waits for the next start",
    }
}

fn ended(result: &Ended) -> (String, Tone) {
    match result {
        Ended::Ok(output) => (format!("ok: {}", short(output)), Good),
        Ended::Failed(failure) => (format!("failed, {}", failed(failure)), Bad),
    }
}

/// Class, status and message of a failure.
pub fn failed(failure: &Failure) -> String {
    let status = failure.status.map(|status| format!(" {status}")).unwrap_or_default();
    let source = failure.source.as_ref().map(|source| format!(": {source}")).unwrap_or_default();
    let ambiguous = if failure.ambiguous { " (may have had its effect)" } else { "" };
    format!("{}{status}: {}{source}{ambiguous}", failure.class, failure.message)
}

fn timer(until: Timestamp, at: Timestamp, purpose: &TimerPurpose, clock: Clock) -> (String, Tone) {
    let wait = time::span(until.since(at));
    match purpose {
        TimerPurpose::Sleep => (format!("sleeps {wait}, until {}", clock(until)), Plain),
        TimerPurpose::SignalTimeout => (format!("… for at most {wait}"), Faint),
        TimerPurpose::Retry { step, attempt, of, because, .. } => {
            (format!("{step} waits {wait} for attempt {attempt} of {of}: {}", because_of(*because)), Warn)
        }
    }
}

/// Why a wait is as long as it is.
pub fn because_of(because: DelayReason) -> &'static str {
    match because {
        DelayReason::Backoff => "backoff",
        DelayReason::RetryAfter => "the target asked for it",
        DelayReason::Lost => "the process was lost",
    }
}

/// Why there is no further attempt.
pub fn gave_up(because: GiveUp) -> &'static str {
    match because {
        GiveUp::Class => "this class is not retried",
        GiveUp::Attempts => "all attempts are used up",
        GiveUp::Lost => "the process was lost too often",
        GiveUp::Elapsed => "the time for all attempts is over",
        GiveUp::RetryAfterBeyondDeadline => "the target asks for a longer wait than the deadline leaves",
        GiveUp::Cost => "the attempts cost as much as they may",
    }
}

/// Why a run needs a person.
pub fn parked(reason: ParkReason) -> &'static str {
    match reason {
        ParkReason::Budget => "a budget is reached",
        ParkReason::CompensationFailed => "a compensation failed",
        ParkReason::ReplayedFailure => "the receiver replays an old failure",
        ParkReason::Mismatch => "the code does not match the journal",
        ParkReason::Panicked => "the workflow panicked",
        ParkReason::Stray => "the workflow awaits what is no operation",
        ParkReason::NoCode => "its code is not registered",
    }
}

/// What a person answered.
pub fn resolved(resolution: &Resolution) -> String {
    match resolution {
        Resolution::Retry => "retry".to_owned(),
        Resolution::Done(output) => format!("done, {}", short(output)),
        Resolution::Fail => "go on as failed".to_owned(),
    }
}

fn noted(note: &Note) -> (String, Tone) {
    match note {
        Note::Patched(id) => (format!("takes the new side of patch {id}"), Faint),
        Note::Status(text) => (format!("says: {text}"), Plain),
        Note::GaveUp { step, attempts, because, .. } => (
            format!(
                "{step} gave up after {}: {}",
                amount::counted(u64::from(*attempts), "attempt"),
                gave_up(*because)
            ),
            Bad,
        ),
        Note::Compensating { cause, steps } => {
            (format!("undoes {}, because of {}", steps.join(", "), failed(cause)), Warn)
        }
    }
}

/// How a run ended.
pub fn run_ended(result: &RunResult) -> (String, Tone) {
    match result {
        RunResult::Completed(output) => (format!("completed: {}", short(output)), Good),
        RunResult::Failed { failure, compensated, resolved } => {
            let undone = match (compensated, resolved) {
                (0, _) => String::new(),
                (undone, 0) => format!(", {} undone", amount::counted(u64::from(*undone), "step")),
                (undone, by_hand) => {
                    format!(", {} undone ({by_hand} by hand)", amount::counted(u64::from(*undone), "step"))
                }
            };
            let verb = if failure.class == Class::Cancelled { "cancelled" } else { "failed" };
            (format!("{verb}{undone}: {}", failed(failure)), Bad)
        }
    }
}

/// What charges come to: ` · 1,234 tokens · $0.02`.
pub fn spent(charges: &[Charge]) -> String {
    let mut sum = Spent::default();
    sum.add_all(charges);
    let tokens = match sum.usage.tokens() {
        0 => String::new(),
        tokens => format!(" · {} tokens", amount::count(tokens)),
    };
    match amount::spent(&sum) {
        cost if cost.is_empty() => tokens,
        cost => format!("{tokens} · {cost}"),
    }
}

/// The beginning of a payload.
pub fn short(payload: &Payload) -> String {
    const CHARS_MAX: usize = 79;
    let text = payload.as_str();
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, rest)) if text.len() > end + rest.len_utf8() => format!("{}…", &text[..end]),
        _ => text.to_owned(),
    }
}

/// A reason after a colon, if there is one.
pub fn colon(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}
