//! A run under examination: its facts, and the questions that every family of causes asks of them.

use std::time::Duration;

use midwatch_workflow::event::WaitReason;
use midwatch_workflow::{Class, EventKind, Failure, Timestamp};

use super::{Cause, Evidence, Facts, Verdict};
use crate::profile::{Profile, open_attempts};
use crate::timeline::{Attempt, Child, Entry, Happening, RetryWait, Signal, Sleep, Step, Timeline, What};
use crate::words::{shell, span};

/// How late something due may be before that means that nobody is there to do it.
pub(super) const LATE: Duration = Duration::from_secs(60);

/// A run under examination.
pub(super) struct Case<'f> {
    pub(super) facts: &'f Facts,
    pub(super) timeline: &'f Timeline,
    pub(super) profile: &'f Profile,
}

/// What one family of causes found.
pub(super) struct Finding<'f> {
    pub(super) verdict: Verdict,
    pub(super) cause: Cause,
    pub(super) under: Vec<Cause>,
    pub(super) headline: String,
    pub(super) evidence: Vec<Evidence>,
    /// The step in question.
    pub(super) step: Option<&'f Step>,
    /// How many times the median it is.
    pub(super) ratio: f64,
}

impl<'f> Finding<'f> {
    pub(super) fn new(verdict: Verdict, cause: Cause, headline: impl Into<String>) -> Self {
        let (under, evidence) = (Vec::new(), Vec::new());
        Self { verdict, cause, under, headline: headline.into(), evidence, step: None, ratio: 1.0 }
    }

    pub(super) fn shown_by(mut self, events: impl IntoIterator<Item = u64>, says: impl Into<String>) -> Self {
        self.evidence.push(Evidence::of(events, says));
        self
    }

    pub(super) fn about(self, step: &'f Step) -> Self {
        Self { step: Some(step), ..self }
    }
}

