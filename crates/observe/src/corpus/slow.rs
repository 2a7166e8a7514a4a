//! Runs that are slow.

use std::time::Duration;

use midwatch_workflow::event::{Note, WaitReason};
use midwatch_workflow::{Class, Ended, EventKind, Failure, Payload, Resolution};

use super::tale::{Tale, World, draw};
use super::{Incident, variants};
use crate::run::Status;
use crate::why::{Cause, Facts, Relative, Verdict};

pub(super) fn all() -> Vec<Incident> {
    let slow = |name: &str, cause, tell: fn(u64) -> Facts| variants(name, Verdict::Slow, cause, 4, tell);
    [
        slow("retry-after", Cause::RetryAfter, retry_after),
        slow("rate-limits", Cause::RetryRateLimited, |n| retries(n, Class::RateLimited, 429, 200)),
        slow("overloaded", Cause::RetryOverloaded, |n| retries(n, Class::Overloaded, 529, 900)),
        slow("server-errors", Cause::RetryServer, |n| retries(n, Class::Server, 500, 1_500)),
        slow("connections", Cause::RetryConnection, |n| retries(n, Class::Connection, 0, 3_000)),
        slow("short-timeouts", Cause::RetryTimeout, |n| retries(n, Class::Timeout, 0, 2_000)),
        slow("unknown-failures", Cause::RetryUnknown, |n| retries(n, Class::Unknown, 0, 700)),
        slow("long-sleep", Cause::LongSleep, long_sleep),
        slow("a-little-of-everything", Cause::Unknown, a_little_of_everything),
        slow("all-kinds-of-failures", Cause::RetryMixed, all_kinds),
        slow("timeouts", Cause::TimeoutsBurned, timeouts),
        slow("gate", Cause::GateClosed, |n| held(n, WaitReason::Gate)),
        slow("queue", Cause::QueueBacklog, |n| held(n, WaitReason::Queue)),
        slow("one-attempt", Cause::SlowAttempt, one_attempt),
        slow("one-attempt-goes-on", Cause::SlowAttempt, one_attempt_goes_on),
        slow("everything-slower", Cause::SlowSteps, everything_slower),
        slow("more-turns", Cause::MoreSteps, more_turns),
        slow("child", Cause::SlowChild, child),
        slow("compensation", Cause::Compensation, compensation),
        slow("pause", Cause::HeldByPause, pause),
        slow("restart", Cause::ProcessDown, restart),
        slow("approval-came-late", Cause::LateSignal, late_signal),
        slow("answer-came-late", Cause::LateAnswer, late_answer),
        slow("no-history-but-rate-limits", Cause::RetryRateLimited, no_history),
    ]
    .concat()
}

/// A provider asks for long waits; odd variants are still waiting.
fn retry_after(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    tale.calls(n % 2);
    let op = tale.ask(world.call);
    let wait = 60_000 + draw(n) % 40_000;
    let busy = Failure::new(Class::RateLimited, "rate limit reached")
        .status(429)
        .retry_after(Duration::from_millis(wait));
    let op = tale.fail_and_wait(world.call, op, 1, busy.clone(), 300, wait);
    let op = tale.fail_and_wait(world.call, op, 2, busy.clone(), 300, wait + 2_000);
    // A decoy: one of the failures is of another kind.
    let op =
        tale.fail_and_wait(world.call, op, 3, Failure::new(Class::Server, "oops").status(500), 400, 1_500);
    if n % 2 == 1 {
        tale.after(350).fail(op, busy, Vec::new());
        tale.wait_to_retry(world.call, 5, 8, wait, midwatch_workflow::DelayReason::RetryAfter);
        tale.after(wait / 3);
    } else {
        tale.after(world.call_ms).ok(op, vec![world.charge(n)]);
        tale.calls(world.turns - 1);
        tale.step(world.effect.0, 900);
        tale.complete();
    }
    let others = (0..n * 3).map(|other| {
        tale.neighbour(other, |run| {
            run.target = Some(world.model.to_owned());
            run.class = Some(Class::RateLimited);
        })
    });
    let neighbours = others.collect();
    Facts { neighbours, ..tale.facts() }
}

