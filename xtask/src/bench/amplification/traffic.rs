//! How dense the requests come: the simulator's count, looked at every few milliseconds.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use midwatch_simulator::Ledger;

const GLANCE: Duration = Duration::from_millis(10);

/// Watches a ledger until it is dropped.
pub(super) struct Traffic {
    seen: Arc<Mutex<Vec<(Duration, u64)>>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Traffic {
    pub(super) fn watch(ledger: Ledger) -> Self {
        let (seen, is_over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (list, stop) = (Arc::clone(&seen), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let glance = (ledger.now(), ledger.summary().requests);
                list.lock().unwrap_or_else(PoisonError::into_inner).push(glance);
                std::thread::sleep(GLANCE);
            }
        });
        Self { seen, is_over, thread: Some(thread) }
    }

    /// The most requests in a second from `from` on. Counted between two glances that are at least a second apart: never
    /// less than it was.
    pub(super) fn most_in_a_second(&self, from: Duration) -> u64 {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let after = &seen[seen.partition_point(|(at, _)| *at < from)..];
        let mut last = 0;
        let counts = after.iter().map(|(at, count)| {
            while last + 1 < after.len() && after[last].0 < *at + Duration::from_secs(1) {
                last += 1;
            }
            after[last].1 - count
        });
        counts.max().unwrap_or(0)
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
