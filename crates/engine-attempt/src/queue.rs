//! Queues: named limits on how many attempts run at once and how fast they start.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use midwatch_workflow::Name;
use tokio::time::Instant;

use crate::QueueOptions;

/// All queues of an engine.
#[derive(Default)]
pub(crate) struct Queues(HashMap<Name, Arc<Queue>>);

impl Queues {
    pub(crate) fn new(options: &HashMap<Name, QueueOptions>) -> Self {
        Self(options.iter().map(|(name, options)| (name.clone(), Queue::new(*options))).collect())
    }

    /// The queue of this name, if it has a limit.
    pub(crate) fn limited(&self, name: Option<&Name>) -> Option<&Arc<Queue>> {
        name.and_then(|name| self.0.get(name))
    }
}

/// One queue.
pub(crate) struct Queue {
    options: QueueOptions,
    state: Mutex<State>,
}

struct State {
    running: usize,
    /// When the rate lets the next attempt start.
    next_start: Instant,
    waiting: BinaryHeap<Waiter>,
    arrivals: u64,
    is_timer_set: bool,
    is_admitting: bool,
}

/// Called with the permit when it is an attempt's turn.
type Admit = Box<dyn FnOnce(Permit) + Send>;

struct Waiter {
    priority: i8,
    arrival: Reverse<u64>,
    admit: Admit,
}

impl Ord for Waiter {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.priority, self.arrival).cmp(&(other.priority, other.arrival))
    }
}

impl PartialOrd for Waiter {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiter {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Waiter {}

/// A place in a queue; given back when dropped.
pub struct Permit(Weak<Queue>);

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(queue) = self.0.upgrade() {
            queue.lock().running -= 1;
            queue.admit_next();
        }
    }
}

impl Queue {
    fn new(options: QueueOptions) -> Arc<Self> {
        let state = State {
            running: 0,
            next_start: Instant::now(),
            waiting: BinaryHeap::new(),
            arrivals: 0,
            is_timer_set: false,
            is_admitting: false,
        };
        Arc::new(Self { options, state: Mutex::new(state) })
    }

    /// No foreign code runs under this lock, so a poisoned one still holds a whole state.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place if there is one now and nobody waits before.
    pub(crate) fn try_enter(self: &Arc<Self>) -> Option<Permit> {
        let mut state = self.lock();
        if state.waiting.is_empty() && self.take_place(&mut state).is_ok() {
            return Some(Permit(Arc::downgrade(self)));
        }
        None
    }

    /// Waits for a place; `admit` is called with it. Whoever no longer wants it drops the permit.
    pub(crate) fn wait(self: &Arc<Self>, priority: i8, admit: Admit) {
        let mut state = self.lock();
        state.arrivals += 1;
        let arrival = Reverse(state.arrivals);
        state.waiting.push(Waiter { priority, arrival, admit });
        drop(state);
        self.admit_next();
    }

    fn admit_next(self: &Arc<Self>) {
        let mut state = self.lock();
        // A permit that nobody takes is given back at once, within the call that hands it out. That call goes on with it:
        // calling anew for each would fill the stack when thousands wait and are gone.
        if std::mem::replace(&mut state.is_admitting, true) {
            return;
        }
        while !state.waiting.is_empty() {
            match self.take_place(&mut state) {
                Ok(()) => {}
                Err(Full::Running) => break,
                Err(Full::Rate(at)) => {
                    self.admit_at(&mut state, at);
                    break;
                }
            }
            let Some(waiter) = state.waiting.pop() else { break };
            drop(state);
            (waiter.admit)(Permit(Arc::downgrade(self)));
            state = self.lock();
        }
        state.is_admitting = false;
    }

    fn take_place(&self, state: &mut State) -> Result<(), Full> {
        if state.running >= self.options.concurrency {
            return Err(Full::Running);
        }
        if let Some(rate) = self.options.per_second {
            let now = Instant::now();
            if state.next_start > now {
                return Err(Full::Rate(state.next_start));
            }
            state.next_start = now + Duration::from_secs_f64(1.0 / rate);
        }
        state.running += 1;
        Ok(())
    }

    fn admit_at(self: &Arc<Self>, state: &mut State, at: Instant) {
        // An engine may be dropped outside its runtime, and its attempts give their places back then.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if std::mem::replace(&mut state.is_timer_set, true) {
            return;
        }
        let queue = Arc::clone(self);
        runtime.spawn(async move {
            tokio::time::sleep_until(at).await;
            queue.lock().is_timer_set = false;
            queue.admit_next();
        });
    }
}

/// Why there is no place.
enum Full {
    Running,
    Rate(Instant),
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    #[tokio::test(start_paused = true)]
    async fn higher_priority_goes_first_and_equals_in_order_of_arrival() {
        let queue = Queue::new(QueueOptions::concurrency(1));
        let first = queue.try_enter().expect("a free place");
        let (order, mut admitted) = mpsc::unbounded_channel();
        for (name, priority) in [("a", 0), ("b", 0), ("urgent", 1)] {
            let order = order.clone();
            queue.wait(priority, Box::new(move |permit| order.send((name, permit)).unwrap()));
        }
        drop(first);
        for expected in ["urgent", "a", "b"] {
            assert_eq!(admitted.recv().await.unwrap().0, expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_that_is_gone_is_passed_over_without_filling_the_stack() {
        let queue = Queue::new(QueueOptions::concurrency(1));
        let first = queue.try_enter().expect("a free place");
        for _ in 0..100_000 {
            queue.wait(0, Box::new(drop));
        }
        drop(first);
        assert!(queue.try_enter().is_some());
    }

    #[test]
    fn a_place_may_be_given_back_outside_the_runtime() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (queue, place) = runtime.block_on(async {
            let queue = Queue::new(QueueOptions::concurrency(1).per_second(0.1));
            let place = queue.try_enter().expect("a free place");
            queue.wait(0, Box::new(drop));
            (queue, place)
        });
        drop(place);
        drop(queue);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_limit_spreads_starts_over_time() {
        let queue = Queue::new(QueueOptions::concurrency(100).per_second(10.0));
        let begin = Instant::now();
        let (starts, mut admitted) = mpsc::unbounded_channel();
        for _ in 0..11 {
            let starts = starts.clone();
            queue.wait(0, Box::new(move |_permit| starts.send(Instant::now()).unwrap()));
        }
        for _ in 0..10 {
            admitted.recv().await.unwrap();
        }
        let last = admitted.recv().await.unwrap();
        assert!(last - begin >= Duration::from_millis(1000), "{:?}", last - begin);
    }
}
