//! Runs with which nothing is the matter, however much they look like it.

use midwatch_workflow::event::WaitReason;
use midwatch_workflow::{Class, DelayReason, EventKind, Failure, Payload};

use super::slow::child_row;
use super::tale::{Tale, World, draw};
use super::{Incident, variants};
use crate::run::Status;
use crate::why::{Cause, Facts, Relative, ShortAnswer, Verdict};

pub(super) fn all() -> Vec<Incident> {
    let waiting =
        |name: &str, cause, tell: fn(u64) -> Facts| variants(name, Verdict::Waiting, cause, 3, tell);
    let healthy =
        |name: &str, cause, tell: fn(u64) -> Facts| variants(name, Verdict::Healthy, cause, 4, tell);
    [
        waiting("timer", Cause::Timer, timer),
        waiting("signal", Cause::Signal, signal),
        waiting("child", Cause::Child, child),
        waiting("retry", Cause::Retry, retry),
        waiting("gate", Cause::Gate, |n| held(n, WaitReason::Gate)),
        waiting("queue", Cause::Queue, |n| held(n, WaitReason::Queue)),
        waiting("pause", Cause::Paused, pause),
        healthy("under-way", Cause::Progressing, under_way),
        healthy("beats", Cause::Progressing, beats),
        healthy("first-of-its-kind", Cause::Progressing, first_of_its_kind),
        healthy("completed", Cause::Completed, completed),
        healthy("completed-with-a-retry", Cause::Completed, completed_with_a_retry),
        healthy("completed-and-a-little-dearer", Cause::Completed, a_little_dearer),
    ]
    .concat()
}

fn timer(n: u64) -> Facts {
    let world = World::of(n);
    let usual = world.usual_with(30, |tale, n| {
        let length = 3_600_000 + draw(n);
        let op = tale.sleep(length);
        tale.after(length).push(EventKind::TimerFired { op });
    });
    let mut tale = Tale::begin(world, n);
    tale.usual_work(n);
    tale.sleep(3_900_000);
    tale.after(900_000 * n);
    if n == 3 { tale.facts() } else { tale.facts_with(usual) }
}

fn signal(n: u64) -> Facts {
    let world = World::of(n);
    let usual = world.usual_with(30, |tale, n| {
        tale.await_signal("approve");
        tale.after(1_200_000 + draw(n)).signal("approve");
    });
    let mut tale = Tale::begin(world, n);
    tale.usual_work(n);
    tale.await_signal("approve");
    tale.after(700_000 * n);
    tale.facts_with(usual)
}

fn child(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    let (_, run) = tale.child("render");
    tale.after(1_000 * n);
    let row = child_row(&tale, run, Status::Waiting);
    let answer =
        ShortAnswer { verdict: Verdict::Waiting, cause: Cause::Timer, headline: "sleeps".to_owned() };
    Facts { children: vec![Relative { run: row, answer: Some(answer) }], ..tale.facts() }
}

fn retry(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    let op = tale.ask(world.call);
    tale.after(200).fail(op, Failure::new(Class::RateLimited, "slow down").status(429), Vec::new());
    tale.wait_to_retry(world.call, 2, 5, 2_000, DelayReason::Backoff);
    tale.after(100 * n);
    tale.facts()
}

fn held(n: u64, why: WaitReason) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    tale.ask_held(world.call, why);
    tale.after(1_500 * n);
    tale.facts()
}

fn pause(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    tale.push(EventKind::Paused { reason: String::new(), by: "ann".to_owned() });
    tale.ask_held(world.call, WaitReason::Paused);
    tale.after(1_200_000 * n);
    tale.facts()
}

/// A failed attempt and a wait lie behind it; it is within the usual time.
fn under_way(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    if n.is_multiple_of(2) {
        let op = tale.ask(world.call);
        let op =
            tale.fail_and_wait(world.call, op, 1, Failure::new(Class::Server, "x").status(500), 100, 900);
        let _ = op;
    } else {
        tale.ask(world.call);
    }
    tale.after(world.call_ms / 2);
    tale.facts()
}

/// A crawl that usually takes half an hour, and says how far it is.
fn beats(n: u64) -> Facts {
    let world = World::of(n);
    let crawl = |tale: &mut Tale, pages: u64| {
        let op = tale.ask_with("crawl", |asked| asked.timeout = std::time::Duration::from_secs(7_200));
        for page in 0..pages {
            tale.after(60_000);
            let progress = Payload::of(&page).unwrap_or(Payload::null());
            tale.push(EventKind::Heartbeat { op, progress, charges: Vec::new() });
        }
        op
    };
    let usual = world.usual_with(20, |tale, n| {
        let op = crawl(tale, 28 + n % 4);
        tale.after(9_000).ok(op, Vec::new());
    });
    let mut tale = Tale::begin(world, n);
    tale.usual_work(n);
    crawl(&mut tale, 10 + 4 * n);
    tale.after(30_000);
    tale.facts_with(usual)
}

/// There is nothing to compare with, and nothing strikes.
fn first_of_its_kind(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    tale.calls(n);
    tale.ask(world.call);
    tale.after(world.call_ms);
    let Facts { events, now, owner, .. } = tale.facts();
    Facts { owner, ..Facts::new(events, now) }
}

fn completed(n: u64) -> Facts {
    let mut tale = Tale::begin(World::of(n), n);
    tale.usual_work(1);
    tale.complete();
    tale.after(86_400_000);
    tale.facts()
}

fn completed_with_a_retry(n: u64) -> Facts {
    let mut tale = Tale::begin(World::of(n), n);
    tale.usual_work(3);
    tale.complete();
    tale.facts()
}

/// One call was twice as large.
fn a_little_dearer(n: u64) -> Facts {
    let world = World::of(n);
    let mut tale = Tale::begin(world, n);
    tale.step(world.prepare, 800);
    tale.calls(world.turns - 1);
    let op = tale.ask(world.call);
    tale.after(world.call_ms).ok(op, vec![world.charge_of(world.model, 14_000, 900, 3_000)]);
    tale.step(world.effect.0, 900);
    tale.complete();
    tale.facts()
}
