//! What questions found out that the next one would find out again: shared by all that ask a journal for long.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use midwatch_observe::{Baselines, Run};
use midwatch_workflow::Timestamp;

/// What is usual for a workflow moves slowly.
const USUAL_AGE_MAX: Duration = Duration::from_secs(60);
/// Who else has trouble does not.
const NEIGHBOURS_AGE_MAX: Duration = Duration::from_secs(2);
/// So many workflows are remembered.
const WORKFLOWS_MAX: usize = 1_000;

/// What earlier questions found out; forgotten when it is too old. One for each journal.
#[derive(Default)]
pub struct Memory {
    usual: Mutex<HashMap<String, (Timestamp, Baselines)>>,
    neighbours: Mutex<Option<(Timestamp, Arc<Vec<Run>>)>>,
}

impl Memory {
    pub(crate) fn usual(&self, workflow: &str, now: Timestamp) -> Option<Baselines> {
        let known = lock(&self.usual);
        let (at, baselines) = known.get(workflow)?;
        is_fresh(*at, now, USUAL_AGE_MAX).then(|| baselines.clone())
    }

    pub(crate) fn keep_usual(&self, workflow: &str, baselines: &Baselines, now: Timestamp) {
        let mut known = lock(&self.usual);
        if known.len() >= WORKFLOWS_MAX {
            known.clear();
        }
        known.insert(workflow.to_owned(), (now, baselines.clone()));
    }

    pub(crate) fn neighbours(&self, now: Timestamp) -> Option<Arc<Vec<Run>>> {
        let known = lock(&self.neighbours);
        let (at, runs) = known.as_ref()?;
        is_fresh(*at, now, NEIGHBOURS_AGE_MAX).then(|| Arc::clone(runs))
    }

    pub(crate) fn keep_neighbours(&self, runs: Vec<Run>, now: Timestamp) -> Arc<Vec<Run>> {
        let runs = Arc::new(runs);
        *lock(&self.neighbours) = Some((now, Arc::clone(&runs)));
        runs
    }
}

fn is_fresh(at: Timestamp, now: Timestamp, age_max: Duration) -> bool {
    now >= at && now.since(at) < age_max
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
