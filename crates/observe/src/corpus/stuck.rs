//! Runs that do not move, and runs that need a person.

use std::time::Duration;

use midwatch_workflow::event::{Note, TimerPurpose, WaitReason};
use midwatch_workflow::{Budget, Class, EventKind, Failure, Money, ParkReason, Payload};

use super::slow::child_row;
use super::tale::{Tale, World, draw};
use super::{Incident, variants};
use crate::run::Status;
use crate::why::{Cause, Facts, Gate, Owner, Relative, ShortAnswer, Verdict};

pub(super) fn all() -> Vec<Incident> {
    let stuck = |name: &str, cause, tell: fn(u64) -> Facts| variants(name, Verdict::Stuck, cause, 4, tell);
    let parked = |name: &str, cause, tell: fn(u64) -> Facts| variants(name, Verdict::Parked, cause, 3, tell);
    [
        stuck("silent", Cause::StepSilent, silent),
        stuck("silent-after-beats", Cause::StepSilent, silent_after_beats),
        stuck("killed", Cause::ProcessLost, killed),
        stuck("killed-while-waiting-to-retry", Cause::ProcessLost, killed_in_wait),
        stuck("lock", Cause::LockHeld, lock),
        stuck("signal", Cause::SignalNeverCame, signal),
        stuck("signal-misnamed", Cause::SignalNeverCame, misnamed),
        stuck("child-parked", Cause::ChildStuck, child_parked),
        stuck("child-silent", Cause::ChildStuck, child_silent),
        stuck("gate", Cause::GateClosedLong, gate),
        stuck("queue", Cause::QueueStarved, queue),
        stuck("timer", Cause::TimerFarAway, timer),
        stuck("forgotten-pause", Cause::Paused, forgotten_pause),
        parked("budget", Cause::ParkedBudget, budget),
        parked("compensation", Cause::ParkedCompensationFailed, compensation),
        parked("replayed", Cause::ParkedReplayedFailure, replayed),
        parked("mismatch", Cause::CodeJournalMismatch, |n| halted(n, ParkReason::Mismatch)),
        parked("panicked", Cause::ParkedPanicked, |n| halted(n, ParkReason::Panicked)),
        parked("stray", Cause::ParkedStray, |n| halted(n, ParkReason::Stray)),
        parked("no-code", Cause::NoCode, |n| halted(n, ParkReason::NoCode)),
    ]
    .concat()
}

/// A call that never comes back. A retry before it, and a slow turn, are decoys.
fn silent(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    let op = tale.ask(world.call);
    let op = tale.fail_and_wait(world.call, op, 1, Failure::new(Class::Server, "x").status(502), 300, 1_000);
    tale.after(world.call_ms * 2).ok(op, vec![world.charge(n)]);
    tale.ask_with(world.call, |asked| asked.timeout = Duration::from_secs(1_800 * (n % 2) + 1_800));
    tale.after(400_000 + draw(n));
    tale.facts()
}

fn silent_after_beats(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    let op = tale.ask_with("crawl", |asked| asked.timeout = Duration::from_secs(7_200));
    for page in 1..=n + 1 {
        tale.after(20_000);
        let progress = Payload::of(&format!("page {page}/9")).unwrap_or(Payload::null());
        tale.push(EventKind::Heartbeat { op, progress, charges: Vec::new() });
    }
    tale.after(372_000 + draw(n) / 4);
    tale.facts()
}

fn killed(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    tale.calls(n % 3);
    tale.ask(world.call);
    tale.after(20_000 + n * 300_000);
    let neighbours = (0..n).map(|other| tale.neighbour(other, |_| {})).collect();
    Facts { owner: Owner::Nobody, neighbours, ..tale.facts() }
}