/// Failures of one kind with growing waits, spread over several uses of the step.
fn retries(n: u64, class: Class, status: u16, took: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    for turn in 0..2 {
        let mut op = tale.ask(world.call);
        for attempt in 1..=4 + u32::try_from(turn).unwrap_or(0) {
            let failure = Failure::new(class, "not now");
            let failure = if status > 0 { failure.status(status) } else { failure };
            let wait = (4_000 << attempt.min(5)) + draw(n + turn) % 2_000;
            op = tale.fail_and_wait(world.call, op, attempt, failure, took, wait);
        }
        if turn == 1 && n.is_multiple_of(2) {
            tale.after(took).fail(op, Failure::new(class, "not now").status(status.max(500)), Vec::new());
            tale.wait_to_retry(world.call, 7, 8, 60_000, midwatch_workflow::DelayReason::Backoff);
            tale.after(20_000);
            return tale.facts();
        }
        tale.after(world.call_ms).ok(op, vec![world.charge(turn)]);
    }
    tale.step(world.effect.0, 900);
    tale.complete();
    tale.facts()
}

fn all_kinds(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    let kinds =
        [(Class::Server, 500), (Class::Connection, 0), (Class::Overloaded, 529), (Class::RateLimited, 429)];
    let mut op = tale.ask(world.call);
    for (attempt, (class, status)) in (1..).zip(kinds) {
        let failure = Failure::new(class, "no luck");
        let failure = if status > 0 { failure.status(status) } else { failure };
        op = tale.fail_and_wait(
            world.call,
            op,
            attempt,
            failure,
            700,
            45_000 + draw(n + u64::from(attempt)) % 5_000,
        );
    }
    tale.after(world.call_ms).ok(op, vec![world.charge(n)]);
    tale.calls(world.turns - 1);
    tale.step(world.effect.0, 900);
    tale.complete();
    tale.facts()
}

/// Attempts run into their limit; in even variants it is the heartbeat's.
fn timeouts(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    let mut op = tale.ask(world.call);
    let (class, what) =
        if n.is_multiple_of(2) { (Class::Stalled, "no heartbeat") } else { (Class::Timeout, "no answer") };
    for attempt in 1..=3 {
        let failure = Failure::new(class, what).ambiguous();
        op =
            tale.fail_and_wait(world.call, op, attempt, failure, 60_000 + 20_000 * (n % 3), 2_000 << attempt);
    }
    if n > 2 {
        tale.after(world.call_ms / 2);
        return tale.facts();
    }
    tale.after(world.call_ms).ok(op, vec![world.charge(n)]);
    tale.calls(world.turns - 1);
    tale.step(world.effect.0, 900);
    tale.complete();
    tale.facts()
}

/// Attempts are held back, some minutes in all; there were a few retries too.
fn held(n: u64, why: WaitReason) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    for turn in 0..world.turns {
        let op = tale.ask_held(world.call, why);
        let wait = 70_000 + draw(n + turn) % 60_000;
        tale.after(wait);
        if turn == 1 && n % 2 == 1 {
            let others = (0..7).map(|other| {
                tale.neighbour(other, |run| {
                    run.queue = Some(world.queue.to_owned());
                    run.target = Some(world.model.to_owned());
                    run.held = (other > 1).then_some(why);
                })
            });
            let neighbours = others.collect();
            return Facts { neighbours, ..tale.facts() };
        }
        tale.start(op);
        let busy = Failure::new(Class::RateLimited, "slow down").status(429);
        let op = if turn == 0 { tale.fail_and_wait(world.call, op, 1, busy, 200, 1_300) } else { op };
        tale.after(world.call_ms).ok(op, vec![world.charge(turn)]);
    }
    tale.step(world.effect.0, 900);
    tale.complete();
    tale.facts()
}

