//! Signals, before and after they are waited for.

use std::time::Duration;

use midwatch_workflow::Class;

use crate::hand::{run, step};

#[test]
fn signals_that_came_before_are_taken_first_and_in_their_order() {
    let mut hand = run(|cx| async move {
        cx.step(step("a"), &1).await?;
        let (first, second): (u64, u64) = (cx.signal("n").await?, cx.signal("n").await?);
        Ok(10 * first + second)
    });
    hand.asks();
    assert!(hand.signal("n", 1).is_empty());
    assert!(hand.signal("n", 2).is_empty());
    assert_eq!(hand.ok("step a", 0), ["op 2: signal n", "op 3: signal n"]);
    assert_eq!(hand.output(), 12);
}

#[test]
fn the_oldest_wait_takes_a_signal_and_other_names_do_not() {
    let mut hand = run(|cx| async move {
        let (a, b) =
            futures_util::join!(cx.signal::<u64>("n").into_future(), cx.signal::<u64>("n").into_future());
        Ok(10 * a? + b?)
    });
    hand.asks();
    for (name, payload) in [("other", 9), ("n", 1), ("n", 2)] {
        hand.signal(name, payload);
    }
    assert_eq!(hand.output(), 12);
}

#[test]
fn a_signal_in_time_ends_its_limit() {
    let mut hand = run(|cx| async move { cx.signal("go").within(Duration::from_secs(5)).await });
    assert_eq!(hand.asks(), ["op 1: signal go", "op 2: signal timeout"]);
    assert_eq!(hand.signal("go", 3), ["op 2: abandon"]);
    assert_eq!(hand.output(), 3);
}

#[test]
fn a_signal_that_is_too_late_is_kept_for_the_next_wait() {
    let mut hand = run(|cx| async move {
        let missed = cx.signal::<u64>("go").within(Duration::from_secs(5)).await;
        assert!(missed.is_err_and(|failure| failure.class == Class::Timeout));
        cx.step(step("a"), &1).await?;
        cx.signal("go").await
    });
    hand.asks();
    assert_eq!(hand.fire("signal timeout"), ["op 1: abandon", "op 3: step a#1 attempt 1"]);
    hand.signal("go", 4);
    hand.ok("step a", 1);
    assert_eq!(hand.output(), 4);
}

#[test]
fn a_signal_whose_wait_is_dropped_unread_goes_to_the_next_wait() {
    let mut hand = run(|cx| async move {
        cx.step(step("a"), &1).await?;
        // Asked for, answered at once from the mailbox, and dropped before anybody looked.
        let unread = cx.signal::<u64>("go").into_future();
        let other = cx.signal::<u64>("stop").into_future();
        let first = futures_util::future::select(other, unread).await;
        drop(first);
        cx.signal("go").await
    });
    hand.asks();
    hand.signal("stop", 1);
    hand.signal("go", 2);
    hand.ok("step a", 1);
    assert_eq!(hand.output(), 2);
}
