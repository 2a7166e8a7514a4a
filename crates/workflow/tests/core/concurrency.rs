//! Calls as futures: joined, raced, collected, dropped.

use std::time::Duration;

use futures_util::future::{Either, join_all, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use midwatch_workflow::{Class, Outcome, Payload, Progress};

use crate::hand::{Seen, run, step};

#[test]
fn joined_steps_are_asked_for_together_and_may_end_in_any_order() {
    let mut hand = run(|cx| async move {
        let (a, b) =
            futures_util::join!(cx.step(step("a"), &1).into_future(), cx.step(step("b"), &2).into_future());
        Ok(10 * a? + b?)
    });
    assert_eq!(hand.asks(), ["op 1: step a#1 attempt 1", "op 2: step b#1 attempt 1"]);
    assert!(hand.ok("step b", 2).is_empty());
    assert_eq!(hand.progress, Progress::Waiting);
    hand.ok("step a", 1);
    assert_eq!(hand.output(), 12);
}

#[test]
fn join_all_keeps_the_order_of_asking() {
    let mut hand = run(|cx| async move {
        let all = join_all((0..3).map(|n| cx.step(step("a"), &n).into_future())).await;
        Ok(all.into_iter().map(|n| n.unwrap_or(9)).fold(0, |sum, n| 10 * sum + n))
    });
    assert_eq!(hand.asks().len(), 3);
    for (step, output) in [("a#3", 3), ("a#1", 1), ("a#2", 2)] {
        hand.ok(step, output);
    }
    assert_eq!(hand.output(), 123);
}

#[test]
fn futures_unordered_gives_ends_in_the_order_in_which_they_came() {
    let mut hand = run(|cx| async move {
        let mut all: FuturesUnordered<_> = (0..3).map(|n| cx.step(step("a"), &n).into_future()).collect();
        let mut order = 0;
        while let Some(n) = all.next().await {
            order = 10 * order + n?;
        }
        Ok(order)
    });
    hand.asks();
    for (step, output) in [("a#2", 2), ("a#3", 3), ("a#1", 1)] {
        hand.ok(step, output);
    }
    assert_eq!(hand.output(), 231);
}

#[test]
fn ends_that_come_together_are_seen_one_by_one() {
    let seen = Seen::default();
    let for_run = seen.clone();
    let mut hand = run(move |cx| {
        let seen = for_run.clone();
        async move {
            let mut all: FuturesUnordered<_> = (0..3).map(|n| cx.step(step("a"), &n).into_future()).collect();
            while let Some(n) = all.next().await {
                seen.note(format!("{} at {}", n?, cx.now()));
            }
            Ok(0)
        }
    });
    hand.asks();
    for (op, output) in [(3, 3u64), (1, 1), (2, 2)] {
        let outcome = Outcome::Attempt(Payload::of(&output), vec![]);
        hand.execution.settle(midwatch_workflow::OpId(op), outcome, hand.now + Duration::from_secs(output));
    }
    hand.asks();
    // The clock of a workflow does not step back, whatever the engine's does.
    let told: Vec<String> = seen.all().iter().map(|line| line.replace("1790000", "")).collect();
    assert_eq!(told, ["3 at 003.000000", "1 at 003.000000", "2 at 003.000000"]);
}

#[test]
fn the_loser_of_a_race_is_abandoned() {
    let mut hand = run(|cx| async move {
        let step = cx.step(step("slow"), &1).into_future();
        let limit = cx.sleep(Duration::from_secs(5));
        match select(step, limit).await {
            Either::Left((output, _)) => output,
            Either::Right((slept, _)) => slept.map(|()| 7),
        }
    });
    assert_eq!(hand.asks(), ["op 1: step slow#1 attempt 1", "op 2: sleep"]);
    assert_eq!(hand.fire("sleep"), ["op 1: abandon"]);
    assert_eq!(hand.output(), 7);
}

#[test]
fn a_step_that_is_dropped_while_it_waits_for_its_retry_abandons_the_wait() {
    let mut hand = run(|cx| async move {
        let step = cx.step(step("flaky"), &1).into_future();
        let enough = cx.signal::<u64>("enough").into_future();
        match select(step, enough).await {
            Either::Left((output, _)) => output,
            Either::Right((enough, _)) => enough,
        }
    });
    hand.asks();
    assert_eq!(hand.fail("step flaky", Class::Server), ["op 3: retry wait of flaky#1"]);
    assert_eq!(hand.signal("enough", 5), ["op 3: abandon"]);
    assert_eq!(hand.output(), 5);
}

#[test]
fn an_end_that_comes_after_the_step_was_dropped_changes_nothing() {
    let mut hand = run(|cx| async move {
        let step = cx.step(step("slow"), &1).into_future();
        drop(select(step, cx.signal::<u64>("enough").into_future()).await);
        cx.signal("end").await
    });
    hand.asks();
    hand.signal("enough", 1);
    assert!(hand.ok("step slow", 9).is_empty());
    hand.signal("end", 2);
    assert_eq!(hand.output(), 2);
}

#[test]
fn the_context_joins_all_and_gives_the_first_failure_in_order() {
    let mut hand = run(|cx| async move {
        let all =
            cx.join_all([cx.step(step("a"), &1), cx.step(step("b"), &2), cx.step(step("c"), &3)]).await?;
        Ok(all.len() as u64)
    });
    hand.asks();
    hand.fail("step c", Class::NotFound);
    hand.fail("step b", Class::Permission);
    assert_eq!(hand.progress, Progress::Waiting, "none is dropped half-way");
    hand.ok("step a", 1);
    assert_eq!(hand.failure().0.class, Class::Permission);
}
