//! Runs that ended badly.

use std::time::Duration;

use midwatch_workflow::event::{Note, TimerPurpose};
use midwatch_workflow::{Class, DelayReason, Ended, EventKind, Failure, GiveUp, ParkReason, Resolution};

use super::tale::{Tale, World};
use super::{Incident, variants};
use crate::why::{Cause, Facts, Verdict};

pub(super) fn all() -> Vec<Incident> {
    let failed = |name: &str, cause, tell: fn(u64) -> Facts| variants(name, Verdict::Failed, cause, 3, tell);
    let classes = [
        (Class::RateLimited, 429, Cause::RateLimited),
        (Class::Overloaded, 529, Cause::Overloaded),
        (Class::Server, 500, Cause::Server),
        (Class::Connection, 0, Cause::Connection),
        (Class::Timeout, 0, Cause::Timeout),
        (Class::Stalled, 0, Cause::Stalled),
        (Class::Unknown, 0, Cause::UnknownFailure),
    ];
    let exhausted = classes.into_iter().flat_map(|(class, status, cause)| {
        variants(&format!("exhausted-{class}"), Verdict::Failed, cause, 3, move |n| {
            exhausted(n, class, status)
        })
    });
    let classes = [
        (Class::ContextOverflow, 400, Cause::ContextOverflow),
        (Class::InvalidRequest, 422, Cause::InvalidRequest),
        (Class::Authentication, 401, Cause::Authentication),
        (Class::Permission, 403, Cause::Permission),
        (Class::NotFound, 404, Cause::NotFound),
        (Class::QuotaExhausted, 429, Cause::QuotaExhausted),
        (Class::ContentFiltered, 400, Cause::ContentFiltered),
        (Class::Bug, 0, Cause::Bug),
    ];
    let refused = classes.into_iter().flat_map(|(class, status, cause)| {
        variants(&format!("refused-{class}"), Verdict::Failed, cause, 3, move |n| refused(n, class, status))
    });
    let mut all: Vec<Incident> = exhausted.chain(refused).collect();
    for more in [
        failed("lost", Cause::Lost, lost),
        failed("budget", Cause::BudgetReached, budget),
        failed("cancelled", Cause::Cancelled, cancelled),
        failed("deadline", Cause::DeadlinePassed, deadline),
        failed("ended-by-server", Cause::EndedByServer, ended_by_server),
        failed("signal", Cause::SignalTimedOut, signal),
        failed("child", Cause::ChildFailed, child),
        failed("replayed", Cause::ReplayedFailure, replayed),
        failed("own-error", Cause::WorkflowError, own_error),
    ] {
        all.extend(more);
    }
    all
}

fn failure(class: Class, status: u16, message: &str) -> Failure {
    let failure = Failure::new(class, message);
    if status > 0 { failure.status(status) } else { failure }
}

/// All attempts used up. The last one fails otherwise in odd variants: that is not the first cause.
fn exhausted(n: u64, class: Class, status: u16) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    let step = if n == 2 { world.effect.0 } else { world.call };
    let mut op = tale.ask(step);
    for attempt in 1..=4 {
        let why = failure(class, status, "could not be served");
        op = tale.fail_and_wait(step, op, attempt, why, 2_000, 1_000 << attempt);
    }
    let last = match n % 2 {
        1 if class != Class::Connection => failure(Class::Connection, 0, "connection reset by peer"),
        1 => failure(Class::Server, 502, "bad gateway"),
        _ => failure(class, status, "could not be served"),
    };
    tale.after(2_000).fail(op, last.clone(), Vec::new());
    tale.give_up(step, 5, GiveUp::Attempts);
    tale.end_failed(Failure { attempts: 5, ..last }, 0);
    tale.facts()
}

/// Refused at once. A transient failure came before in odd variants; steps are undone in the third.
fn refused(n: u64, class: Class, status: u16) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    let done = tale.ask(world.effect.0);
    tale.after(900).ok(done, Vec::new());
    let mut op = tale.ask(world.call);
    if n % 2 == 1 {
        op = tale.fail_and_wait(world.call, op, 1, failure(Class::Overloaded, 529, "overloaded"), 400, 1_100);
    }
    let why = failure(class, status, "this will never do");
    tale.after(600).fail(op, why.clone(), Vec::new());
    tale.give_up(world.call, 1, GiveUp::Class);
    let undone = u32::from(n == 3);
    if undone > 0 {
        let op = tale.op();
        let (cause, steps) = (why.clone(), vec![world.effect.1.to_owned()]);
        tale.push(EventKind::Noted { op, note: Note::Compensating { cause, steps } });
        let op = tale.ask_with(world.effect.1, |asked| asked.undoes = Some(done));
        tale.after(700).ok(op, Vec::new());
    }
    tale.end_failed(Failure { attempts: 1, ..why }, undone);
    tale.facts()
}

fn lost(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    let why = Failure::new(Class::Lost, "the process died during the attempt").ambiguous();
    let mut op = tale.ask(world.effect.0);
    for attempt in 1..=10 {
        tale.after(3_000).push(EventKind::Recovered { worker: format!("w{attempt}") });
        tale.fail(op, why.clone(), Vec::new());
        op = tale.again(world.effect.0, attempt + 1, |_| {});
    }
    tale.after(3_000).push(EventKind::Recovered { worker: "w99".to_owned() });
    tale.fail(op, why.clone(), Vec::new());
    tale.give_up(world.effect.0, 11, GiveUp::Lost);
    tale.end_failed(Failure { attempts: 11, ..why }, 0);
    tale.facts()
}

