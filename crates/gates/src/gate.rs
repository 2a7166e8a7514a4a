//! Attempts wait for their target's gate, and every end of one teaches it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use midwatch_workflow::gate::{Admission, Admitted, Gate, GateView, HeldBy, Observation, Observed, Try};
use midwatch_workflow::{Charge, Failure, GatePolicy, GateState, Headroom, Name, Payload, Timestamp};

use crate::Clock;

/// So many targets have gates; names beyond that are most likely made up per request, and go without.
const TARGETS_MAX: usize = 4_096;

/// Which targets have a gate, and of what kind.
type Policies = Box<dyn Fn(&Name) -> Option<GatePolicy> + Send + Sync>;

/// All gates of a process, made as targets turn up.
pub struct Gates {
    policies: Policies,
    clock: Clock,
    /// What an earlier process knew.
    known: HashMap<Name, GateState>,
    gates: Mutex<BTreeMap<Name, Arc<TargetGate>>>,
}

impl Gates {
    /// Gates that begin with what an earlier process knew of their targets.
    pub fn new(
        policies: impl Fn(&Name) -> Option<GatePolicy> + Send + Sync + 'static,
        clock: Clock,
        known: HashMap<Name, GateState>,
    ) -> Self {
        Self { policies: Box::new(policies), clock, known, gates: Mutex::default() }
    }

    /// The gate of a target, unless it has none.
    pub fn of(&self, target: Option<&Name>) -> Option<Arc<TargetGate>> {
        let target = target?;
        let policy = (self.policies)(target)?;
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = gates.get(target) {
            return Some(Arc::clone(gate));
        }
        if gates.len() >= TARGETS_MAX {
            return None;
        }
        let gate = TargetGate::new(policy, self.clock, self.known.get(target));
        gates.insert(target.clone(), Arc::clone(&gate));
        Some(gate)
    }

    /// All gates, by target.
    pub fn views(&self) -> Vec<GateView> {
        let gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner).clone();
        gates.into_iter().map(|(target, gate)| gate.view(target)).collect()
    }
}

/// The gate of one target, and who waits at it.
pub struct TargetGate {
    clock: Clock,
    state: Mutex<State>,
}

struct State {
    gate: Gate,
    firsts: BTreeMap<Place, Waiter>,
    retries: BTreeMap<Place, Waiter>,
    arrivals: u64,
    /// When the gate is asked again, if nothing happens before.
    timer: Option<Timestamp>,
    is_admitting: bool,
}

/// Higher priority first, then in order of arrival.
type Place = (Reverse<i8>, u64);

struct Waiter {
    attempt: u32,
    admit: Admit,
}

/// Called with the pass when it is an attempt's turn.
pub type Admit = Box<dyn FnOnce(Pass) + Send>;

/// The right to start an attempt. Whoever has one tells how the attempt ended; dropped, nothing was found out.
pub struct Pass {
    gate: Arc<TargetGate>,
    admitted: Option<Admitted>,
}

/// A place in the line before a gate; dropping it leaves the line.
pub struct Ticket {
    gate: Weak<TargetGate>,
    place: Place,
}

impl TargetGate {
    fn new(policy: GatePolicy, clock: Clock, known: Option<&GateState>) -> Arc<Self> {
        let (now, seed) = (clock.now(), fastrand::u64(..));
        let gate = match known {
            Some(known) => Gate::resume(policy, seed, now, known),
            None => Gate::new(policy, seed, now),
        };
        let state = State {
            gate,
            firsts: BTreeMap::new(),
            retries: BTreeMap::new(),
            arrivals: 0,
            timer: None,
            is_admitting: false,
        };
        Arc::new(Self { clock, state: Mutex::new(state) })
    }

    /// No foreign code runs under this lock, so a poisoned one still holds a whole state.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a pass if the gate lets an attempt through now and nobody waits before it.
    pub fn try_enter(self: &Arc<Self>, attempt: u32) -> Option<Pass> {
        let mut state = self.lock();
        if !state.firsts.is_empty() || !state.retries.is_empty() {
            return None;
        }
        match state.gate.admit(self.clock.now(), kind(attempt)) {
            Admission::Admit(admitted) => Some(self.pass(admitted)),
            Admission::Wait { .. } => None,
        }
    }

    /// Waits for a pass; `admit` is called with it. Whoever no longer wants it drops the ticket, or the pass.
    pub fn wait(self: &Arc<Self>, priority: i8, attempt: u32, admit: Admit) -> Ticket {
        let mut state = self.lock();
        state.arrivals += 1;
        let place = (Reverse(priority), state.arrivals);
        let line = if attempt == 1 { &mut state.firsts } else { &mut state.retries };
        line.insert(place, Waiter { attempt, admit });
        drop(state);
        self.admit_next();
        Ticket { gate: Arc::downgrade(self), place }
    }

