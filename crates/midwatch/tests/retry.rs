//! Standalone retries: the policy's decisions, budgets, hooks and errors, in virtual time.

use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use midwatch::retry::{Clock, Exhausted, Meter, StoppedBy, VirtualClock};
use midwatch::{
    Backoff, Charge, Class, DelayReason, Failure, GiveUp, Jitter, Money, Retried, RetryPolicy, Usage, retry,
};

fn rate_limited() -> Failure {
    Failure::new(Class::RateLimited, "slow down")
}

fn call_for(cents: u64) -> Charge {
    Charge {
        target: "openai:gpt-4o".into(),
        usage: Usage { calls: 1, input: 10, output: 5, ..Usage::default() },
        cost: Some(Money::from_cents(cents)),
        ..Charge::default()
    }
}

/// Fails until the given attempt.
async fn until(attempt: u32, retry: midwatch::retry::Retry) -> Result<u32, Exhausted> {
    retry
        .run(|this| async move { if this.number() < attempt { Err(rate_limited()) } else { Ok(this.number()) } })
        .await
}

#[tokio::test]
async fn twice_rate_limited_and_then_fine_takes_about_one_and_two_seconds_whatever_the_seed() {
    for seed in 0..10_000 {
        let clock = VirtualClock::default();
        let pauses = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&pauses);
        let retry = retry(RetryPolicy::default())
            .clock(clock.clone())
            .seed(seed)
            .before_sleep(move |pause| seen.lock().unwrap().push(pause.delay.as_secs_f64()));
        assert_eq!(until(3, retry).await, Ok(3));
        let pauses = pauses.lock().unwrap();
        assert!(
            (0.7..=1.3).contains(&pauses[0]) && (1.4..=2.6).contains(&pauses[1]),
            "seed {seed}: {pauses:?}"
        );
        let total = clock.now().as_micros();
        assert!((2_100_000..=3_900_000).contains(&total), "seed {seed}: {total}");
    }
}

#[tokio::test]
async fn when_all_attempts_fail_the_last_failure_is_the_source() {
    let clock = VirtualClock::default();
    let policy = RetryPolicy::default().jitter(Jitter::None);
    let error = until(99, retry(policy).clock(clock)).await.expect_err("never succeeds");
    assert_eq!((error.attempts, error.stopped_by), (5, StoppedBy::Policy(GiveUp::Attempts)));
    assert_eq!(error.elapsed, Duration::from_secs(1 + 2 + 4 + 8));
    let source = error.source().and_then(|source| source.downcast_ref::<Failure>());
    assert_eq!(source, Some(&rate_limited()));
    let text = "gave up after 5 attempts in 15s, $0.00 spent: all attempts are used up";
    assert_eq!(error.to_string(), text);
}

#[tokio::test]
async fn what_no_wait_cures_is_raised_at_once() {
    for class in [Class::ContextOverflow, Class::InvalidRequest, Class::QuotaExhausted, Class::Bug] {
        let result: Result<(), _> = retry(RetryPolicy::default())
            .clock(VirtualClock::default())
            .run(|_| async move { Err(Failure::new(class, "no")) })
            .await;
        let error = result.expect_err("fails");
        assert_eq!((error.attempts, error.stopped_by), (1, StoppedBy::Policy(GiveUp::Class)), "{class}");
    }
}

#[tokio::test]
async fn a_budget_counts_failed_attempts_and_stops_before_the_next_one() {
    let meter = Meter::new();
    let budget = Money::from_cents(5);
    let retry =
        retry(RetryPolicy::default().attempts(100)).clock(VirtualClock::default()).budget(&meter, budget);
    let result: Result<(), _> = retry
        .run(|attempt| async move {
            attempt.charge(call_for(1));
            Err(rate_limited().charge(call_for(1)))
        })
        .await;
    let error = result.expect_err("the budget is spent");
    assert_eq!((error.attempts, error.stopped_by), (3, StoppedBy::Budget));
    assert_eq!(error.spent.cost, Money::from_cents(6));
    assert_eq!(error.spent.usage.calls, 6);
    assert_eq!(error.last.class, Class::RateLimited);
}

#[tokio::test]
async fn a_budget_that_others_spent_lets_no_attempt_through() {
    let meter = Meter::new();
    meter.charge(&call_for(5));
    let retry =
        retry(RetryPolicy::default()).clock(VirtualClock::default()).budget(&meter, Money::from_cents(5));
    let error = until(1, retry).await.expect_err("nothing is left");
    assert_eq!((error.attempts, error.last.class), (0, Class::Budget));
    assert_eq!(error.spent.cost, Money::ZERO);
}

