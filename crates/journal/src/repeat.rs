//! When events that are already there may be written again.

use midwatch_workflow::{Event, EventKind, RunStarted};

/// Whether writing `new` where `old` stands changes nothing: it is the same text, or the same start of the same run.
///
/// A parent that comes back after a crash starts its children anew; only the time and the process differ then. A start
/// that brings more events than itself is no repeat: they would be lost.
pub(crate) fn is_repeat(first: u64, old: &str, new: &str) -> bool {
    old == new
        || (first == 1 && start(old).is_some_and(|(old, _)| start(new).is_some_and(|new| new == (old, 1))))
}

/// The start that a body begins with, without the process that took it up, and how many events there are.
fn start(body: &str) -> Option<(RunStarted, usize)> {
    let events: Vec<Event> = serde_json::from_str(body).ok()?;
    let count = events.len();
    match events.into_iter().next()?.kind {
        EventKind::RunStarted(start) => Some((RunStarted { worker: String::new(), ..*start }, count)),
        _ => None,
    }
}
