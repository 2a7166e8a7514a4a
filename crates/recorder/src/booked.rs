//! Where calls were booked that were made here, by what others call them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use midwatch_journal::RunSummary;
use midwatch_workflow::WorkflowId;

/// So many calls are known, the latest ones.
const CALLS_MAX: usize = 100_000;

/// The run in which a call was booked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// Its workflow.
    pub workflow: String,
    /// Its workflow id.
    pub workflow_id: WorkflowId,
}

#[derive(Default)]
pub(crate) struct Booked {
    places: HashMap<String, Arc<Place>>,
    order: VecDeque<String>,
    /// Calls of one run often come one after the other.
    last: Option<Arc<Place>>,
}

impl Booked {
    pub(crate) fn add(&mut self, call: String, run: &RunSummary) {
        let is_of =
            |place: &Arc<Place>| place.workflow_id == run.workflow_id && place.workflow == run.workflow;
        let place = match self.last.take().filter(is_of) {
            Some(place) => place,
            None => Arc::new(Place { workflow: run.workflow.clone(), workflow_id: run.workflow_id.clone() }),
        };
        self.last = Some(Arc::clone(&place));
        if self.places.insert(call.clone(), place).is_none() {
            self.order.push_back(call);
        }
        if self.order.len() > CALLS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.places.remove(&oldest);
        }
    }

    pub(crate) fn place(&self, call: &str) -> Option<Place> {
        self.places.get(call).map(|place| Place::clone(place))
    }
}
