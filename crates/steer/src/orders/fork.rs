//! Start a new run that shares a run's past.

use midwatch_journal::{Error, Journal, RunSummary};
use midwatch_workflow::{Event, EventKind, ForkKeys, Message, RunId, effective};

use crate::{Effect, Judgement, Order, Request, Sent, state};

/// A new run that keeps the old one's journal up to a point, and goes on from there.
#[derive(Clone, Debug)]
pub struct Fork {
    /// Where.
    pub at: ForkAt,
    /// Whose idempotency keys the new run uses.
    pub keys: ForkKeys,
    /// The new run.
    pub new: RunId,
    /// Who.
    pub by: String,
}

/// Where a fork leaves its parent.
#[derive(Clone, Debug)]
pub enum ForkAt {
    /// Before the first attempt at this step; `NAME#2` for its second use.
    Step(String),
    /// After this event.
    Event(u64),
}

impl Order for Fork {
    fn done(&self) -> String {
        "forked".to_owned()
    }

    fn request(&self) -> Request<'_> {
        let (at_step, at_event) = match &self.at {
            ForkAt::Step(step) => (Some(step.as_str()), None),
            ForkAt::Event(event) => (None, Some(*event)),
        };
        // Whoever takes the order makes the new run's id.
        let new_keys = Some(self.keys == ForkKeys::Own);
        Request { at_step, at_event, new_keys, ..Request::new("fork") }
    }

    fn judge(&self, run: &RunSummary, journal: &dyn Journal) -> Result<Judgement, Error> {
        let (events, _) = state(run, journal)?;
        let events = effective(&events);
        let event = match place(&self.at, &events, &run.run.short()) {
            Ok(event) => event,
            Err((why, instead)) => return Ok(Judgement::Refused { why, instead: Some(instead) }),
        };
        if has_open_child(&events, event) {
            return Ok(Judgement::Refused {
                why: format!("waits for a child run at event {event}"),
                instead: Some("fork it before the child started or after it ended".to_owned()),
            });
        }
        Ok(Judgement::Send(Message::Fork { run: self.new, event, keys: self.keys, by: self.by.clone() }))
    }

    fn shows(&self, _: &Event, _: &Sent) -> bool {
        false
    }

    fn effect(&self, journal: &dyn Journal, _: &Sent) -> Result<Option<Effect>, Error> {
        Ok(journal.run(self.new)?.map(|found| Effect::Run(found.run)))
    }
}

/// The last event that the fork keeps; otherwise why there is none, and what there is instead.
fn place(at: &ForkAt, events: &[(u64, &Event)], run: &str) -> Result<u64, (String, String)> {
    match at {
        ForkAt::Event(wanted) => after_event(*wanted, events, run),
        ForkAt::Step(wanted) => before_step(wanted, events),
    }
}

fn after_event(wanted: u64, events: &[(u64, &Event)], run: &str) -> Result<u64, (String, String)> {
    let last = events.last().map_or(0, |(number, _)| *number);
    let is_there = events.iter().any(|(number, _)| *number == wanted);
    is_there.then_some(wanted).ok_or_else(|| {
        (
            format!("has no event {wanted} that counts"),
            format!("name one from 1 to {last}: midwatch show {run} --events"),
        )
    })
}

fn before_step(wanted: &str, events: &[(u64, &Event)]) -> Result<u64, (String, String)> {
    let (name, nth) = match wanted.rsplit_once('#').map(|(name, nth)| (name, nth.parse())) {
        Some((name, Ok(nth))) => (name, nth),
        _ => (wanted, 1),
    };
    let mut steps = Vec::new();
    for (number, event) in events {
        let EventKind::AttemptScheduled(attempt) = &event.kind else { continue };
        if attempt.attempt != 1 {
            continue;
        }
        if attempt.step == name && attempt.nth == nth {
            return Ok(number - 1);
        }
        let title = if attempt.nth > 1 {
            format!("{}#{}", attempt.step, attempt.nth)
        } else {
            attempt.step.to_string()
        };
        steps.push(title);
    }
    steps.truncate(20);
    Err((format!("has no step {wanted}"), format!("name one of: {}", steps.join(", "))))
}

fn has_open_child(events: &[(u64, &Event)], upto: u64) -> bool {
    let kept = || events.iter().take_while(|(number, _)| *number <= upto).map(|(_, event)| &event.kind);
    let ended = |op| kept().any(|kind| matches!(kind, EventKind::ChildEnded { op: id, .. } if *id == op));
    kept().any(|kind| matches!(kind, EventKind::ChildStarted { op, .. } if !ended(*op)))
}
