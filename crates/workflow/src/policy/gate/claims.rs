//! What each part of the gate does, one claim a test.

use std::time::Duration;

use super::{Admission, Admitted, Gate, GatePolicy, Headroom, HeldBy, Observation, Observed, Try, Window};
use crate::Timestamp;

const START: Timestamp = Timestamp::from_micros(1_000_000_000);

fn secs(seconds: f64) -> Timestamp {
    START + Duration::from_secs_f64(seconds)
}

/// A policy whose pace and crowd are in nobody's way.
fn wide() -> GatePolicy {
    GatePolicy { rate_initial: 1e6, burst: 1_000_000, concurrency_initial: 1_000, ..GatePolicy::default() }
}

fn gate(policy: GatePolicy) -> Gate {
    Gate::new(policy, 7, START)
}

#[track_caller]
fn admitted(gate: &mut Gate, now: Timestamp, which: Try) -> Admitted {
    match gate.admit(now, which) {
        Admission::Admit(admitted) => admitted,
        Admission::Wait { until, because } => panic!("held by {because:?} until {until:?}"),
    }
}

#[track_caller]
fn held(gate: &mut Gate, now: Timestamp, which: Try) -> (Option<Timestamp>, HeldBy) {
    match gate.admit(now, which) {
        Admission::Wait { until, because } => (until, because),
        Admission::Admit(_) => panic!("was let through"),
    }
}

fn ended(gate: &mut Gate, now: Timestamp, admitted: Admitted, observed: Observed) {
    gate.learn(now, &Observation::Ended { admitted, observed, tokens: 0 });
}

fn fail(gate: &mut Gate, now: Timestamp) {
    let admitted = admitted(gate, now, Try::First);
    ended(gate, now, admitted, Observed::Failed { retry_after: None });
}

/// Fails until the circuit is open, and gives the time at which it may be probed.
fn open_circuit(gate: &mut Gate) -> Timestamp {
    for n in 0..5 {
        fail(gate, secs(f64::from(n) * 0.5));
    }
    let (until, because) = held(gate, secs(2.0), Try::First);
    assert_eq!(because, HeldBy::Circuit);
    until.expect("a circuit has a time")
}

#[test]
fn a_retry_after_holds_everybody_for_as_long_as_it_says_and_little_longer() {
    let asked = Duration::from_secs(20);
    for seed in 0..1_000 {
        let mut gate = Gate::new(wide(), seed, START);
        let first = admitted(&mut gate, START, Try::First);
        ended(&mut gate, START, first, Observed::RateLimited { retry_after: Some(asked) });
        let (until, because) = held(&mut gate, secs(19.999), Try::Retry);
        let until = until.expect("a cool-down has an end");
        assert_eq!(because, HeldBy::CoolDown);
        assert!(until >= START + asked && until <= secs(22.0), "seed {seed}: {until}");
        admitted(&mut gate, until, Try::First);
    }
}

#[test]
fn what_a_503_asks_for_holds_everybody_too() {
    let mut gate = gate(wide());
    let first = admitted(&mut gate, START, Try::First);
    let retry_after = Some(Duration::from_secs(5));
    ended(&mut gate, START, first, Observed::Overloaded { retry_after });
    assert_eq!(held(&mut gate, secs(4.9), Try::First).1, HeldBy::CoolDown);
}

#[test]
fn one_answer_cannot_stop_everybody_for_a_day() {
    let mut gate = gate(wide());
    let first = admitted(&mut gate, START, Try::First);
    let retry_after = Some(Duration::from_secs(24 * 3600));
    ended(&mut gate, START, first, Observed::RateLimited { retry_after });
    assert!(held(&mut gate, secs(599.0), Try::First).0 <= Some(secs(660.0)));
}

#[test]
fn refusals_without_a_named_wait_hold_longer_each_time_until_one_succeeds() {
    let mut gate = gate(wide());
    let mut now = START;
    for expected in [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] {
        let next = admitted(&mut gate, now, Try::First);
        ended(&mut gate, now, next, Observed::RateLimited { retry_after: None });
        let until = held(&mut gate, now, Try::First).0.expect("an end");
        let wait = until.since(now).as_secs_f64();
        assert!((expected..=expected * 1.1 + 1e-6).contains(&wait), "{wait} instead of {expected}");
        now = until;
    }
    let next = admitted(&mut gate, now, Try::First);
    ended(&mut gate, now, next, Observed::Success);
    let next = admitted(&mut gate, now + Duration::from_secs(9), Try::First);
    ended(&mut gate, now, next, Observed::RateLimited { retry_after: None });
    assert!(held(&mut gate, now, Try::First).0 < Some(now + Duration::from_secs(2)));
}

