//! Which of a run's events count: a rewound run keeps all of them, and goes on from some.

use crate::event::Note;
use crate::{Event, EventKind, Recorded};

/// The events that count for a run's state, with their numbers: those that a later `rewound` voids are left out.
/// Signals and raised budgets are never voided.
pub fn effective(events: &[Event]) -> Vec<(u64, &Event)> {
    let mut kept: Vec<(u64, &Event)> = Vec::with_capacity(events.len());
    for (event, number) in events.iter().zip(1..) {
        match event.kind {
            EventKind::Rewound { to, .. } => void_after(&mut kept, to),
            _ => kept.push((number, event)),
        }
    }
    kept
}

/// The events that count when a run with these events is rewound to event `to`.
pub fn after_rewind(events: &[Event], to: u64) -> Vec<(u64, &Event)> {
    let mut kept = effective(events);
    void_after(&mut kept, to);
    kept
}

fn void_after(kept: &mut Vec<(u64, &Event)>, to: u64) {
    kept.retain(|(number, event)| *number <= to || comes_from_outside(&event.kind));
}

/// What others gave the run stays given: nobody sends a signal again because a step was tried again.
fn comes_from_outside(kind: &EventKind) -> bool {
    matches!(kind, EventKind::SignalReceived { .. } | EventKind::BudgetRaised { .. })
}

/// What an execution must know of the journal before it replays it.
pub fn recorded(events: &[(u64, &Event)]) -> Recorded {
    let mut recorded = Recorded::default();
    for (_, event) in events {
        if let Some(op) = event.kind.op() {
            recorded.ops = recorded.ops.max(op.0);
        }
        if let EventKind::Noted { note: Note::Patched(id), .. } = &event.kind {
            recorded.patches.insert(id.clone());
        }
    }
    recorded
}
