//! Attempts: how many, when, under which key.

use std::time::Duration;

use midwatch_workflow::{
    Class, Failure, KeyScope, OpKind, Resolution, Step as _, StepOptions, Timeouts, Timestamp,
};

use crate::hand::{Hand, START, run, step};

fn until(hand: &Hand) -> Timestamp {
    match hand.op("retry wait").kind {
        OpKind::Timer { until, .. } => until,
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn each_attempt_has_the_key_of_its_step_and_each_use_of_a_step_its_own() {
    let mut hand = run(|cx| async move {
        cx.step(step("a"), &1).await?;
        cx.step(step("a"), &1).await
    });
    hand.asks();
    let first = hand.attempt("step a").key.clone();
    assert!(first.starts_with("order-42:") && first.ends_with(":a"), "{first}");
    hand.fail("step a", Class::Server);
    hand.fire("retry wait");
    assert_eq!(hand.attempt("step a#1 attempt 2").key, first);
    hand.ok("step a", 1);
    assert_eq!(*hand.attempt("step a#2").key, *format!("{first}#2"));
}

#[test]
fn keys_per_attempt_differ() {
    let mut hand = run(|cx| async move {
        let own = StepOptions { keys: KeyScope::Attempt, ..step("a").options() };
        cx.step(step("a").with(own), &1).await
    });
    hand.asks();
    let first = hand.attempt("step a").key.clone();
    hand.fail("step a", Class::Server);
    hand.fire("retry wait");
    assert_ne!(hand.attempt("step a").key, first);
}

#[test]
fn a_lost_attempt_is_repeated_at_once_and_uses_none_up() {
    let mut hand = run(|cx| async move { cx.step(step("a"), &1).await });
    hand.asks();
    assert_eq!(hand.fail("step a", Class::Lost), ["op 2: step a#1 attempt 2"]);
    for _ in 0..2 {
        hand.fail("step a", Class::Server);
        hand.fire("retry wait");
    }
    hand.fail("step a", Class::Server);
    let (failure, ..) = hand.failure();
    assert_eq!((failure.class, failure.attempts, failure.ambiguous), (Class::Server, 4, false));
}

#[test]
fn a_step_gets_no_attempt_longer_than_its_own_time_in_work_or_in_a_queue() {
    let mut hand = run(|cx| async move {
        let limits = Timeouts { step: Duration::from_secs(10), ..Timeouts::default() };
        cx.step(step("a"), &1).timeouts(limits).await
    });
    hand.asks();
    hand.now = START + Duration::from_secs(8);
    hand.fail("step a", Class::Server);
    hand.fire("retry wait");
    let attempt = hand.attempt("step a");
    assert_eq!((attempt.timeout, attempt.queue_timeout), (Duration::from_secs(1), Duration::from_secs(1)));
    hand.fail("step a", Class::Server);
    assert_eq!(hand.failure().0.class, Class::Server);
}

#[test]
fn a_wait_beyond_the_runs_deadline_is_not_begun() {
    let mut hand = run(|cx| async move { cx.step(step("a"), &1).await });
    hand.asks();
    let asked = Failure::new(Class::RateLimited, "later").retry_after(Duration::from_secs(2 * 3600));
    assert_eq!(hand.end("step a", Err(asked)), ["op 2: gave up a#1"]);
    assert_eq!(hand.failure().0.class, Class::RateLimited);
}

#[test]
fn a_target_that_asks_for_time_gets_it() {
    let mut hand = run(|cx| async move { cx.step(step("a"), &1).await });
    hand.asks();
    let asked = Failure::new(Class::RateLimited, "later").retry_after(Duration::from_secs(20));
    hand.end("step a", Err(asked));
    assert!(until(&hand) >= START + Duration::from_secs(20));
}

#[test]
fn a_replayed_failure_is_for_a_person() {
    for (resolution, next) in [(Resolution::Retry, "step a#1 attempt 2"), (Resolution::Fail, "gave up a#1")] {
        let mut hand = run(|cx| async move { cx.step(step("a"), &1).await });
        hand.asks();
        let key = hand.attempt("step a").key.clone();
        assert_eq!(hand.fail("step a", Class::ReplayedFailure), ["op 2: park replayedfailure"]);
        let asked = hand.resolve(resolution);
        assert!(asked.iter().any(|op| op.contains(next)), "{asked:?}");
        assert_eq!(hand.attempt("step a").key, key, "the key is never changed");
    }
}
