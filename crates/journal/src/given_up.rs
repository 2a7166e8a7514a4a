//! The end of a run that its own code did not write: the server that carries it out gave it up, or the journal missed it.

use std::collections::BTreeMap;

use midwatch_workflow::event::Note;
use midwatch_workflow::{Class, Ended, Event, EventKind, Failure, OpId, Resolution, RunResult, effective};

use crate::{Fold, Open};

/// At most so many compensations are named.
const NAMED_MAX: usize = 5;

/// The end of a run that its server ended by itself, for this reason. It says which compensations are left to do.
pub fn given_up(events: &[Event], class: Class, why: &str) -> RunResult {
    let undoing = Undoing::of(events);
    let mut failure = Failure::new(class, format!("{why}; {}", undoing.told())).by_server();
    failure.ambiguous = Fold::of(events).is_some_and(|fold| fold.open.values().any(is_under_way));
    RunResult::Failed { failure, compensated: 0, resolved: 0 }
}

impl Fold {
    /// The events that end the run so, where nobody else writes them. What came of an attempt under way is not known: it is
    /// lost. What else was open of a run that its server ended is no longer waited for.
    pub fn close(&self, result: RunResult) -> Vec<EventKind> {
        let is_by_server = matches!(&result, RunResult::Failed { failure, .. } if failure.by_server);
        let open = self.open.iter().filter_map(|(op, open)| match open {
            Open::Attempt { charges, .. } if is_under_way(open) => {
                let failure = Failure::new(Class::Lost, "its run ended without it").ambiguous();
                let (result, charges) = (Ended::Failed(failure), charges.clone());
                Some(EventKind::AttemptEnded { op: *op, result, charges })
            }
            _ => is_by_server.then_some(EventKind::Abandoned { op: *op }),
        });
        let mut events: Vec<EventKind> = open.collect();
        events.push(EventKind::RunEnded { result });
        events
    }
}

fn is_under_way(open: &Open) -> bool {
    matches!(open, Open::Attempt { started: Some(_), .. })
}

/// What a run had to undo, as far as its journal tells: compensations that its code registered by hand stand there only
/// once they have begun.
#[derive(Default)]
struct Undoing {
    /// How many compensations ran.
    ran: usize,
    /// Those that did not, the next to run first.
    left: Vec<String>,
}

/// A step that can be undone.
struct Undoable {
    name: String,
    /// Whether it may have had its effect.
    is_due: bool,
}

impl Undoing {
    fn of(events: &[Event]) -> Self {
        let mut steps: BTreeMap<OpId, Undoable> = BTreeMap::new();
        let mut first_ops: BTreeMap<(String, u32), OpId> = BTreeMap::new();
        // Of which step an attempt is, and of which compensation an attempt or a question is.
        let (mut of_step, mut of_undo) = (BTreeMap::new(), BTreeMap::new());
        let mut undoing = Self::default();
        let mut planned: Option<Vec<String>> = None;
        for (_, event) in effective(events) {
            match &event.kind {
                EventKind::AttemptScheduled(attempt) if attempt.undoes.is_some() => {
                    of_undo.insert(attempt.op, attempt.step.to_string());
                }
                EventKind::AttemptScheduled(attempt) => {
                    let Some(undo) = &attempt.undo else { continue };
                    let nth = if attempt.nth > 1 { format!("#{}", attempt.nth) } else { String::new() };
                    let name = format!("{undo} of {}{nth}", attempt.step);
                    let key = (attempt.step.to_string(), attempt.nth);
                    let first = *first_ops.entry(key).or_insert(attempt.op);
                    let step = steps.entry(first).or_insert(Undoable { name, is_due: false });
                    of_step.insert(attempt.op, (first, step.is_due));
                    step.is_due |= attempt.waits.is_none();
                }
                EventKind::AttemptStarted { op } => {
                    let step = of_step.get(op).and_then(|(first, _)| steps.get_mut(first));
                    step.into_iter().for_each(|step| step.is_due = true);
                }
                EventKind::AttemptEnded { op, result, .. } => match (of_undo.get(op), of_step.get(op)) {
                    (Some(undo), _) if matches!(result, Ended::Ok(_)) => undoing.tick(undo, &mut planned),
                    (None, Some((first, was_due))) if had_no_effect(result) => {
                        steps.get_mut(first).into_iter().for_each(|step| step.is_due = *was_due);
                    }
                    _ => {}
                },
                EventKind::Parked { op: Some(op), step: Some(step), .. } if planned.is_some() => {
                    of_undo.insert(*op, step.clone());
                }
                EventKind::Resolved { op, resolution: Resolution::Done(_), .. } => {
                    if let Some(undo) = of_undo.get(op) {
                        undoing.tick(undo, &mut planned);
                    }
                }
                EventKind::Noted { note: Note::Compensating { steps, .. }, .. } => {
                    planned = Some(steps.clone());
                }
                _ => {}
            }
        }
        let due = || steps.into_values().rev().filter(|step| step.is_due).map(|step| step.name).collect();
        undoing.left = planned.unwrap_or_else(due);
        undoing
    }

    /// A compensation has run.
    fn tick(&mut self, undo: &str, planned: &mut Option<Vec<String>>) {
        let Some(planned) = planned else { return };
        if let Some(place) = planned.iter().position(|name| name == undo) {
            planned.remove(place);
            self.ran += 1;
        }
    }

    fn told(&self) -> String {
        let Self { ran, left } = self;
        let mut names = left.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
        if let more @ 1.. = left.len().saturating_sub(NAMED_MAX) {
            names.push_str(&format!(" and {more} more"));
        }
        match (ran, left.len()) {
            (0, 0) => "no compensation ran, and no step has one".to_owned(),
            (0, _) => format!("no compensation ran, left to do: {names}"),
            (ran, 0) => format!("all of its {ran} compensations had run"),
            (ran, left) => format!("{ran} of {} compensations ran, left to do: {names}", ran + left),
        }
    }
}

