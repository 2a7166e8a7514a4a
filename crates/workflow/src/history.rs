//! Which of a run's events count: a rewound run keeps all of them, and goes on from some.

use crate::event::Note;
use crate::{Event, EventKind, Recorded};

/// The events that count for a run's state, with their numbers: those that a later `rewound` voids are left out.
pub fn effective(events: &[Event]) -> Vec<(u64, &Event)> {
    let mut kept: Vec<(u64, &Event)> = Vec::with_capacity(events.len());
    for (event, number) in events.iter().zip(1..) {
        match event.kind {
            EventKind::Rewound { to, .. } => kept.retain(|(number, _)| *number <= to),
            _ => kept.push((number, event)),
        }
    }
    kept
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
