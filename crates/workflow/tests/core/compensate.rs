//! Undoing: in which order, what, and what if it fails.

use midwatch_workflow::{Class, Failure, Payload, Progress, Resolution, RetryPolicy};

use crate::hand::{Hand, run, step};

fn undone(hand: &mut Hand) -> Vec<u64> {
    let mut undone = Vec::new();
    while hand.progress == Progress::Waiting {
        let undo = hand.attempt("step undo");
        undone.push(undo.input.read().expect("a number"));
        hand.ok("step undo", 0);
    }
    undone
}

#[test]
fn steps_are_undone_in_the_reverse_order_of_their_start_however_they_ended() {
    let mut hand = run(|cx| async move {
        let book = |n: u64| cx.step(step("book"), &n).compensate(step("undo"), |n| n).into_future();
        let (a, b, c) = futures_util::join!(book(1), book(2), book(3));
        a.and(b).and(c)?;
        cx.step(step("pay"), &1).await
    });
    hand.asks();
    for (step, n) in [("book#2", 2), ("book#3", 3), ("book#1", 1)] {
        hand.ok(step, n);
    }
    hand.fail("step pay", Class::Permission);
    assert_eq!(undone(&mut hand), [3, 2, 1]);
    assert_eq!(hand.failure().1, 3);
}

#[test]
fn a_step_that_failed_has_nothing_to_undo() {
    let mut hand = run(|cx| async move { cx.step(step("book"), &1).compensate(step("undo"), |n| n).await });
    hand.asks();
    hand.fail("step book", Class::Permission);
    assert_eq!(hand.failure().1, 0);
}

fn uncertain() -> Hand {
    run(|cx| async move {
        cx.step(step("charge"), &1).compensate_uncertain(step("undo"), |key| key.len() as u64).await?;
        cx.signal("never").await
    })
}

#[test]
fn an_uncertain_step_is_undone_by_its_key_if_an_attempt_may_have_had_its_effect() {
    let mut hand = uncertain();
    hand.asks();
    let key = hand.attempt("step charge").key.len() as u64;
    hand.end("step charge", Err(Failure::new(Class::Timeout, "no answer").ambiguous()));
    hand.fire("retry wait");
    hand.fail("step charge", Class::Permission);
    assert_eq!(undone(&mut hand), [key]);
}

#[test]
fn an_uncertain_step_that_failed_for_certain_every_time_is_not_undone() {
    let mut hand = uncertain();
    hand.asks();
    hand.fail("step charge", Class::Server);
    hand.fire("retry wait");
    hand.fail("step charge", Class::Permission);
    assert_eq!(hand.failure().1, 0);
}

#[test]
fn an_uncertain_step_that_is_cancelled_between_two_certain_failures_is_not_undone() {
    let mut hand = uncertain();
    hand.asks();
    hand.fail("step charge", Class::Server);
    hand.cancel();
    assert_eq!((hand.failure().0.class, hand.failure().1), (Class::Cancelled, 0));
}

#[test]
fn an_uncertain_step_that_is_cut_under_way_is_undone() {
    let mut hand = uncertain();
    hand.asks();
    hand.cancel();
    assert_eq!(undone(&mut hand).len(), 1);
}

#[test]
fn an_uncertain_step_that_succeeded_is_undone_like_any_other() {
    let mut hand = uncertain();
    hand.asks();
    hand.ok("step charge", 1);
    hand.cancel();
    assert_eq!(undone(&mut hand).len(), 1);
}

#[test]
fn a_certain_compensation_replaces_the_uncertain_one_of_its_step() {
    let mut hand = run(|cx| async move {
        cx.step(step("charge"), &1)
            .compensate_uncertain(step("undo"), |_| 1)
            .compensate(step("undo"), |charge| 100 + charge)
            .await?;
        cx.signal("never").await
    });
    hand.asks();
    hand.ok("step charge", 5);
    hand.cancel();
    assert_eq!(undone(&mut hand), [105]);
}

fn failing_undo() -> Hand {
    let mut hand = run(|cx| async move {
        cx.step(step("book"), &1).compensate(step("undo"), |n| n).await?;
        cx.step(step("book"), &2).compensate(step("undo"), |n| n).await?;
        cx.signal("never").await
    });
    hand.asks();
    hand.ok("step book", 1);
    hand.ok("step book#2", 2);
    hand.cancel();
    hand.fail("step undo", Class::Permission);
    hand
}

#[test]
fn a_compensation_that_a_person_has_tried_again_keeps_its_key() {
    let mut hand = failing_undo();
    let key = hand.attempt("step undo").key.clone();
    let asked = hand.resolve(Resolution::Retry);
    assert_eq!(asked.last().map(String::as_str), Some("op 8: step undo#1 attempt 2"));
    assert_eq!(hand.attempt("step undo").key, key);
    // The policy begins anew: three more attempts.
    for _ in 0..2 {
        hand.fail("step undo", Class::Server);
        hand.fire("retry wait");
    }
    let asked = hand.fail("step undo", Class::Server);
    assert!(asked.iter().any(|op| op.contains("park")), "{asked:?}");
}

#[test]
fn a_compensation_that_was_lost_too_often_may_be_lost_again_once_a_person_has_tried_it_again() {
    let mut hand = failing_undo();
    hand.resolve(Resolution::Retry);
    let mut asked = Vec::new();
    for _ in 0..=RetryPolicy::default().lost_max {
        asked = hand.fail("step undo", Class::Lost);
    }
    assert!(asked.iter().any(|op| op.contains("park")), "{asked:?}");
    hand.resolve(Resolution::Retry);
    let asked = hand.fail("step undo", Class::Lost);
    assert!(asked.iter().any(|op| op.contains("step undo")), "{asked:?}");
}

#[test]
fn a_compensation_that_is_done_by_hand_counts_as_undone_and_one_given_up_does_not() {
    let mut hand = failing_undo();
    hand.resolve(Resolution::Done(Payload::null()));
    hand.fail("step undo", Class::Permission);
    hand.resolve(Resolution::Fail);
    let (_, compensated, resolved) = hand.failure();
    assert_eq!((compensated, resolved), (1, 1));
}

#[test]
fn a_compensation_by_hand_outlives_the_failure_of_a_step_that_was_under_way() {
    let mut hand = run(|cx| async move {
        let by_hand = async {
            cx.compensate(step("undo"), &7)?;
            cx.signal::<u64>("never").await
        };
        let (paid, never) = futures_util::join!(cx.step(step("pay"), &1).into_future(), by_hand);
        paid.and(never)
    });
    hand.asks();
    hand.fail("step pay", Class::Permission);
    hand.cancel();
    assert_eq!(undone(&mut hand), [7]);
}

#[test]
fn unwinding_by_hand_undoes_and_goes_on() {
    let mut hand = run(|cx| async move {
        cx.step(step("book"), &1).compensate(step("undo"), |n| n).await?;
        cx.compensate(step("undo"), &7)?;
        cx.unwind(Failure::new(Class::NotFound, "another way")).await;
        cx.step(step("walk"), &3).await
    });
    hand.asks();
    hand.ok("step book", 1);
    let mut order = Vec::new();
    for _ in 0..2 {
        order.push(hand.attempt("step undo").input.read::<u64>().expect("a number"));
        hand.ok("step undo", 0);
    }
    assert_eq!(order, [7, 1]);
    hand.ok("step walk", 3);
    assert_eq!(hand.output(), 3);
}
