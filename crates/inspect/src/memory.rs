//! What questions found out that the next one would find out again: shared by all that ask a journal for long.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use midwatch_observe::{Baselines, Profile, Run};
use midwatch_workflow::{RunId, Timestamp};

/// What is usual for a workflow moves slowly.
const USUAL_AGE_MAX: Duration = Duration::from_secs(60);
/// Who else has trouble does not.
const NEIGHBOURS_AGE_MAX: Duration = Duration::from_secs(2);
/// So many workflows are remembered.
const WORKFLOWS_MAX: usize = 1_000;

/// The runs that show what is usual for a workflow.
pub(crate) struct Samples {
    /// As lists show them.
    pub(crate) runs: Vec<Run>,
    /// Some of them, event by event.
    pub(crate) profiles: Vec<(RunId, Profile)>,
}

impl Samples {
    /// What they show, without one of them: nobody is compared with himself.
    pub(crate) fn usual(&self, without: Option<RunId>) -> Baselines {
        let runs: Vec<&Run> = self.runs.iter().filter(|run| Some(run.run) != without).collect();
        let profiles: Vec<&Profile> = self
            .profiles
            .iter()
            .filter(|(run, _)| Some(*run) != without)
            .map(|(_, profile)| profile)
            .collect();
        Baselines::of(&runs, &profiles)
    }
}

/// What earlier questions found out; forgotten when it is too old. One for each journal.
#[derive(Default)]
pub struct Memory {
    samples: Mutex<HashMap<String, (Timestamp, Arc<Samples>)>>,
    neighbours: Mutex<Option<(Timestamp, Arc<Vec<Run>>)>>,
}

impl Memory {
    pub(crate) fn samples(&self, workflow: &str, now: Timestamp) -> Option<Arc<Samples>> {
        let known = lock(&self.samples);
        let (at, samples) = known.get(workflow)?;
        is_fresh(*at, now, USUAL_AGE_MAX).then(|| Arc::clone(samples))
    }

    pub(crate) fn keep_samples(&self, workflow: &str, samples: Samples, now: Timestamp) -> Arc<Samples> {
        let samples = Arc::new(samples);
        let mut known = lock(&self.samples);
        if known.len() >= WORKFLOWS_MAX {
            known.clear();
        }
        known.insert(workflow.to_owned(), (now, Arc::clone(&samples)));
        samples
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
