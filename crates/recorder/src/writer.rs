//! The thread that hands to the journal what runs were told, a little later, so that what belongs together shares a commit.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::run::RunCell;
use crate::shared::Shared;

pub(crate) struct Writer {
    linger: Duration,
    work: Mutex<Work>,
    /// Rings when there is something to do.
    wake: Condvar,
    /// Rings when nothing is under way any more.
    settled: Condvar,
}

#[derive(Default)]
struct Work {
    dirty: Vec<Arc<RunCell>>,
    under_way: usize,
    is_urgent: bool,
    is_stopped: bool,
    is_handing_over: bool,
}

impl Writer {
    pub(crate) fn new(linger: Duration) -> Self {
        Self { linger, work: Mutex::default(), wake: Condvar::new(), settled: Condvar::new() }
    }

    /// Starts the thread; it ends with the recorder.
    pub(crate) fn start(shared: &Arc<Shared>) -> std::io::Result<()> {
        let shared = Arc::downgrade(shared);
        let thread = std::thread::Builder::new().name("midwatch-recorder".to_owned());
        thread.spawn(move || while Self::turn(&shared) {}).map(drop)
    }

    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, cell: Arc<RunCell>) {
        let mut work = self.lock();
        work.dirty.push(cell);
        if work.dirty.len() == 1 {
            self.wake.notify_one();
        }
    }

    /// Somebody waits.
    pub(crate) fn hurry(&self) {
        let mut work = self.lock();
        if !std::mem::replace(&mut work.is_urgent, true) {
            self.wake.notify_one();
        }
    }

    pub(crate) fn began(&self) {
        self.lock().under_way += 1;
    }

    pub(crate) fn ended(&self) {
        let mut work = self.lock();
        work.under_way -= 1;
        if work.is_settled() {
            self.settled.notify_all();
        }
    }

    /// Waits until nothing is left to do.
    pub(crate) fn flush(&self) {
        let mut work = self.lock();
        while !work.is_settled() && !work.is_stopped {
            work.is_urgent = true;
            self.wake.notify_one();
            work = self.settled.wait(work).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(crate) fn stop(&self) {
        self.lock().is_stopped = true;
        self.wake.notify_all();
        self.settled.notify_all();
    }

    /// One round; `false` if there is to be no other.
    fn turn(shared: &Weak<Shared>) -> bool {
        let Some(shared) = shared.upgrade() else { return false };
        let Some(dirty) = shared.writer().collect() else { return false };
        for cell in &dirty {
            shared.write(cell);
        }
        drop(dirty);
        let mut work = shared.writer().lock();
        work.is_handing_over = false;
        if work.is_settled() {
            shared.writer().settled.notify_all();
        }
        true
    }

    /// Waits for something to do, and then for more of it; comes back empty-handed now and then, so that a recorder that
    /// is gone is noticed. `None` if it was stopped.
    fn collect(&self) -> Option<Vec<Arc<RunCell>>> {
        let mut work = self.lock();
        if work.dirty.is_empty() && !work.is_stopped {
            let waited = self.wake.wait_timeout(work, Duration::from_millis(500));
            work = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let until = Instant::now() + self.linger;
        while !work.dirty.is_empty() && !work.is_urgent && !work.is_stopped {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            work = self.wake.wait_timeout(work, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        if work.is_stopped {
            return None;
        }
        work.is_urgent = false;
        work.is_handing_over = true;
        Some(std::mem::take(&mut work.dirty))
    }
}

impl Work {
    fn is_settled(&self) -> bool {
        self.dirty.is_empty() && self.under_way == 0 && !self.is_handing_over
    }
}
