//! What a workflow must not do, and what comes of it.

use std::task::Poll;

use futures_util::future::join_all;
use midwatch_workflow::{Class, OPS_PENDING_MAX, Payload, Progress, StepContext, step_fn};

use crate::hand::{run, step};

#[test]
fn a_run_that_waits_for_nothing_that_could_come_is_stray() {
    let mut hand = run(|cx| async move {
        cx.step(step("a"), &1).await?;
        std::future::pending().await
    });
    hand.asks();
    assert_eq!(hand.progress, Progress::Waiting);
    hand.ok("step a", 1);
    assert_eq!(hand.progress, Progress::Stray);
}

#[test]
fn a_run_that_something_foreign_wakes_is_stray() {
    let mut hand = run(|cx| async move {
        let mut foreign = None;
        let alarm = std::future::poll_fn(move |task| {
            let waker = task.waker().clone();
            foreign.get_or_insert_with(|| std::thread::spawn(move || waker.wake()));
            Poll::<()>::Pending
        });
        let step = cx.step(step("a"), &1).into_future();
        futures_util::future::select(Box::pin(alarm), step).await;
        Ok(0)
    });
    hand.asks();
    // The other thread wakes the run when it gets to it; looking again finds out.
    while hand.progress == Progress::Waiting {
        std::thread::yield_now();
        hand.asks();
    }
    assert_eq!(hand.progress, Progress::Stray);
}

#[test]
fn a_panic_is_caught_with_its_message() {
    let mut hand = run(|cx| async move {
        let n = cx.step(step("a"), &1).await?;
        assert!(n > 5, "{n} is too small");
        Ok(n)
    });
    hand.asks();
    hand.ok("step a", 3);
    assert_eq!(hand.progress, Progress::Panicked("3 is too small".to_owned()));
}

#[test]
fn a_step_is_not_even_asked_for_with_an_input_over_the_limit() {
    let mut hand = run(|cx| async move {
        let take = step_fn("take", |_: StepContext, _: String| async move { Ok(0u64) });
        cx.step(take, &"x".repeat(Payload::BYTES_MAX)).await
    });
    assert!(hand.asks().is_empty());
    assert_eq!(hand.failure().0.class, Class::InvalidRequest);
}

#[test]
fn no_run_has_more_operations_under_way_than_the_limit() {
    let mut hand = run(|cx| async move {
        let all = join_all((0..=OPS_PENDING_MAX as u64).map(|n| cx.step(step("a"), &n).into_future())).await;
        let refused =
            all.into_iter().filter_map(Result::err).filter(|failure| failure.class == Class::InvalidRequest);
        Ok(refused.count() as u64)
    });
    assert_eq!(hand.asks().len(), OPS_PENDING_MAX);
    for op in 1..=OPS_PENDING_MAX {
        let outcome = midwatch_workflow::Outcome::Attempt(midwatch_workflow::Payload::of(&1u64), vec![]);
        hand.execution.settle(midwatch_workflow::OpId(op as u32), outcome, hand.now);
    }
    hand.asks();
    assert_eq!(hand.output(), 1);
}
