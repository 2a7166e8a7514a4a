//! Budgets: the gate before every attempt.

use midwatch_workflow::{
    Budget, Charge, Class, Money, OnReached, Outcome, Payload, Progress, Recorded, Resolution, Usage,
};

use crate::hand::{Hand, run_as, step, with_budget};

fn spend(hand: &mut Hand, what: &str, cents: u64) -> Vec<String> {
    let usage = Usage { calls: 1, input: 10, ..Usage::default() };
    let charge = Charge { cost: Some(Money::from_cents(cents)), usage, ..Charge::default() };
    hand.settle(what, Outcome::Attempt(Payload::of(&1u64), vec![charge]))
}

fn two_steps(budget: Budget) -> Hand {
    let mut hand = run_as(
        |cx| async move {
            cx.step(step("a"), &1).compensate(step("undo"), |n| n).await?;
            cx.step(step("b"), &2).await
        },
        with_budget(budget),
        Recorded::default(),
    );
    hand.asks();
    hand
}

#[test]
fn a_run_that_has_spent_its_budget_waits_for_a_person_and_goes_on_when_it_is_raised() {
    let mut hand = two_steps(Budget::usd(Money::from_cents(10)));
    assert_eq!(spend(&mut hand, "step a", 10), ["op 2: park budget"]);
    assert_eq!(hand.execution.spent().cost, Money::from_cents(10));
    hand.execution.raise_budget(Money::from_cents(10), 0, hand.now);
    assert!(hand.asks().is_empty(), "raising alone answers no question");
    assert_eq!(hand.resolve(Resolution::Retry), ["op 3: step b#1 attempt 1"]);
    hand.ok("step b", 2);
    assert_eq!(hand.output(), 2);
}

#[test]
fn a_run_that_is_let_go_on_without_more_budget_asks_again() {
    let mut hand = two_steps(Budget::usd(Money::from_cents(10)));
    spend(&mut hand, "step a", 10);
    assert_eq!(hand.resolve(Resolution::Retry), ["op 3: park budget"]);
    assert_eq!(hand.progress, Progress::Waiting);
}

#[test]
fn a_step_that_a_person_did_by_hand_instead_gives_the_persons_output() {
    let mut hand = two_steps(Budget::usd(Money::from_cents(10)));
    spend(&mut hand, "step a", 10);
    assert!(hand.resolve(Resolution::Done(Payload::of(&42u64).expect("a number"))).is_empty());
    assert_eq!(hand.output(), 42);
}

#[test]
fn a_budget_that_is_to_fail_the_run_does_and_undoing_costs_what_it_costs() {
    let limit = Budget { on_reached: OnReached::Fail, ..Budget::usd(Money::from_cents(10)) };
    let mut hand = two_steps(limit);
    assert_eq!(spend(&mut hand, "step a", 12), ["op 2: compensating", "op 3: step undo#1 attempt 1"]);
    hand.ok("step undo", 1);
    let (failure, compensated, _) = hand.failure();
    assert_eq!((failure.class, compensated), (Class::Budget, 1));
}

#[test]
fn tokens_have_a_budget_too() {
    let mut hand = two_steps(Budget { tokens: Some(10), ..Budget::default() });
    assert_eq!(spend(&mut hand, "step a", 0), ["op 2: park budget"]);
}
