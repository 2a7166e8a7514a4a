//! Being told to stop.

use midwatch_workflow::{Class, Context, Failure, Outcome, Progress, workflow_fn};

use crate::hand::{run, step};

#[test]
fn a_cancellation_ends_all_that_is_open_and_refuses_what_is_asked_for_after() {
    let mut hand = run(|cx| async move {
        let step_a = cx.step(step("a"), &1).into_future();
        let signal = cx.signal::<u64>("go").into_future();
        let (a, go) = futures_util::join!(step_a, signal);
        assert!(a.is_err_and(|failure| failure.class == Class::Cancelled));
        assert!(go.is_err_and(|failure| failure.class == Class::Cancelled));
        assert_eq!(cx.cancelled().map(|failure| failure.message), Some("enough".to_owned()));
        cx.step(step("b"), &1).await
    });
    hand.asks();
    assert_eq!(hand.cancel(), ["op 1: abandon", "op 2: abandon"]);
    assert_eq!(hand.failure().0.class, Class::Cancelled);
}

#[test]
fn compensations_are_shielded_from_the_cancellation() {
    let mut hand = run(|cx| async move {
        cx.step(step("book"), &1).compensate(step("undo"), |n| n).await?;
        cx.signal("never").await
    });
    hand.asks();
    hand.ok("step book", 5);
    assert_eq!(hand.cancel(), ["op 2: abandon", "op 3: compensating", "op 4: step undo#1 attempt 1"]);
    assert!(hand.cancel().is_empty(), "a second cancellation finds nothing to do");
    assert_eq!(hand.fail("step undo", Class::Server), ["op 5: retry wait of undo#1"]);
    hand.fire("retry wait");
    hand.ok("step undo", 5);
    let (failure, compensated, _) = hand.failure();
    assert_eq!((failure.class, compensated), (Class::Cancelled, 1));
}

#[test]
fn children_are_told_to_stop_once_and_awaited() {
    let mut hand = run(|cx| async move {
        cx.child(workflow_fn("child", |_: Context, _: u64| async move { Ok(1u64) }), &1).await
    });
    assert_eq!(hand.asks().len(), 1);
    assert_eq!(hand.cancel(), ["op 1: cancel child"]);
    assert_eq!(hand.progress, Progress::Waiting, "the child's end is awaited");
    hand.settle(
        "op 1: child",
        Outcome::Child(Err(Failure::new(Class::Cancelled, "its parent was cancelled"))),
    );
    assert_eq!(hand.failure().0.message, "enough", "the cause is what the parent was told");
}

#[test]
fn a_child_that_completes_in_spite_of_the_cancellation_keeps_its_output() {
    let mut hand = run(|cx| async move {
        cx.child(workflow_fn("child", |_: Context, _: u64| async move { Ok(1u64) }), &1).await
    });
    hand.asks();
    hand.cancel();
    hand.settle("op 1: child", Outcome::Child(midwatch_workflow::Payload::of(&8u64)));
    assert_eq!(hand.output(), 8);
}