#[test]
fn after_a_long_hold_the_pace_begins_low_and_rises() {
    let mut gate = gate(GatePolicy { rate_initial: 10.0, ..GatePolicy::default() });
    gate.pace.resume(400.0);
    gate.pace.restart(START, 400.0);
    assert!((99.0..=101.0).contains(&gate.state(START).rate));
}

#[test]
fn refusals_of_attempts_that_were_under_way_together_slow_down_once() {
    let mut gate = gate(GatePolicy { burst: 100, concurrency_initial: 100, ..GatePolicy::default() });
    let together: Vec<_> = (0..50).map(|_| admitted(&mut gate, START, Try::First)).collect();
    let retry_after = Some(Duration::from_millis(20));
    for one in together {
        ended(&mut gate, secs(0.1), one, Observed::RateLimited { retry_after });
    }
    assert!((7.9..8.1).contains(&gate.state(secs(0.1)).rate), "{}", gate.state(secs(0.1)).rate);
}

#[test]
fn a_new_target_is_met_with_a_burst_of_five_and_a_crowd_of_ten() {
    let mut gate = gate(GatePolicy::default());
    for _ in 0..5 {
        let _ = admitted(&mut gate, START, Try::First);
    }
    let (until, because) = held(&mut gate, START, Try::First);
    assert_eq!(because, HeldBy::Rate);
    assert!(until.is_some_and(|until| until >= secs(0.1)));
    for n in 0..5 {
        let _ = admitted(&mut gate, secs(0.2 * f64::from(n + 1)), Try::First);
    }
    assert_eq!(held(&mut gate, secs(3.0), Try::First), (None, HeldBy::Concurrency));
}

#[test]
fn a_rate_that_is_not_used_does_not_grow() {
    let mut gate = gate(GatePolicy::default());
    for n in 0..100 {
        let one = admitted(&mut gate, secs(f64::from(n)), Try::First);
        ended(&mut gate, secs(f64::from(n) + 0.5), one, Observed::Success);
    }
    let state = gate.state(secs(100.0));
    assert!((state.rate - 10.0).abs() < 1e-9 && state.concurrency == 10, "{state:?}");
}

#[test]
fn a_known_limit_is_never_passed() {
    let mut gate = gate(GatePolicy::per_second(4.0));
    let mut sent = 0;
    for n in 0..10_000 {
        let now = secs(f64::from(n) * 1e-3);
        if let Admission::Admit(one) = gate.admit(now, Try::First) {
            sent += 1;
            ended(&mut gate, now, one, Observed::Success);
        }
    }
    assert!((40..=45).contains(&sent), "{sent} in ten seconds");
}

#[test]
fn headroom_that_runs_out_slows_down_before_anything_is_refused() {
    let mut gate = gate(GatePolicy { rate_initial: 100.0, ..GatePolicy::default() });
    let window = |remaining| Window { limit: 100, remaining, reset: Duration::from_secs(2) };
    let plenty = Headroom { requests: Some(window(60)), tokens: None };
    gate.learn(START, &Observation::Headroom(plenty));
    assert!((gate.state(START).rate - 100.0).abs() < 1e-9);
    let scarce = Headroom { requests: Some(window(20)), tokens: None };
    gate.learn(START, &Observation::Headroom(scarce));
    assert!((gate.state(START).rate - 20.0).abs() < 1e-9, "80 in 2 s come back: half of that");
}

#[test]
fn headroom_in_tokens_counts_once_it_is_known_what_an_attempt_uses() {
    let mut gate = gate(wide());
    let tokens = Window { limit: 10_000, remaining: 1_000, reset: Duration::from_secs(9) };
    let scarce = Observation::Headroom(Headroom { requests: None, tokens: Some(tokens) });
    gate.learn(START, &scarce);
    assert!(gate.state(START).rate > 1e5);
    let one = admitted(&mut gate, START, Try::First);
    gate.learn(START, &Observation::Ended { admitted: one, observed: Observed::Success, tokens: 100 });
    gate.learn(START, &scarce);
    assert!((gate.state(START).rate - 5.0).abs() < 1e-9, "{}", gate.state(START).rate);
}

#[test]
fn without_successes_few_retries_are_let_through_and_first_attempts_still_are() {
    let mut gate = gate(GatePolicy { failures_max: 1_000, ..wide() });
    for _ in 0..20 {
        let retry = admitted(&mut gate, START, Try::Retry);
        ended(&mut gate, START, retry, Observed::Silent);
    }
    assert_eq!(held(&mut gate, START, Try::Retry).1, HeldBy::Retries);
    let first = admitted(&mut gate, START, Try::First);
    ended(&mut gate, START, first, Observed::Success);
    assert_eq!(held(&mut gate, START, Try::Retry).1, HeldBy::Retries, "half a retry is none");
    let first = admitted(&mut gate, START, Try::First);
    ended(&mut gate, START, first, Observed::Success);
    admitted(&mut gate, START, Try::Retry);
}

