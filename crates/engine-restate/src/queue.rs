//! Queues: how many attempts of a name this process runs at once.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use midwatch_workflow::Name;
use tokio::sync::oneshot;

/// All limited queues of a host.
pub(crate) struct Queues(HashMap<Name, Arc<Queue>>);

/// One queue.
pub(crate) struct Queue(Mutex<State>);

struct State {
    free: usize,
    arrivals: u64,
    waiting: BinaryHeap<Waiting>,
}

/// Sorted by priority, then by arrival.
struct Waiting {
    order: (i8, Reverse<u64>),
    admit: oneshot::Sender<Permit>,
}

/// A place in a queue, given back when dropped.
pub(crate) struct Permit(Arc<Queue>);

impl Queues {
    pub(crate) fn new(limits: &HashMap<Name, usize>) -> Self {
        let queue = |free: usize| {
            Arc::new(Queue(Mutex::new(State { free: free.max(1), arrivals: 0, waiting: BinaryHeap::new() })))
        };
        Self(limits.iter().map(|(name, limit)| (name.clone(), queue(*limit))).collect())
    }

    /// The queue of that name, if it has a limit.
    pub(crate) fn limited(&self, name: Option<&Name>) -> Option<&Arc<Queue>> {
        self.0.get(name?)
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place if one is free; nobody waits then.
    pub(crate) fn try_enter(self: &Arc<Self>) -> Option<Permit> {
        let mut state = self.state();
        state.free = state.free.checked_sub(1)?;
        Some(Permit(Arc::clone(self)))
    }

    /// Waits for a place; whoever drops the receiver leaves the line.
    pub(crate) fn wait(self: &Arc<Self>, priority: i8) -> oneshot::Receiver<Permit> {
        let (admit, admitted) = oneshot::channel();
        let mut state = self.state();
        state.arrivals += 1;
        let order = (priority, Reverse(state.arrivals));
        state.waiting.push(Waiting { order, admit });
        drop(state);
        self.hand_on();
        admitted
    }

    /// Gives free places to those who wait.
    fn hand_on(self: &Arc<Self>) {
        loop {
            let next = {
                let mut state = self.state();
                if state.free == 0 {
                    return;
                }
                let Some(next) = state.waiting.pop() else { return };
                state.free -= 1;
                next
            };
            // Not under the lock: a permit that nobody takes is dropped here, and gives its place back.
            drop(next.admit.send(Permit(Arc::clone(self))));
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.state().free += 1;
        self.0.hand_on();
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order.cmp(&other.order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(limit: usize) -> Arc<Queue> {
        let queues = Queues::new(&HashMap::from([(Name::from("narrow"), limit)]));
        Arc::clone(queues.limited(Some(&Name::from("narrow"))).expect("it was given a limit"))
    }

    #[test]
    fn a_place_that_comes_free_goes_to_the_highest_priority_then_to_the_oldest() {
        let queue = queue(1);
        let first = queue.try_enter().expect("the queue is empty");
        let [mut low, mut high, mut next] = [queue.wait(0), queue.wait(1), queue.wait(1)];
        drop(first);
        let permit = high.try_recv().expect("highest priority first");
        assert!(low.try_recv().is_err() && next.try_recv().is_err());
        drop(permit);
        drop(next.try_recv().expect("then the other of that priority"));
        assert!(low.try_recv().is_ok());
    }

    #[test]
    fn who_left_the_line_holds_nobody_up() {
        let queue = queue(1);
        let first = queue.try_enter();
        drop(queue.wait(5));
        let mut patient = queue.wait(0);
        drop(first);
        assert!(patient.try_recv().is_ok());
    }
}