/// A decoy: it looks like a run that waits for its provider.
fn killed_in_wait(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    let op = tale.ask(world.call);
    tale.after(300).fail(op, Failure::new(Class::RateLimited, "x").status(429), Vec::new());
    tale.wait_to_retry(world.call, 2, 5, 2_000, midwatch_workflow::DelayReason::Backoff);
    tale.after(90_000 * n);
    Facts { owner: Owner::Nobody, ..tale.facts() }
}

/// Another process took the lock after the run's own was gone, and has no idea of the run.
fn lock(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    tale.calls(n % 2);
    tale.ask(world.call);
    tale.after(7_000);
    let since = tale.at;
    tale.after(120_000 + 200_000 * n);
    let owner = Owner::Process { name: "process 88 on build-2".to_owned(), since: Some(since) };
    Facts { owner, ..tale.facts() }
}

fn approvals(world: World) -> crate::Baselines {
    world.usual_with(30, |tale, n| {
        tale.await_signal("approve");
        tale.after(50_000 + draw(n) % 90_000).signal("approve");
    })
}

fn signal(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.usual_work(n);
    let op = tale.await_signal("approve");
    if n.is_multiple_of(2) {
        // A limit that is days away does not make it any better.
        let (timer, until) = (tale.op(), tale.at + Duration::from_secs(3 * 86_400));
        let _ = op;
        tale.push(EventKind::TimerStarted { op: timer, until, purpose: TimerPurpose::SignalTimeout });
    }
    tale.after(3_600_000 * n);
    tale.facts_with(approvals(world))
}

/// The signal came under another name.
fn misnamed(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.usual_work(n);
    tale.await_signal("approve");
    tale.after(40_000)
        .signal(["approved", "Approve", "approve_order", "aprove"][usize::try_from(n % 4).unwrap_or(0)]);
    tale.after(600_000 + draw(n));
    if n > 2 { tale.facts() } else { tale.facts_with(approvals(world)) }
}

fn child_parked(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    let (_, run) = tale.child("settle");
    tale.after(60_000 * n);
    let mut row = child_row(&tale, run, Status::Parked);
    row.parked = Some(ParkReason::Budget);
    row.message = Some("run: $2.00 of $2.00 are spent".to_owned());
    let answer = (n.is_multiple_of(2)).then(|| ShortAnswer {
        verdict: Verdict::Parked,
        cause: Cause::ParkedBudget,
        headline: "parked 1m00s ago: run: $2.00 of $2.00 are spent".to_owned(),
    });
    Facts { children: vec![Relative { run: row, answer }], ..tale.facts() }
}

fn child_silent(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    let (_, run) = tale.child("settle");
    let mut row = child_row(&tale, run, Status::Running);
    row.doing = "crawl".to_owned();
    tale.after(500_000 * n);
    let answer = (n.is_multiple_of(2)).then(|| ShortAnswer {
        verdict: Verdict::Stuck,
        cause: Cause::StepSilent,
        headline: "crawl, attempt 1 has been silent for 8m20s: it never beat".to_owned(),
    });
    Facts { children: vec![Relative { run: row, answer }], ..tale.facts() }
}

fn gate(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    tale.calls(1);
    tale.ask_held(world.call, WaitReason::Gate);
    tale.after(1_000_000 + 300_000 * n);
    let closed_until = (n.is_multiple_of(2)).then(|| tale.at + Duration::from_secs(600));
    let gates = vec![Gate { target: world.model.to_owned(), closed_until }];
    Facts { gates, ..tale.facts() }
}

/// Those who hold the places of the queue hang.
fn queue(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    let since = tale.at;
    tale.ask_held(world.call, WaitReason::Queue);
    tale.after(1_000_000 + 300_000 * n);
    let others = (0..4 + n).map(|other| {
        tale.neighbour(other, |run| {
            run.queue = Some(world.queue.to_owned());
            run.held = (other > 1).then_some(WaitReason::Queue);
            run.updated_at = since;
        })
    });
    let neighbours = others.collect();
    Facts { neighbours, ..tale.facts() }
}

