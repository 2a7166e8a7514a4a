//! What stays the same when a run is rebuilt: values, and sides of a change.

use std::time::Duration;

use midwatch_workflow::event::ForkedFrom;
use midwatch_workflow::{OpId, Outcome, Payload, Recorded, RunId, RunStarted};

use crate::hand::{Hand, START, Seen, run_as, started, step};

fn drawing(seen: &Seen, start: RunStarted) -> Hand {
    let seen = seen.clone();
    run_as(
        move |cx| {
            let seen = seen.clone();
            async move {
                for _ in 0..2 {
                    seen.note(format!("{} {} {}", cx.random(), cx.uuid(), cx.now()));
                    cx.step(step("a"), &1).await?;
                }
                Ok(0)
            }
        },
        start,
        Recorded::default(),
    )
}

fn play(start: RunStarted) -> Vec<String> {
    let seen = Seen::default();
    let mut hand = drawing(&seen, start);
    hand.asks();
    hand.now = START + Duration::from_secs(9);
    hand.ok("step a", 1);
    seen.all()
}

#[test]
fn now_random_and_uuid_are_the_same_whenever_the_same_happens() {
    let (once, again) = (play(started()), play(started()));
    assert_eq!(once, again);
    assert_eq!(once.len(), 2);
    assert_ne!(once[0], once[1]);
    let other = play(RunStarted { run: RunId::new(START, [8; 10]), ..started() });
    assert_ne!(once, other, "another run draws others");
}

#[test]
fn a_fork_draws_what_its_parent_drew_and_has_its_clock() {
    let parent = started();
    let forked_from = Some(ForkedFrom { run: parent.run, event: 3, origin_at: START, origin: parent.run });
    let fork = RunStarted { run: RunId::new(START, [9; 10]), forked_from, ..started() };
    assert_eq!(play(fork), play(parent));
}

fn patching(recorded: Recorded) -> Hand {
    run_as(
        |cx| async move {
            cx.step(step("a"), &1).await?;
            if cx.patched("greet") {
                cx.step(step("greet"), &1).await?;
            }
            // Asked again, it says the same.
            let again = u64::from(cx.patched("greet"));
            cx.step(step("b"), &again).await
        },
        started(),
        recorded,
    )
}

#[test]
fn a_new_run_takes_the_new_side_of_a_change_and_says_so() {
    let mut hand = patching(Recorded::default());
    hand.asks();
    assert_eq!(hand.ok("step a", 1), ["op 2: patch greet", "op 3: step greet#1 attempt 1"]);
    assert_eq!(hand.ok("step greet", 1), ["op 4: step b#1 attempt 1"]);
}

#[test]
fn a_run_that_had_come_further_keeps_to_the_old_side() {
    // The journal records `a` and `b`; the code has learned to greet since.
    let mut hand = patching(Recorded { ops: 2, ..Recorded::default() });
    hand.asks();
    assert_eq!(hand.ok("step a", 1), ["op 2: step b#1 attempt 1"]);
}

#[test]
fn a_run_that_had_not_come_so_far_takes_the_new_side() {
    let mut hand = patching(Recorded { ops: 1, ..Recorded::default() });
    hand.asks();
    assert_eq!(hand.ok("step a", 1), ["op 2: patch greet", "op 3: step greet#1 attempt 1"]);
}

#[test]
fn a_run_that_took_the_new_side_takes_it_on_replay() {
    let mut hand = patching(Recorded { ops: 4, patches: ["greet".to_owned()].into() });
    hand.asks();
    assert_eq!(hand.ok("step a", 1), ["op 2: patch greet", "op 3: step greet#1 attempt 1"]);
}

#[test]
fn what_comes_after_the_end_leaves_it_as_it_was() {
    let mut hand = run_as(|_| async move { Ok(3) }, started(), Recorded::default());
    hand.asks();
    assert_eq!(hand.output(), 3);
    hand.execution.settle(OpId(1), Outcome::Attempt(Payload::of(&1u64), vec![]), hand.now);
    hand.asks();
    assert_eq!(hand.output(), 3);
}
