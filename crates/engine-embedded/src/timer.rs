//! When runs that left memory are due: 24 bytes a run.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Mutex, PoisonError};

use midwatch_workflow::{RunId, Timestamp};
use tokio::sync::Notify;

/// Due times of runs on disk. An entry may be stale; then the run comes up, finds nothing due, and leaves again.
#[derive(Default)]
pub(crate) struct Timers {
    heap: Mutex<BinaryHeap<Reverse<(Timestamp, RunId)>>>,
    earlier: Notify,
}

impl Timers {
    fn heap(&self) -> std::sync::MutexGuard<'_, BinaryHeap<Reverse<(Timestamp, RunId)>>> {
        self.heap.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, at: Timestamp, run: RunId) {
        let mut heap = self.heap();
        let is_first = heap.peek().is_none_or(|Reverse((first, _))| at < *first);
        heap.push(Reverse((at, run)));
        drop(heap);
        if is_first {
            self.earlier.notify_one();
        }
    }

    /// When the next run is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.heap().peek().map(|Reverse((at, _))| *at)
    }

    /// Takes out the runs that are due, at most `limit` of them.
    pub(crate) fn take_due(&self, now: Timestamp, limit: usize) -> Vec<RunId> {
        let mut heap = self.heap();
        let mut due = Vec::new();
        while due.len() < limit && heap.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            due.extend(heap.pop().map(|Reverse((_, run))| run));
        }
        due
    }

    /// Waits until a run is due earlier than before.
    pub(crate) async fn changed(&self) {
        self.earlier.notified().await;
    }
}