fn one_attempt(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    tale.calls(world.turns - 1);
    let op = tale.ask(world.call);
    tale.after(180_000 + draw(n) % 90_000).ok(op, vec![world.charge(n)]);
    tale.step(world.effect.0, 900);
    tale.complete();
    tale.facts()
}

/// One attempt has run far longer than usual, but not so long that it is silent, or it says that it makes progress.
fn one_attempt_goes_on(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    tale.calls(1);
    let op = tale.ask(world.call);
    if n.is_multiple_of(2) {
        for page in 0..8u64 {
            tale.after(55_000);
            let progress = Payload::of(&format!("page {page}/9")).unwrap_or(Payload::null());
            tale.push(EventKind::Heartbeat { op, progress, charges: Vec::new() });
        }
        tale.after(40_000);
    } else {
        tale.after(200_000 + draw(n) % 60_000);
    }
    tale.facts()
}

fn everything_slower(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 900);
    for turn in 0..world.turns {
        let op = tale.ask(world.call);
        tale.after(world.call_ms * (4 + draw(n + turn) % 2)).ok(op, vec![world.charge(turn)]);
    }
    tale.step(world.effect.0, 900);
    tale.complete();
    tale.facts()
}

/// A loop that does not find its end.
fn more_turns(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    let turns = world.turns * 4 + n;
    for turn in 0..turns {
        // Cheap calls, so that it is the time that strikes.
        let op = tale.ask(world.call);
        tale.after(world.call_ms).ok(op, vec![world.charge_of(world.model, 1_500, 60, 750 + turn)]);
    }
    if n % 2 == 1 {
        tale.ask(world.call);
        tale.after(world.call_ms / 3);
        return tale.facts();
    }
    tale.step(world.effect.0, 900);
    tale.complete();
    tale.facts()
}

/// The child usually takes seconds; this one takes minutes and moves.
fn child(n: u64) -> Facts {
    let world = World::of(n);
    let usual = world.usual_with(30, |tale, _| {
        let (op, _) = tale.child("render");
        tale.after(5_000).push(EventKind::ChildEnded { op, result: Ended::Ok(Payload::null()) });
    });
    let mut tale = Tale::begin(world, n);
    tale.usual_work(n);
    let (op, run) = tale.child("render");
    tale.after(240_000 + draw(n) % 60_000);
    if n.is_multiple_of(2) {
        tale.push(EventKind::ChildEnded { op, result: Ended::Ok(Payload::null()) });
        tale.complete();
        return tale.facts_with(usual);
    }
    let mut row = tale.neighbour(1, |run| run.doing = "encode attempt 2".to_owned());
    row.run = run;
    Facts { children: vec![Relative { run: row, answer: None }], ..tale.facts_with(usual) }
}

/// Undoing takes its time, and is not over.
fn compensation(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    let done = tale.ask(world.effect.0);
    tale.after(900).ok(done, Vec::new());
    let op = tale.ask("notify");
    let cause = Failure::new(Class::InvalidRequest, "no such address").status(422);
    tale.after(300).fail(op, cause.clone(), Vec::new());
    tale.give_up("notify", 1, midwatch_workflow::GiveUp::Class);
    let note = tale.op();
    let steps = vec![world.effect.1.to_owned()];
    tale.push(EventKind::Noted { op: note, note: Note::Compensating { cause, steps } });
    let mut op = tale.ask_with(world.effect.1, |asked| asked.undoes = Some(done));
    for attempt in 1..=3 {
        op = tale.fail_and_wait(
            world.effect.1,
            op,
            attempt,
            Failure::new(Class::Server, "down").status(503),
            500,
            40_000 + 9_000 * n,
        );
    }
    let _ = op;
    tale.after(4_000);
    tale.facts()
}