    /// Learns what the target said of its limits.
    pub fn headroom(self: &Arc<Self>, headroom: Headroom) {
        self.lock().gate.learn(self.clock.now(), &Observation::Headroom(headroom));
    }

    fn pass(self: &Arc<Self>, admitted: Admitted) -> Pass {
        Pass { gate: Arc::clone(self), admitted: Some(admitted) }
    }

    fn learn(self: &Arc<Self>, admitted: Admitted, observed: Observed, tokens: u64) {
        let observation = Observation::Ended { admitted, observed, tokens };
        self.lock().gate.learn(self.clock.now(), &observation);
        self.admit_next();
    }

    fn admit_next(self: &Arc<Self>) {
        let mut state = self.lock();
        // A pass that nobody takes comes back within the call that hands it out, and that call goes on with it: calling
        // anew for each would fill the stack when thousands wait and are gone.
        if std::mem::replace(&mut state.is_admitting, true) {
            return;
        }
        loop {
            let now = self.clock.now();
            match state.next(now) {
                Next::Nobody => break,
                Next::Ask(until) => {
                    self.ask_again(&mut state, until);
                    break;
                }
                Next::Go(waiter, admitted) => {
                    drop(state);
                    (waiter.admit)(self.pass(admitted));
                    state = self.lock();
                }
            }
        }
        state.is_admitting = false;
    }

    fn ask_again(self: &Arc<Self>, state: &mut State, until: Timestamp) {
        if state.timer.is_some_and(|timer| timer <= until) {
            return;
        }
        state.timer = Some(until);
        let (gate, at) = (Arc::downgrade(self), self.clock.instant(until));
        tokio::spawn(async move {
            tokio::time::sleep_until(at).await;
            let Some(gate) = gate.upgrade() else { return };
            let mut state = gate.lock();
            // A later one was set for an earlier time meanwhile: that one asks.
            if state.timer == Some(until) {
                state.timer = None;
                drop(state);
                gate.admit_next();
            }
        });
    }

    /// How it stands.
    pub fn view(&self, target: Name) -> GateView {
        let state = self.lock();
        let waiting = state.firsts.len() + state.retries.len();
        GateView { target, waiting, state: state.gate.state(self.clock.now()) }
    }
}

enum Next {
    Nobody,
    /// Nobody may go before then.
    Ask(Timestamp),
    Go(Waiter, Admitted),
}

impl State {
    /// Who goes next. Retries for which the budget of retries has no place let first attempts pass.
    fn next(&mut self, now: Timestamp) -> Next {
        let mut ask: Option<Timestamp> = None;
        for place in self.order().into_iter().flatten() {
            let attempt = if self.firsts.contains_key(&place) { 1 } else { 2 };
            match self.gate.admit(now, kind(attempt)) {
                Admission::Admit(admitted) => {
                    let waiter = self.firsts.remove(&place).or_else(|| self.retries.remove(&place));
                    return match waiter {
                        Some(waiter) => Next::Go(waiter, admitted),
                        None => Next::Nobody,
                    };
                }
                Admission::Wait { until, because } => {
                    ask = [ask, until].into_iter().flatten().min();
                    if because != HeldBy::Retries {
                        break;
                    }
                }
            }
        }
        ask.map_or(Next::Nobody, Next::Ask)
    }

    /// The first of the first attempts and the first of the retries, in the order in which they are asked for.
    fn order(&self) -> [Option<Place>; 2] {
        let first = self.firsts.keys().next().copied();
        if self.gate.probes_next() {
            // A probe is likely to fail: one goes that has most attempts left.
            let fewest = self.retries.iter().min_by_key(|(place, waiter)| (waiter.attempt, **place));
            return [first.or(fewest.map(|(place, _)| *place)), None];
        }
        let retry = self.retries.keys().next().copied();
        match (first, retry) {
            (Some(first), Some(retry)) if retry < first => [Some(retry), Some(first)],
            _ => [first, retry],
        }
    }
}

fn kind(attempt: u32) -> Try {
    if attempt == 1 { Try::First } else { Try::Retry }
}

impl Pass {
    /// The gate that it is for.
    pub fn gate(&self) -> &Arc<TargetGate> {
        &self.gate
    }

