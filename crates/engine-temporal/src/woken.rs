//! Who was woken: what is in flight is polled in the order in which the server resolved it.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

/// Which operations were woken, in which order, and the waker of the whole.
#[derive(Default)]
pub(crate) struct Woken {
    order: Mutex<Vec<u64>>,
    outer: Mutex<Option<Waker>>,
}

impl Woken {
    /// The numbers that were woken since this was last asked, in their order.
    pub(crate) fn take(&self) -> Vec<u64> {
        std::mem::take(&mut *self.order.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The waker of the whole.
    pub(crate) fn outer(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        self.outer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The waker of one of them.
pub(crate) struct OneWoken {
    pub(crate) number: u64,
    pub(crate) woken: Arc<Woken>,
}

impl Wake for OneWoken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.order.lock().unwrap_or_else(PoisonError::into_inner).push(self.number);
        let outer = self.woken.outer().clone();
        if let Some(outer) = outer {
            outer.wake();
        }
    }
}
