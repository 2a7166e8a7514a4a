//! Views that are computed once for many readers: kept while they are fresh, shown while they are renewed.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::app::App;
use crate::error::Trouble;

/// Computed views by key.
///
/// The first to ask waits. Whoever asks later gets what there is, and if that is no longer fresh, it is renewed behind
/// their back. However many ask, renewing takes one part in eleven of one core's time at most.
pub(crate) struct Kept<K, V> {
    slots: Arc<Mutex<HashMap<K, Arc<Slot<V>>>>>,
    fresh: Duration,
    most: usize,
}

struct Slot<V> {
    kept: Mutex<Option<Value<V>>>,
    is_renewed: AtomicBool,
}

struct Value<V> {
    value: Arc<V>,
    at: Instant,
    took: Duration,
}

/// What is renewed rests for so many times as long as that took.
const REST: u32 = 10;
/// What nobody asked for in so long is not shown any more.
const STALE: Duration = Duration::from_secs(120);

impl<K: Eq + Hash + Clone + Send + Sync + 'static, V: Send + Sync + 'static> Kept<K, V> {
    pub(crate) fn new(fresh: Duration, most: usize) -> Self {
        Self { slots: Arc::default(), fresh, most }
    }

    /// Gives what is kept, or computes it. Blocks.
    pub(crate) fn get(
        &self,
        app: &Arc<App>,
        key: K,
        compute: impl FnOnce(&Arc<App>, &K) -> Result<V, Trouble> + Send + 'static,
    ) -> Result<Arc<V>, Trouble> {
        let slot = self.slot(&key);
        let mut kept = lock(&slot.kept);
        if let Some(found) = kept.as_ref().filter(|found| found.at.elapsed() < STALE) {
            let is_fresh = found.at.elapsed() < self.fresh.max(found.took * REST);
            if !is_fresh && !slot.is_renewed.swap(true, Ordering::AcqRel) {
                renew(Arc::clone(app), key, Arc::clone(&slot), compute);
            }
            return Ok(Arc::clone(&found.value));
        }
        let begun = Instant::now();
        let value = Arc::new(compute(app, &key)?);
        *kept = Some(Value { value: Arc::clone(&value), at: Instant::now(), took: begun.elapsed() });
        Ok(value)
    }

    /// Gives what was computed after `moment`, or computes it from what there was before. Blocks.
    pub(crate) fn get_since(
        &self,
        app: &Arc<App>,
        key: K,
        moment: Instant,
        compute: impl FnOnce(&Arc<App>, Option<&Arc<V>>) -> Result<Arc<V>, Trouble>,
    ) -> Result<Arc<V>, Trouble> {
        let slot = self.slot(&key);
        let mut kept = lock(&slot.kept);
        if let Some(found) = kept.as_ref().filter(|found| found.at >= moment) {
            return Ok(Arc::clone(&found.value));
        }
        let begun = Instant::now();
        let value = compute(app, kept.as_ref().map(|found| &found.value))?;
        *kept = Some(Value { value: Arc::clone(&value), at: begun, took: begun.elapsed() });
        Ok(value)
    }

    /// Gives what was computed after `moment`, if it is there.
    pub(crate) fn peek_since(&self, key: &K, moment: Instant) -> Option<Arc<V>> {
        let slot = lock(&self.slots).get(key).cloned()?;
        let kept = slot.kept.try_lock().ok()?;
        kept.as_ref().filter(|found| found.at >= moment).map(|found| Arc::clone(&found.value))
    }

    fn slot(&self, key: &K) -> Arc<Slot<V>> {
        let mut slots = lock(&self.slots);
        if slots.len() >= self.most && !slots.contains_key(key) {
            slots.clear();
        }
        let new = || Arc::new(Slot { kept: Mutex::new(None), is_renewed: AtomicBool::new(false) });
        Arc::clone(slots.entry(key.clone()).or_insert_with(new))
    }
}

/// Computes again on a thread of its own. What fails is tried again by the next who asks.
fn renew<K: Send + 'static, V: Send + Sync + 'static>(
    app: Arc<App>,
    key: K,
    slot: Arc<Slot<V>>,
    compute: impl FnOnce(&Arc<App>, &K) -> Result<V, Trouble> + Send + 'static,
) {
    tokio::task::spawn_blocking(move || {
        let begun = Instant::now();
        match compute(&app, &key) {
            Ok(value) => {
                let value = Value { value: Arc::new(value), at: Instant::now(), took: begun.elapsed() };
                *lock(&slot.kept) = Some(value);
            }
            Err(error) => tracing::warn!(%error, "a view could not be renewed"),
        }
        slot.is_renewed.store(false, Ordering::Release);
    });
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