#[test]
fn five_failures_in_a_row_over_a_second_open_the_circuit_for_a_probe() {
    let mut gate = gate(wide());
    let until = open_circuit(&mut gate);
    assert!(until >= secs(3.0) && until <= secs(3.1));
    assert!(admitted(&mut gate, until, Try::First).is_probe);
    assert_eq!(held(&mut gate, until, Try::First).1, HeldBy::Circuit, "one probe, not two");
}

#[test]
fn a_success_in_between_keeps_the_circuit_closed() {
    let mut gate = gate(wide());
    for n in 0..100 {
        let now = secs(f64::from(n));
        (0..4).for_each(|k| fail(&mut gate, now + Duration::from_millis(k)));
        let one = admitted(&mut gate, now + Duration::from_millis(10), Try::First);
        ended(&mut gate, now + Duration::from_millis(20), one, Observed::Success);
    }
    assert_eq!(gate.state(secs(100.0)).closed, None);
}

#[test]
fn a_few_failures_among_many_that_are_still_under_way_do_not_open_the_circuit() {
    let mut gate = gate(wide());
    fail(&mut gate, START);
    for _ in 0..20 {
        let _ = admitted(&mut gate, secs(0.1), Try::First);
    }
    (0..10).for_each(|n| fail(&mut gate, secs(2.0 + f64::from(n))));
    assert_eq!(gate.state(secs(12.0)).closed, None);
}

#[test]
fn a_failed_probe_makes_the_next_one_wait_longer_and_a_good_one_opens_the_gate_slowly() {
    let mut gate = gate(wide());
    let mut now = open_circuit(&mut gate);
    for expected in [1.5, 2.25, 3.375, 5.0, 5.0] {
        let probe = admitted(&mut gate, now, Try::First);
        ended(&mut gate, now, probe, Observed::Failed { retry_after: None });
        let until = held(&mut gate, now, Try::First).0.expect("a time");
        let wait = until.since(now).as_secs_f64();
        assert!((expected..=expected * 1.1 + 1e-6).contains(&wait), "{wait} instead of {expected}");
        now = until;
    }
    let probe = admitted(&mut gate, now, Try::Retry);
    ended(&mut gate, now, probe, Observed::Success);
    let state = gate.state(now);
    assert_eq!((state.closed, state.failures), (None, 0));
    admitted(&mut gate, now, Try::First);
    assert_eq!(held(&mut gate, now, Try::First).1, HeldBy::Rate, "one at first, then more");
}

#[test]
fn a_refusal_of_one_request_shows_that_the_target_is_up() {
    let mut gate = gate(wide());
    let now = open_circuit(&mut gate);
    let probe = admitted(&mut gate, now, Try::First);
    ended(&mut gate, now, probe, Observed::Answered);
    assert_eq!(gate.state(now).closed, None);
}

#[test]
fn a_probe_that_is_given_up_makes_room_for_another_one_at_once() {
    let mut gate = gate(wide());
    let now = open_circuit(&mut gate);
    let probe = admitted(&mut gate, now, Try::First);
    ended(&mut gate, now, probe, Observed::Nothing);
    assert!(admitted(&mut gate, now, Try::First).is_probe);
}

#[test]
fn a_probe_without_an_answer_is_joined_by_another_one() {
    let mut gate = gate(wide());
    let now = open_circuit(&mut gate);
    assert!(admitted(&mut gate, now, Try::First).is_probe);
    assert!(admitted(&mut gate, now + Duration::from_secs(10), Try::First).is_probe);
}

#[test]
fn an_attempt_from_before_the_outage_that_ends_well_does_not_end_it() {
    let mut gate = gate(wide());
    let long = admitted(&mut gate, START, Try::First);
    open_circuit(&mut gate);
    ended(&mut gate, secs(2.5), long, Observed::Success);
    assert_eq!(held(&mut gate, secs(2.6), Try::First).1, HeldBy::Circuit);
}

#[test]
fn the_next_process_goes_on_with_a_cool_down_and_the_pace_that_was_known() {
    let mut first = gate(wide());
    let one = admitted(&mut first, START, Try::First);
    let retry_after = Some(Duration::from_secs(60));
    ended(&mut first, START, one, Observed::RateLimited { retry_after });
    let mut next = Gate::resume(wide(), 8, secs(5.0), &first.state(secs(5.0)));
    assert_eq!(held(&mut next, secs(59.0), Try::First).1, HeldBy::CoolDown);
    assert_eq!(next.state(secs(59.0)).under_way, 0);
}
