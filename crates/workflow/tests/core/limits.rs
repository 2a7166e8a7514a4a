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
    let (wakers, foreign) = std::sync::mpsc::channel();
    let mut hand = run(move |cx| {
        let wakers = wakers.clone();
        async move {
            let alarm = std::future::poll_fn(move |task| {
                wakers.send(task.waker().clone()).unwrap();
                Poll::<()>::Pending
            });
            let step = cx.step(step("a"), &1).into_future();
            futures_util::future::select(Box::pin(alarm), step).await;
            Ok(0)
        }
    });
    hand.asks();
    assert_eq!(hand.progress, Progress::Waiting);
    // Another thread wakes the run while nobody polls it.
    let waker: std::task::Waker = foreign.recv().unwrap();
    std::thread::spawn(move || waker.wake()).join().unwrap();
    hand.asks();
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