    /// Tells how the attempt ended.
    pub fn ended(mut self, result: &Result<Payload, Failure>, charges: &[Charge]) {
        let Some(admitted) = self.admitted.take() else { return };
        let observed = result.as_ref().map_or_else(Observed::of, |_| Observed::Success);
        let tokens = charges.iter().map(|charge| charge.usage.tokens()).fold(0, u64::saturating_add);
        self.gate.learn(admitted, observed, tokens);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(admitted) = self.admitted.take() {
            self.gate.learn(admitted, Observed::Nothing, 0);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some(gate) = self.gate.upgrade() else { return };
        let mut state = gate.lock();
        let waiter = state.firsts.remove(&self.place).or_else(|| state.retries.remove(&self.place));
        drop(state);
        drop(waiter);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use midwatch_workflow::Class;
    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
    use tokio::time::timeout;

    use super::*;

    type Line = (UnboundedSender<(&'static str, Pass)>, UnboundedReceiver<(&'static str, Pass)>);

    fn clock() -> Clock {
        Clock::runtime(Timestamp::from_micros(1_000_000_000))
    }

    fn gate(policy: GatePolicy) -> Arc<TargetGate> {
        TargetGate::new(policy, clock(), None)
    }

    fn wide() -> GatePolicy {
        GatePolicy { rate_initial: 1e6, burst: 1_000, concurrency_initial: 1_000, ..GatePolicy::default() }
    }

    fn join(gate: &Arc<TargetGate>, line: &Line, name: &'static str, priority: i8, attempt: u32) -> Ticket {
        let sender = line.0.clone();
        gate.wait(priority, attempt, Box::new(move |pass| drop(sender.send((name, pass)))))
    }

    fn failed(class: Class) -> Result<Payload, Failure> {
        Err(Failure::new(class, "x"))
    }

    #[tokio::test(start_paused = true)]
    async fn higher_priority_goes_first_and_equals_in_order_of_arrival_whether_first_or_retried() {
        let gate = gate(GatePolicy { concurrency_initial: 1, ..wide() });
        let under_way = gate.try_enter(1).expect("a free place");
        let mut line = unbounded_channel();
        let _tickets = [("a", 0, 1), ("retry", 0, 2), ("b", 0, 1), ("urgent", 1, 3)]
            .map(|(name, priority, attempt)| join(&gate, &line, name, priority, attempt));
        drop(under_way);
        for expected in ["urgent", "a", "retry", "b"] {
            assert_eq!(line.1.recv().await.unwrap().0, expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_one_attempt_meets_holds_back_all_until_it_is_over() {
        let gate = gate(wide());
        let begin = tokio::time::Instant::now();
        let refused = Err(Failure::new(Class::RateLimited, "x").retry_after(Duration::from_secs(7)));
        gate.try_enter(1).expect("open").ended(&refused, &[]);
        let mut line = unbounded_channel();
        let _ticket = join(&gate, &line, "next", 0, 1);
        assert!(timeout(Duration::from_secs(7), line.1.recv()).await.is_err());
        line.1.recv().await.expect("let through");
        assert!(begin.elapsed() < Duration::from_secs(8));
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_is_one_that_has_most_attempts_left() {
        let gate = gate(wide());
        for _ in 0..20 {
            gate.try_enter(1).expect("open").ended(&failed(Class::Server), &[]);
        }
        let mut line = unbounded_channel();
        let _tickets = [("fourth", 4), ("second", 2), ("third", 3)]
            .map(|(name, attempt)| join(&gate, &line, name, 0, attempt));
        let (name, pass) = line.1.recv().await.expect("a probe");
        assert_eq!(name, "second");
        pass.ended(&failed(Class::Server), &[]);
        let _ticket = join(&gate, &line, "first", -1, 1);
        assert_eq!(line.1.recv().await.expect("a probe").0, "first");
    }

    #[tokio::test(start_paused = true)]
    async fn first_attempts_pass_retries_that_nothing_pays_for() {
        let gate = gate(GatePolicy { retry_reserve: 1, ..wide() });
        let paid = gate.try_enter(2).expect("one retry is in reserve");
        let mut line = unbounded_channel();
        let _retry = join(&gate, &line, "retry", 0, 2);
        let _first = join(&gate, &line, "first", 0, 1);
        assert_eq!(line.1.recv().await.unwrap().0, "first");
        assert_eq!(line.1.recv().await.unwrap().0, "retry", "one a second is left");
        drop(paid);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_leaves_the_line_is_not_counted_and_holds_up_nobody() {
        let gate = gate(GatePolicy { concurrency_initial: 1, ..wide() });
        let under_way = gate.try_enter(1).expect("a free place");
        let mut line = unbounded_channel();
        let gone = join(&gate, &line, "gone", 0, 1);
        let _stays = join(&gate, &line, "stays", 0, 1);
        assert_eq!(gate.view("t".into()).waiting, 2);
        drop(gone);
        assert_eq!(gate.view("t".into()).waiting, 1);
        drop(under_way);
        assert_eq!(line.1.recv().await.unwrap().0, "stays");
    }

    #[tokio::test(start_paused = true)]
    async fn thousands_that_wait_and_are_gone_fill_no_stack() {
        let gate = gate(GatePolicy { concurrency_initial: 1, ..wide() });
        let under_way = gate.try_enter(1).expect("a free place");
        let tickets: Vec<_> = (0..100_000).map(|_| gate.wait(0, 1, Box::new(drop))).collect();
        drop(under_way);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(gate.view("t".into()).waiting, 0);
        drop(tickets);
    }
}