fn pause(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    tale.calls(1);
    let by = ["ann", "bob", "deploy-bot", "cli"][usize::try_from(n % 4).unwrap_or(0)].to_owned();
    tale.push(EventKind::Paused { reason: "the bank is down".to_owned(), by: by.clone() });
    let op = tale.ask_held(world.call, WaitReason::Paused);
    tale.after(600_000 + draw(n)).push(EventKind::Resumed { by });
    tale.start(op);
    tale.after(world.call_ms).ok(op, vec![world.charge(n)]);
    tale.step(world.effect.0, 900);
    tale.complete();
    tale.facts()
}

fn restart(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    let op = tale.ask(world.call);
    tale.after(world.call_ms / 2 + 400_000 + draw(n));
    tale.push(EventKind::Recovered { worker: "w2".to_owned() });
    tale.fail(op, Failure::new(Class::Lost, "the process died during the attempt").ambiguous(), Vec::new());
    let op = tale.again(world.call, 2, |_| {});
    tale.after(world.call_ms).ok(op, vec![world.charge(n)]);
    tale.calls(world.turns - 1);
    tale.step(world.effect.0, 900);
    tale.complete();
    tale.facts()
}

fn late_signal(n: u64) -> Facts {
    let world = World::of(n);
    let usual = world.usual_with(30, |tale, n| {
        tale.await_signal("approve");
        tale.after(50_000 + draw(n) % 60_000).signal("approve");
    });
    let mut tale = Tale::begin(world, n);
    tale.usual_work(n);
    tale.await_signal("approve");
    tale.after(900_000 + draw(n)).signal("approve");
    tale.step("deliver", 500);
    tale.complete();
    tale.facts_with(usual)
}

fn late_answer(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    tale.calls(world.turns);
    tale.park(world.call, midwatch_workflow::ParkReason::Budget, "run: $0.50 of $0.50 are spent");
    let question = midwatch_workflow::OpId(u32::try_from(world.turns).unwrap_or(0) + 2);
    tale.after(1_800_000 + draw(n));
    tale.push(EventKind::Resolved { op: question, resolution: Resolution::Retry, by: "ann".to_owned() });
    tale.step(world.effect.0, 900);
    tale.complete();
    tale.facts()
}

/// The first run of a new workflow, and most of its time is waits.
fn no_history(n: u64) -> Facts {
    let Facts { events, now, owner, .. } = retries(n, Class::RateLimited, 429, 200);
    Facts { owner, ..Facts::new(events, now) }
}

/// A row of a child that has ended or stands somewhere.
pub(super) fn child_row(tale: &Tale, run: midwatch_workflow::RunId, status: Status) -> crate::run::Run {
    let mut row = tale.neighbour(2, |row| row.status = status);
    row.run = run;
    row
}

/// It slept longer than its like, and went on.
fn long_sleep(n: u64) -> Facts {
    let world = World::of(n);
    let nap = |tale: &mut Tale, millis: u64| {
        let op = tale.sleep(millis);
        tale.after(millis).push(EventKind::TimerFired { op });
    };
    let usual = world.usual_with(30, |tale, n| nap(tale, 20_000 + draw(n) % 5_000));
    let mut tale = Tale::begin(world, n);
    tale.usual_work(n);
    nap(&mut tale, 300_000 + draw(n));
    tale.complete();
    tale.facts_with(usual)
}

/// A queue, a pause, a late child and slower calls, a minute each: no one of them is the cause.
fn a_little_of_everything(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    let op = tale.ask_held(world.call, WaitReason::Queue);
    tale.after(60_000 + draw(n) % 3_000).start(op);
    tale.after(world.call_ms).ok(op, vec![world.charge(n)]);
    let by = "ann".to_owned();
    tale.push(EventKind::Paused { reason: String::new(), by: by.clone() });
    tale.after(62_000).push(EventKind::Resumed { by });
    let (op, _) = tale.child("render");
    tale.after(61_000).push(EventKind::ChildEnded { op, result: Ended::Ok(Payload::null()) });
    let op = tale.ask_held(world.call, WaitReason::Gate);
    tale.after(63_000).start(op);
    tale.after(world.call_ms).ok(op, vec![world.charge(n)]);
    tale.complete();
    tale.facts()
}
