//! What happened in a run, as people tell it: steps with their attempts, waits, children, what undoes what.
//!
//! Everything carries the number of the event that says so. What a rewind voided stays visible, marked with the number
//! of the `rewound` event: it no longer counts for the run's state, but it happened, and it cost.

mod fold;
mod shape;
mod step;

pub use shape::{
    Answer, Child, ChildEnd, Entry, Happening, Limit, Mark, Person, Received, RunEnd, Signal, Sleep, What,
};
pub use step::{Attempt, AttemptEnd, Beat, GaveUp, RetryWait, Step, Undoes};

use midwatch_workflow::{Ended, Event, EventKind, Money, RunStarted, Spent, effective, key_base, step_key};
use serde::Serialize;

use fold::Folding;

/// A run's history.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Timeline {
    /// How the run began.
    pub start: RunStarted,
    /// When.
    pub started: Mark,
    /// What happened, in the order in which it began.
    pub entries: Vec<Entry>,
    /// What the workflow last said of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_text: Option<String>,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<RunEnd>,
    /// The last event.
    pub last: Mark,
    /// What all attempts spent, voided ones too.
    pub spent: Spent,
    /// What failed attempts cost of it.
    pub wasted: Money,
}

impl Timeline {
    /// Tells a run's events, all of them from the first; `None` if the first is no start.
    pub fn of(events: &[Event]) -> Option<Self> {
        let (first, last) = (events.first()?, events.last()?);
        let EventKind::RunStarted(start) = &first.kind else { return None };
        let mut now = Folding::of(&effective(events));
        for (event, number) in events.iter().zip(1..) {
            if let EventKind::Rewound { to, by } = &event.kind {
                let before = usize::try_from(number - 1).unwrap_or(events.len()).min(events.len());
                add_void(&mut now.entries, Folding::of(&effective(&events[..before])), *to, number);
                now.entries.push(Entry::Happening(Happening {
                    mark: Mark { event: number, at: event.at },
                    what: What::Rewound { to: *to, by: by.clone() },
                    void: None,
                }));
            }
        }
        now.entries.sort_by_key(|entry| entry.mark().event);
        let mut timeline = Self {
            start: (**start).clone(),
            started: Mark { event: 1, at: first.at },
            entries: now.entries,
            status_text: now.status_text,
            end: now.end,
            last: Mark { event: events.len() as u64, at: last.at },
            spent: Spent::default(),
            wasted: Money::ZERO,
        };
        timeline.add_up();
        Some(timeline)
    }

    /// The steps, in the order in which they were first asked for.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Step(step) => Some(step),
            _ => None,
        })
    }

    /// What the run waits for a person with, if it is parked.
    pub fn parked(&self) -> Option<&Person> {
        self.entries.iter().find_map(|entry| match entry {
            Entry::Person(person) if person.is_open() && self.end.is_none() => Some(person),
            _ => None,
        })
    }

    /// The idempotency key of a step.
    pub fn key(&self, step: &Step) -> String {
        let base = self.start.key_base.clone();
        let base = base.unwrap_or_else(|| key_base(&self.start.workflow_id, self.start.run));
        step_key(&base, &step.name, step.nth)
    }

    fn add_up(&mut self) {
        let mut spent = Spent::default();
        let mut wasted = Money::ZERO;
        for attempt in self.steps().flat_map(|step| &step.attempts) {
            spent.add_all(&attempt.charges);
            if attempt.end.as_ref().is_some_and(|end| matches!(end.result, Ended::Failed(_))) {
                wasted += attempt.charges.iter().filter_map(|charge| charge.cost).sum();
            }
        }
        (self.spent, self.wasted) = (spent, wasted);
    }
}

/// Adds what the rewind at event `by` voided: what lies beyond event `to` in the history as it was `then`.
fn add_void(entries: &mut Vec<Entry>, then: Folding, to: u64, by: u64) {
    for entry in then.entries {
        match entry {
            Entry::Step(step) => add_void_step(entries, step, to, by),
            mut other if other.mark().event > to => {
                other.set_void(by);
                entries.push(other);
            }
            _ => {}
        }
    }
}

fn add_void_step(entries: &mut Vec<Entry>, mut step: Step, to: u64, by: u64) {
    // An attempt that was asked for before but ended beyond is open again in the history that counts.
    step.attempts.retain(|attempt| {
        attempt.asked.event > to || attempt.end.as_ref().is_some_and(|end| end.mark.event > to)
    });
    if step.attempts.is_empty() {
        return;
    }
    step.attempts.iter_mut().for_each(|attempt| attempt.void = Some(by));
    let same = entries.iter_mut().find_map(|entry| match entry {
        Entry::Step(other) if other.name == step.name && other.nth == step.nth => Some(other),
        _ => None,
    });
    match same {
        Some(other) => {
            other.asked = Mark::earlier(other.asked, step.asked);
            other.attempts.append(&mut step.attempts);
            other.attempts.sort_by_key(|attempt| attempt.asked.event);
        }
        None => {
            step.void = Some(by);
            entries.push(Entry::Step(step));
        }
    }
}