/// Something that the run has asked for and that has not ended.
#[derive(Clone, Copy)]
pub(super) enum Open<'f> {
    Held(&'f Step, &'f Attempt, WaitReason),
    Attempt(&'f Step, &'f Attempt, Timestamp),
    Retry(&'f Step, &'f Attempt, &'f RetryWait),
    Signal(&'f Signal),
    Sleep(&'f Sleep),
    Child(&'f Child),
    Person,
}

impl<'f> Case<'f> {
    /// What is open, in the order in which it was asked for. Nothing is once the run has ended.
    pub(super) fn open(&self) -> Vec<Open<'f>> {
        let timeline = self.timeline;
        if timeline.end.is_some() {
            return Vec::new();
        }
        timeline.entries.iter().filter(|entry| entry.void().is_none()).flat_map(open_of).collect()
    }

    /// How long the journal has said nothing of the run.
    pub(super) fn silence(&self) -> Duration {
        self.facts.now.since(self.timeline.last.at)
    }

    /// The pause that holds it.
    pub(super) fn pause(&self) -> Option<(&'f Happening, &'f str, &'f str)> {
        let mut pause = None;
        for entry in &self.timeline.entries {
            let Entry::Happening(happening) = entry else { continue };
            match &happening.what {
                _ if happening.void.is_some() => {}
                What::Paused { reason, by } => pause = Some((happening, by.as_str(), reason.as_str())),
                What::Resumed { .. } => pause = None,
                _ => {}
            }
        }
        pause.filter(|_| self.timeline.end.is_none())
    }

    /// The note that compensations began.
    pub(super) fn compensating(&self) -> Option<(&'f Happening, &'f Failure, &'f [String])> {
        self.timeline.entries.iter().find_map(|entry| match entry {
            Entry::Happening(happening) if happening.void.is_none() => match &happening.what {
                What::Compensating { cause, steps } => Some((happening, cause, steps.as_slice())),
                _ => None,
            },
            _ => None,
        })
    }

    /// The run as commands name it.
    pub(super) fn short(&self) -> String {
        self.timeline.start.run.short()
    }

    /// Whoever carries the run out, in words, if midwatch does not and only watches: they stop it and try again.
    pub(super) fn outside(&self) -> Option<&'static str> {
        let recorder = self.timeline.start.recorder()?;
        Some(match recorder.split([' ', ',']).next() {
            Some("gateway") => "the client of the gateway",
            Some("ingest") => "the agent that sends its traces",
            _ => "somebody else",
        })
    }

    /// Whether the engine ends an attempt that does not beat.
    pub(super) fn must_beat(&self, attempt: &Attempt) -> bool {
        self.facts.events.iter().any(|event| match &event.kind {
            EventKind::AttemptScheduled(asked) => asked.op == attempt.op && asked.heartbeat.is_some(),
            _ => false,
        })
    }

    /// The last process that took the run up, and the event that says so.
    pub(super) fn worker(&self) -> (u64, &'f str) {
        let recovered = self.timeline.entries.iter().rev().find_map(|entry| match entry {
            Entry::Happening(Happening { mark, what: What::Recovered { worker }, void: None }) => {
                Some((mark.event, worker.as_str()))
            }
            _ => None,
        });
        recovered.unwrap_or((1, &self.timeline.start.worker))
    }
}

fn open_of(entry: &Entry) -> Vec<Open<'_>> {
    match entry {
        Entry::Step(step) => {
            let attempts = open_attempts(step).map(|attempt| match (attempt.started, attempt.waits) {
                (Some(started), _) => Open::Attempt(step, attempt, started.at),
                (None, waits) => Open::Held(step, attempt, waits.unwrap_or(WaitReason::Queue)),
            });
            let waits = step.attempts.iter().filter(|attempt| attempt.void.is_none()).filter_map(|attempt| {
                let wait = attempt.retry.as_ref()?;
                (wait.fired.is_none() && wait.abandoned.is_none()).then_some(Open::Retry(step, attempt, wait))
            });
            attempts.chain(waits).collect()
        }
        Entry::Signal(signal) => {
            let is_over = signal.received.is_some()
                || signal.abandoned.is_some()
                || signal.limit.is_some_and(|limit| limit.fired.is_some());
            if is_over { Vec::new() } else { vec![Open::Signal(signal)] }
        }
        Entry::Sleep(sleep) if sleep.fired.is_none() && sleep.abandoned.is_none() => vec![Open::Sleep(sleep)],
        Entry::Child(child) if child.end.is_none() && child.abandoned.is_none() => vec![Open::Child(child)],
        Entry::Person(person) if person.is_open() => vec![Open::Person],
        _ => Vec::new(),
    }
}

/// The last sign of life of an attempt, and the event that gave it.
pub(super) fn last_sign(attempt: &Attempt) -> (u64, Timestamp) {
    let mark = attempt.beat.as_ref().map(|beat| beat.mark).or(attempt.started).unwrap_or(attempt.asked);
    (mark.event, mark.at)
}

/// An attempt as sentences name it: `call_llm#3, attempt 5`.
pub(super) fn named(step: &Step, attempt: &Attempt) -> String {
    format!("{}, attempt {}", step.title(), attempt.number)
}

/// How an attempt ended, in a word: `429`, `timeout(60s)`, `ok`.
pub(super) fn word(attempt: &Attempt) -> Option<String> {
    let end = attempt.end.as_ref()?;
    let Some(failure) = attempt.failure() else { return Some("ok".to_owned()) };
    Some(match (failure.status, failure.class) {
        (Some(status), _) => status.to_string(),
        (None, class @ (Class::Timeout | Class::Stalled)) => {
            let took = attempt.started.map(|started| format!("({})", span(end.mark.at.since(started.at))));
            format!("{class}{}", took.unwrap_or_default())
        }
        (None, class) => class.to_string(),
    })
}

/// A step in the form in which commands take it.
pub(super) fn argument(step: &Step) -> String {
    shell(&step.name)
}