/// Somebody mixed up seconds and milliseconds.
fn timer(n: u64) -> Facts {
    let world = World::of(n);
    let usual = world.usual_with(30, |tale, n| {
        let length = 60_000 + draw(n) % 30_000;
        let op = tale.sleep(length);
        tale.after(length).push(EventKind::TimerFired { op });
    });
    let mut tale = Tale::begin(world, n);
    tale.usual_work(n);
    tale.sleep(60_000_000 * n);
    tale.after(3_000_000);
    tale.facts_with(usual)
}

fn forgotten_pause(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    tale.push(EventKind::Paused { reason: "while I look".to_owned(), by: "ann".to_owned() });
    tale.ask_held(world.call, WaitReason::Paused);
    tale.after(90_000_000 * n);
    tale.facts()
}

fn budget(n: u64) -> Facts {
    let world = World::of(n);
    let budget = Budget::usd(Money::from_cents(5));
    let mut tale = Tale::begin_with(world, n, |start| start.budget = Some(budget));
    tale.step(world.prepare, 800);
    tale.calls(world.turns);
    tale.park(world.call, ParkReason::Budget, "run: $0.0512 of $0.05 are spent");
    tale.after(700_000 * n);
    tale.facts()
}

fn compensation(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    let done = tale.ask(world.effect.0);
    tale.after(700).ok(done, Vec::new());
    let op = tale.ask("notify");
    let cause = Failure::new(Class::NotFound, "no such user").status(404);
    tale.after(200).fail(op, cause.clone(), Vec::new());
    let op = tale.op();
    let steps = vec![world.effect.1.to_owned()];
    tale.push(EventKind::Noted { op, note: Note::Compensating { cause, steps } });
    let mut op = tale.ask_with(world.effect.1, |asked| asked.undoes = Some(done));
    let refused = Failure::new(Class::Server, "internal error").status(500);
    for attempt in 1..=2 + u32::try_from(n).unwrap_or(0) {
        op = tale.fail_and_wait(world.effect.1, op, attempt, refused.clone(), 400, 1_000);
    }
    tale.after(400).fail(op, refused, Vec::new());
    tale.park(world.effect.1, ParkReason::CompensationFailed, "server: internal error");
    tale.after(300_000);
    tale.facts()
}

fn replayed(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    let op = tale.ask(world.effect.0);
    let first = Failure::new(Class::Server, "internal error").status(500).ambiguous();
    let op = tale.fail_and_wait(world.effect.0, op, 1, first, 900, 1_000 * n);
    let replay = Failure::new(Class::ReplayedFailure, "the receiver replays an old 500").status(500);
    tale.after(300).fail(op, replay, Vec::new());
    tale.park(
        world.effect.0,
        ParkReason::ReplayedFailure,
        "replayed_failure: the receiver replays an old 500",
    );
    tale.after(120_000);
    tale.facts()
}

fn halted(n: u64, reason: ParkReason) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    tale.calls(n % 3);
    if reason == ParkReason::Mismatch {
        tale.after(50_000).push(EventKind::Recovered { worker: "w2".to_owned() });
    }
    if reason == ParkReason::NoCode {
        tale.ask_held(world.call, WaitReason::Code);
    }
    let message = match reason {
        ParkReason::Mismatch => "the journal records `op 2: step call`, but the code asks for `op 2: sleep`",
        ParkReason::Panicked => "the workflow's code panicked: index out of bounds",
        ParkReason::Stray => "the workflow awaits something that is no operation of its context",
        _ => "no step of that name is registered: start a process that has it",
    };
    tale.halt(reason, message);
    tale.after(900_000 * n);
    let neighbours = (0..2).map(|other| {
        tale.neighbour(other, |run| {
            run.status = Status::Parked;
            run.parked = Some(reason);
        })
    });
    let neighbours = neighbours.collect();
    Facts { neighbours, ..tale.facts() }
}
