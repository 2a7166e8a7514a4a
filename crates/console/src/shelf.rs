//! Runs that somebody looks at: their events and what these tell, read once and then only what is new.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use midwatch_journal::{Error, Fold, Journal, RunSummary};
use midwatch_observe::Timeline;
use midwatch_workflow::{Event, RunId};

/// A run as its events tell it.
pub(crate) struct Told {
    pub(crate) events: Arc<Vec<Event>>,
    pub(crate) summary: RunSummary,
    pub(crate) timeline: Timeline,
}

/// The runs that were looked at last.
#[derive(Default)]
pub(crate) struct Shelf {
    places: Mutex<Places>,
}

#[derive(Default)]
struct Places {
    by_run: HashMap<RunId, Place>,
    tick: u64,
}

struct Place {
    told: Arc<Mutex<Option<Arc<Told>>>>,
    /// How many events it held when it was last looked at.
    events: usize,
    used: u64,
}

/// So many events are kept, of all runs together.
const EVENTS_MAX: usize = 400_000;

impl Shelf {
    /// Tells a run; `None` if there is none. Blocks. Several who ask for one run share the work.
    pub(crate) fn told(&self, journal: &dyn Journal, run: RunId) -> Result<Option<Arc<Told>>, Error> {
        let place = self.place(run);
        let mut kept = lock(&place);
        let known = kept.as_ref().map_or(0, |told| told.events.len());
        let new = journal.events(run, known as u64)?;
        if new.is_empty() {
            return Ok(kept.clone());
        }
        let mut events = kept.take().map(|told| Arc::clone(&told.events)).unwrap_or_default();
        Arc::make_mut(&mut events).extend(new);
        let (Some(fold), Some(timeline)) = (Fold::of(&events), Timeline::of(&events)) else {
            return Err(Error::Damaged { what: format!("run {run} does not begin with its start") });
        };
        let told = Arc::new(Told { events, summary: fold.summary, timeline });
        *kept = Some(Arc::clone(&told));
        drop(kept);
        self.make_room(run, told.events.len());
        Ok(Some(told))
    }

    fn place(&self, run: RunId) -> Arc<Mutex<Option<Arc<Told>>>> {
        let mut places = lock(&self.places);
        places.tick += 1;
        let used = places.tick;
        let place =
            places.by_run.entry(run).or_insert_with(|| Place { told: Arc::default(), events: 0, used });
        place.used = used;
        Arc::clone(&place.told)
    }

    /// Forgets what was not looked at for longest.
    fn make_room(&self, run: RunId, events: usize) {
        let mut places = lock(&self.places);
        if let Some(place) = places.by_run.get_mut(&run) {
            place.events = events;
        }
        let cost = |place: &Place| place.events + 100;
        let mut all: usize = places.by_run.values().map(cost).sum();
        while all > EVENTS_MAX {
            let others = places.by_run.iter().filter(|(other, _)| **other != run);
            let Some(oldest) = others.min_by_key(|(_, place)| place.used).map(|(run, _)| *run) else {
                return;
            };
            all -= places.by_run.remove(&oldest).map_or(0, |place| cost(&place));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