fn had_no_effect(result: &Ended) -> bool {
    matches!(result, Ended::Failed(failure) if !failure.ambiguous)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use midwatch_workflow::event::AttemptScheduled;
    use midwatch_workflow::{Payload, RunId, RunStarted, Timestamp, WorkflowId};

    use super::*;

    const WHY: &str = "terminated at the Temporal server";

    fn attempt(op: u32, step: &str) -> AttemptScheduled {
        AttemptScheduled {
            op: OpId(op),
            step: step.to_owned().into(),
            nth: 1,
            attempt: 1,
            input: None,
            timeout: Duration::from_secs(9),
            heartbeat: None,
            queue: None,
            target: None,
            undo: None,
            undoes: None,
            waits: None,
        }
    }

    fn asked(op: u32, step: &str, undo: Option<&str>) -> EventKind {
        let undo = undo.map(|undo| undo.to_owned().into());
        EventKind::AttemptScheduled(Box::new(AttemptScheduled { undo, ..attempt(op, step) }))
    }

    fn undoing(op: u32, step: &str, of: u32) -> EventKind {
        let undoes = Some(OpId(of));
        EventKind::AttemptScheduled(Box::new(AttemptScheduled { undoes, ..attempt(op, step) }))
    }

    fn ended(op: u32, result: Result<Payload, Failure>) -> EventKind {
        EventKind::AttemptEnded { op: OpId(op), result: result.into(), charges: Vec::new() }
    }

    fn done(op: u32) -> EventKind {
        ended(op, Ok(Payload::null()))
    }

    fn events(kinds: Vec<EventKind>) -> Vec<Event> {
        let start = RunStarted::bare(RunId::from_bytes([1; 16]), "trip");
        let start = EventKind::RunStarted(Box::new(start));
        let kinds = std::iter::once(start).chain(kinds);
        kinds.map(|kind| Event { at: Timestamp::from_micros(5), kind }).collect()
    }

    #[test]
    fn what_is_left_to_undo_is_what_may_have_happened_and_was_not_undone() {
        let certain = Failure::new(Class::InvalidRequest, "no such room");
        let doubtful = Failure::new(Class::Connection, "cut").ambiguous();
        let compensating = |steps: &[&str]| EventKind::Noted {
            op: OpId(4),
            note: Note::Compensating {
                cause: certain.clone(),
                steps: steps.iter().map(|&step| step.to_owned()).collect(),
            },
        };
        for (kinds, told) in [
            (vec![asked(1, "look", None), done(1)], "no compensation ran, and no step has one"),
            (
                vec![asked(1, "book", Some("undo")), done(1), asked(2, "pay", Some("refund"))],
                "no compensation ran, left to do: refund of pay, undo of book",
            ),
            (
                vec![asked(1, "book", Some("undo")), ended(1, Err(certain.clone()))],
                "no compensation ran, and no step has one",
            ),
            (
                vec![asked(1, "book", Some("undo")), ended(1, Err(doubtful.clone()))],
                "no compensation ran, left to do: undo of book",
            ),
            (
                vec![
                    asked(1, "book", Some("undo")),
                    done(1),
                    asked(2, "pay", Some("refund")),
                    done(2),
                    compensating(&["refund", "undo"]),
                    undoing(5, "refund", 2),
                    done(5),
                    undoing(6, "undo", 1),
                ],
                "1 of 2 compensations ran, left to do: undo",
            ),
        ] {
            let RunResult::Failed { failure, compensated, .. } =
                given_up(&events(kinds), Class::Cancelled, WHY)
            else {
                panic!("it failed")
            };
            assert_eq!(failure.message, format!("{WHY}; {told}"));
            assert!(failure.by_server);
            assert_eq!(compensated, 0, "a run that was cut off does not count as compensated");
        }
    }

    #[test]
    fn what_was_under_way_is_lost_and_what_was_waited_for_is_not_any_more() {
        let child = EventKind::ChildStarted {
            op: OpId(2),
            workflow: "child".to_owned(),
            workflow_id: WorkflowId::new("child").unwrap(),
            run: RunId::from_bytes([2; 16]),
            input: Payload::null(),
        };
        let held = AttemptScheduled {
            waits: Some(midwatch_workflow::event::WaitReason::Paused),
            ..attempt(3, "pay")
        };
        let held = EventKind::AttemptScheduled(Box::new(held));
        let events = events(vec![asked(1, "book", None), child, held]);
        let fold = Fold::of(&events).unwrap();
        let result = given_up(&events, Class::Cancelled, WHY);
        let RunResult::Failed { failure, .. } = &result else { panic!("it failed") };
        assert!(failure.ambiguous, "an attempt of it may have had its effect");
        let written = fold.close(result.clone());
        assert!(matches!(
            written.as_slice(),
            [
                EventKind::AttemptEnded { op: OpId(1), result: Ended::Failed(lost), .. },
                EventKind::Abandoned { op: OpId(2) },
                EventKind::Abandoned { op: OpId(3) },
                EventKind::RunEnded { result: last },
            ] if lost.class == Class::Lost && lost.ambiguous && *last == result
        ));
        // An end of the run's own that was missed says nothing of what was waited for.
        let missed = fold.close(RunResult::Completed(Payload::null()));
        assert!(matches!(missed.as_slice(), [EventKind::AttemptEnded { .. }, EventKind::RunEnded { .. }]));
    }
}
