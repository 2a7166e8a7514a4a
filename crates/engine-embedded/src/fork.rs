//! Where a run is taken back to or forked, and the journal of a fork.

use midwatch_journal::effective;
use midwatch_workflow::event::{ForkedFrom, Note};
use midwatch_workflow::{Event, EventKind, ForkKeys, OpId, RunId, RunStarted, Timestamp, key_base};

/// The last event before the first attempt of the step that failed last; `None` if no step gave up.
pub(crate) fn before_last_failure(events: &[Event]) -> Option<u64> {
    let events = effective(events);
    let (step, nth) = events.iter().rev().find_map(|(_, event)| match &event.kind {
        EventKind::Noted { note: Note::GaveUp { step, nth, .. }, .. } => Some((step.clone(), *nth)),
        _ => None,
    })?;
    before_step(&events, &step, nth)
}

fn before_step(events: &[(u64, &Event)], step: &str, nth: u32) -> Option<u64> {
    let first = events.iter().find(|(_, event)| match &event.kind {
        EventKind::AttemptScheduled(attempt) => {
            attempt.step == step && attempt.nth == nth && attempt.attempt == 1
        }
        _ => false,
    });
    first.map(|(number, _)| number - 1)
}

/// The journal of a fork: a start of its own, then the parent's events that still count up to `event`.
///
/// # Errors
/// Why it cannot be forked there.
pub(crate) fn forked(
    events: &[Event],
    run: RunId,
    event: u64,
    keys: ForkKeys,
    at: Timestamp,
) -> Result<(RunStarted, Vec<Event>), String> {
    let kept = effective(events);
    let Some((_, Event { at: started, kind: EventKind::RunStarted(parent) })) = kept.first() else {
        return Err("has no start".to_owned());
    };
    let base = parent.key_base.clone().unwrap_or_else(|| key_base(&parent.workflow_id, parent.run));
    let start = RunStarted {
        run,
        parent: None,
        forked_from: Some(ForkedFrom {
            run: parent.run,
            event,
            origin_at: parent.forked_from.map_or(*started, |fork| fork.origin_at),
            origin: parent.forked_from.map_or(parent.run, |fork| fork.origin),
        }),
        key_base: (keys == ForkKeys::Parent).then_some(base),
        ..(**parent).clone()
    };
    let is_kept =
        |number: u64, event_kind: &EventKind| number > 1 && number <= event && !is_about_ending(event_kind);
    let mut copied = vec![Event { at, kind: EventKind::RunStarted(Box::new(start.clone())) }];
    copied.extend(
        kept.into_iter()
            .filter(|(number, event)| is_kept(*number, &event.kind))
            .map(|(_, event)| event.clone()),
    );
    if let Some(op) = open_child(&copied) {
        return Err(format!("waits for a child run at that event ({op}): fork it before or after"));
    }
    Ok((start, copied))
}

/// A fork goes on: whatever ended, held or stopped its parent stays behind.
fn is_about_ending(kind: &EventKind) -> bool {
    matches!(
        kind,
        EventKind::RunEnded { .. }
            | EventKind::CancelRequested { .. }
            | EventKind::Paused { .. }
            | EventKind::Resumed { .. }
            | EventKind::Parked { op: None, .. }
            | EventKind::Unparked { .. }
            | EventKind::Recovered { .. }
    )
}

fn open_child(events: &[Event]) -> Option<OpId> {
    let ended = |op: OpId| {
        events.iter().any(|event| matches!(event.kind, EventKind::ChildEnded { op: id, .. } if id == op))
    };
    events.iter().find_map(|event| match event.kind {
        EventKind::ChildStarted { op, .. } if !ended(op) => Some(op),
        _ => None,
    })
}
