//! What holds in every journal, whatever the engine and whatever crashed.

use std::collections::{BTreeMap, HashMap};

use midwatch_workflow::{Event, EventKind, OpId, effective};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Attempt {
        is_held: bool,
    },
    /// Anything else that is answered by one event.
    Open,
    Abandoned {
        is_attempt: bool,
    },
    Settled,
}

/// Checks a run's events.
///
/// # Errors
/// The first law that is broken, and where.
pub fn check_laws(events: &[Event]) -> Result<(), String> {
    match events.first() {
        Some(Event { kind: EventKind::RunStarted(_), .. }) => {}
        _ => return Err("a journal begins with the start of its run".to_owned()),
    }
    let events = effective(events);
    let mut ops = Ops::default();
    let last = events.last().map_or(0, |(number, _)| *number);
    for (number, event) in events {
        let broken = |law: &str| Err(format!("event {number}: {law}: {:?}", event.kind));
        if number > 1 && matches!(event.kind, EventKind::RunStarted(_)) {
            return broken("a run starts once");
        }
        if number < last && matches!(event.kind, EventKind::RunEnded { .. }) {
            return broken("an end is the last event");
        }
        ops.take(&event.kind).or_else(|law| broken(&law))?;
    }
    Ok(())
}

#[derive(Default)]
struct Ops {
    states: BTreeMap<OpId, State>,
    /// The attempt that is under way, by step and use.
    attempts: HashMap<(String, u32), OpId>,
}

impl Ops {
    fn take(&mut self, kind: &EventKind) -> Result<(), String> {
        match kind {
            EventKind::AttemptScheduled(attempt) => {
                let key = (attempt.step.to_string(), attempt.nth);
                if let Some(before) = self.attempts.insert(key, attempt.op)
                    && matches!(self.states.get(&before), Some(State::Attempt { .. }))
                {
                    return Err("an attempt is asked for after the one before has ended".to_owned());
                }
                self.ask(attempt.op, State::Attempt { is_held: attempt.waits.is_some() })
            }
            EventKind::TimerStarted { op, .. }
            | EventKind::SignalAwaited { op, .. }
            | EventKind::ChildStarted { op, .. }
            | EventKind::Parked { op: Some(op), .. } => self.ask(*op, State::Open),
            EventKind::Noted { op, .. } => self.ask(*op, State::Settled),
            EventKind::AttemptStarted { op } => match self.states.get_mut(op) {
                Some(State::Attempt { is_held: held @ true }) => {
                    *held = false;
                    Ok(())
                }
                _ => Err("only an attempt that was held back starts later, and once".to_owned()),
            },
            EventKind::Heartbeat { op, .. } => match self.states.get(op) {
                Some(State::Attempt { is_held: false }) => Ok(()),
                _ => Err("only an attempt under way beats".to_owned()),
            },
            EventKind::AttemptEnded { op, .. } => match self.states.insert(*op, State::Settled) {
                Some(State::Attempt { .. } | State::Abandoned { is_attempt: true }) => Ok(()),
                _ => Err("an attempt ends once".to_owned()),
            },
            EventKind::TimerFired { op }
            | EventKind::ChildEnded { op, .. }
            | EventKind::Resolved { op, .. } => match self.states.insert(*op, State::Settled) {
                Some(State::Open) => Ok(()),
                _ => Err("only what was asked for and is wanted is answered, and once".to_owned()),
            },
            EventKind::Abandoned { op } => match self.states.get(op) {
                Some(State::Attempt { .. }) => {
                    self.states.insert(*op, State::Abandoned { is_attempt: true });
                    Ok(())
                }
                Some(State::Open) => {
                    self.states.insert(*op, State::Abandoned { is_attempt: false });
                    Ok(())
                }
                _ => Err("only what is open is abandoned, and once".to_owned()),
            },
            _ => Ok(()),
        }
    }

    fn ask(&mut self, op: OpId, state: State) -> Result<(), String> {
        let expected = OpId(self.states.last_key_value().map_or(0, |(last, _)| last.0) + 1);
        self.states.insert(op, state);
        if op == expected {
            Ok(())
        } else {
            Err(format!("operations are numbered in order, {expected} is next"))
        }
    }
}
