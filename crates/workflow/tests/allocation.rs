//! Decisions that are taken for every attempt allocate nothing.

use std::time::Duration;

use midwatch_workflow::gate::{Admission, Gate, Observation, Observed, Try};
use midwatch_workflow::{Class, Decision, Failure, GatePolicy, Money, RetryPolicy, Timestamp, Tried};

const NOW: Timestamp = Timestamp::from_micros(1_000_000);

fn allocations(decide: impl FnOnce()) -> u64 {
    allocation_counter::measure(decide).count_total
}

#[test]
fn a_retry_decision_allocates_nothing() {
    let policy = RetryPolicy::default();
    let failure = Failure::new(Class::RateLimited, "slow down").retry_after(Duration::from_secs(7));
    let tried = Tried { attempts: 1, lost: 0, since: NOW, cost: Money::from_picos(0), deadline: None };
    let counted = allocations(|| {
        assert!(matches!(policy.decide(&tried, &failure, NOW, 7), Decision::Retry { .. }));
    });
    assert_eq!(counted, 0);
}

#[test]
fn passing_a_gate_allocates_nothing() {
    let mut gate = Gate::new(GatePolicy::default(), 7, NOW);
    let counted = allocations(|| {
        let Admission::Admit(admitted) = gate.admit(NOW, Try::First) else { panic!("an open gate") };
        gate.learn(NOW, &Observation::Ended { admitted, observed: Observed::Success, tokens: 900 });
    });
    assert_eq!(counted, 0);
}

#[test]
fn what_does_allocate_is_counted() {
    assert!(allocations(|| drop(std::hint::black_box(vec![1, 2, 3]))) > 0);
}