#[tokio::test]
async fn a_policys_cost_limit_counts_this_run_alone() {
    let meter = Meter::new();
    meter.charge(&call_for(1000));
    let policy = RetryPolicy::default().cost_max(Money::from_cents(2));
    let retry = retry(policy).clock(VirtualClock::default()).budget(&meter, Money::MAX);
    let result: Result<(), _> = retry.run(|_| async move { Err(rate_limited().charge(call_for(1))) }).await;
    let error = result.expect_err("costs too much");
    assert_eq!((error.attempts, error.stopped_by), (2, StoppedBy::Policy(GiveUp::Cost)));
}

#[tokio::test]
async fn a_retry_after_is_never_undercut() {
    let asked = Duration::from_secs(20);
    for seed in 0..1_000 {
        let clock = VirtualClock::default();
        let retry = retry(RetryPolicy::default().attempts(2)).clock(clock.clone()).seed(seed).before_sleep(
            move |pause| {
                assert_eq!(pause.because, DelayReason::RetryAfter);
                assert!(pause.delay >= asked);
            },
        );
        let result: Result<(), _> =
            retry.run(|_| async move { Err(rate_limited().retry_after(asked)) }).await;
        assert!(result.expect_err("fails").elapsed >= asked);
    }
}

#[tokio::test]
async fn hooks_see_every_attempt_and_every_wait_in_order() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = |seen: &Arc<Mutex<Vec<String>>>| {
        let seen = Arc::clone(seen);
        move |text: String| seen.lock().unwrap().push(text)
    };
    let (before, after, sleep) = (note(&seen), note(&seen), note(&seen));
    let retry = retry(RetryPolicy::default().backoff(Backoff::Immediate))
        .clock(VirtualClock::default())
        .before(move |attempt| before(format!("before {}", attempt.number())))
        .after(move |attempt, failure| after(format!("after {} {}", attempt.number(), failure.is_some())))
        .before_sleep(move |pause| sleep(format!("sleep {}", pause.attempt)));
    until(2, retry).await.expect("succeeds");
    assert_eq!(*seen.lock().unwrap(), ["before 1", "after 1 true", "sleep 1", "before 2", "after 2 false"]);
}

#[tokio::test]
async fn a_predicate_overrules_the_class_but_not_the_stops() {
    let of = |class, decide: Option<Retried>| async move {
        let result: Result<(), _> = retry(RetryPolicy::default().attempts(3))
            .clock(VirtualClock::default())
            .retry_if(move |_| decide)
            .run(|_| async move { Err(Failure::new(class, "x")) })
            .await;
        result.expect_err("fails").attempts
    };
    assert_eq!(of(Class::NotFound, Some(Retried::Yes)).await, 3);
    assert_eq!(of(Class::Server, Some(Retried::No)).await, 1);
    assert_eq!(of(Class::Server, None).await, 3);
}

#[tokio::test]
async fn the_caller_can_stop_it() {
    let retry = retry(RetryPolicy::default())
        .clock(VirtualClock::default())
        .stop_when(|attempt, elapsed| attempt.number() >= 2 && elapsed >= Duration::from_millis(500));
    let error = until(9, retry).await.expect_err("is stopped");
    assert_eq!((error.attempts, error.stopped_by), (2, StoppedBy::Caller));
}

#[test]
fn the_blocking_way_decides_alike() {
    let run = |attempts: u32| {
        let clock = VirtualClock::default();
        let result =
            retry(RetryPolicy::default().jitter(Jitter::None)).clock(clock.clone()).run_blocking(|attempt| {
                if attempt.number() < attempts { Err(rate_limited()) } else { Ok(attempt.number()) }
            });
        (result, clock.now().as_micros())
    };
    assert_eq!(run(3), (Ok(3), 3_000_000));
    assert_eq!(run(9).0.expect_err("fails").attempts, 5);
}

#[tokio::test]
async fn an_exhausted_retry_within_a_step_passes_on_as_the_last_failure() {
    async fn step() -> Result<u32, Failure> {
        Ok(until(9, retry(RetryPolicy::default()).clock(VirtualClock::default())).await?)
    }
    let failure = step().await.expect_err("fails");
    assert_eq!((failure.class, failure.attempts), (Class::RateLimited, 5));
}