fn budget(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    tale.calls(world.turns + n);
    // The gate before an attempt: no attempt is asked for.
    tale.end_failed(Failure::new(Class::Budget, "run: $0.06 of $0.05 are spent"), 0);
    tale.facts()
}

/// Its server gave it up in the middle of a step, sometimes long after somebody had it cancelled.
fn ended_by_server(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    tale.step(world.effect.0, 900);
    let op = tale.ask(world.call);
    tale.after(20_000 * (n + 1));
    if n % 3 == 1 {
        let (reason, by) = ("ordered twice".to_owned(), "ann".to_owned());
        tale.push(EventKind::CancelRequested { class: Class::Cancelled, reason, by });
    }
    tale.fail(op, Failure::new(Class::Lost, "its run ended without it").ambiguous(), Vec::new());
    let (class, who) = [
        (Class::Cancelled, "terminated at the Temporal server by ann@build-1: it hangs"),
        (Class::Cancelled, "killed at the Restate server"),
        (Class::Timeout, "timed out at the Temporal server"),
    ][usize::try_from(n % 3).unwrap_or(0)];
    let left = format!("no compensation ran, left to do: {} of {}", world.effect.1, world.effect.0);
    tale.end_failed(Failure::new(class, format!("{who}; {left}")).by_server().ambiguous(), 0);
    tale.facts()
}

fn cancelled(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    let op = tale.ask(world.call);
    let op = tale.fail_and_wait(world.call, op, 1, failure(Class::Server, 500, "x"), 300, 1_000);
    tale.after(2_000);
    let by = ["ann", "cli", "parent 0192"][usize::try_from(n % 3).unwrap_or(0)].to_owned();
    tale.push(EventKind::CancelRequested { class: Class::Cancelled, reason: "ordered twice".to_owned(), by });
    tale.push(EventKind::Abandoned { op });
    tale.fail(op, Failure::new(Class::Cancelled, "no longer wanted").ambiguous(), Vec::new());
    tale.end_failed(Failure::new(Class::Cancelled, "ordered twice"), 0);
    tale.facts()
}

/// The run's own limit passed while it waited for its provider.
fn deadline(n: u64) -> Facts {
    let world = World::of(n);
    let limit = Duration::from_secs(300 * n);
    let mut tale = Tale::begin_with(world, n, |start| start.timeout = Some(limit));
    tale.step(world.prepare, 800);
    let op = tale.ask(world.call);
    let busy = failure(Class::RateLimited, 429, "slow down").retry_after(Duration::from_secs(200 * n));
    let op = tale.fail_and_wait(world.call, op, 1, busy.clone(), 300, 200_000 * n);
    tale.after(300).fail(op, busy, Vec::new());
    let timer = tale.wait_to_retry(world.call, 3, 5, 60_000, DelayReason::RetryAfter);
    tale.after(95_000 * n);
    let reason = format!("the run took longer than {limit:?}");
    tale.push(EventKind::CancelRequested {
        class: Class::Timeout,
        reason: reason.clone(),
        by: "deadline".to_owned(),
    });
    tale.push(EventKind::Abandoned { op: timer });
    tale.end_failed(Failure::new(Class::Timeout, reason), 0);
    tale.facts()
}

fn signal(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.usual_work(n);
    tale.await_signal("approve");
    let (op, until) = (tale.op(), tale.at + Duration::from_secs(600 * n));
    tale.push(EventKind::TimerStarted { op, until, purpose: TimerPurpose::SignalTimeout });
    tale.after(600_000 * n).push(EventKind::TimerFired { op });
    tale.end_failed(Failure::new(Class::Timeout, "nobody approved in time"), 0);
    tale.facts()
}

fn child(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    // A decoy: a step that failed and was tried again with success.
    let op = tale.ask(world.call);
    let op = tale.fail_and_wait(world.call, op, 1, failure(Class::Server, 500, "x"), 300, 1_000);
    tale.after(world.call_ms).ok(op, vec![world.charge(n)]);
    let (op, _) = tale.child("settle");
    let why = failure(Class::Authentication, 401, "no such key");
    tale.after(20_000 * n).push(EventKind::ChildEnded { op, result: Ended::Failed(why.clone()) });
    tale.end_failed(why, 0);
    tale.facts()
}

fn own_error(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.usual_work(n);
    let why = ["total is negative", "no candidate is good enough", "cart is empty"];
    let why = why[usize::try_from(n % 3).unwrap_or(0)];
    tale.end_failed(Failure::new(Class::Unknown, why), 0);
    tale.facts()
}

/// A receiver replayed an old failure, and a person said to go on as failed.
fn replayed(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    let op = tale.ask(world.effect.0);
    let first = failure(Class::Server, 500, "internal error").ambiguous();
    let op = tale.fail_and_wait(world.effect.0, op, 1, first, 900, 1_000 * n);
    let why = failure(Class::ReplayedFailure, 500, "the receiver replays an old 500");
    tale.after(300).fail(op, why.clone(), Vec::new());
    tale.park(
        world.effect.0,
        ParkReason::ReplayedFailure,
        "replayed_failure: the receiver replays an old 500",
    );
    let question = tale.events.last().and_then(|event| event.kind.op());
    tale.after(400_000);
    if let Some(op) = question {
        tale.push(EventKind::Resolved { op, resolution: Resolution::Fail, by: "ann".to_owned() });
    }
    tale.give_up(world.effect.0, 2, GiveUp::Class);
    tale.end_failed(Failure { attempts: 2, ..why }, 0);
    tale.facts()
}
