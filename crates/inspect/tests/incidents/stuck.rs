//! Runs that do not move, and those that a person must answer.

use std::sync::atomic::Ordering;

use midwatch::{Class, Message};
use midwatch_observe::why::{Cause, Owner, Verdict};

use crate::plan::{Act, LIVES, ask, charge, frugal, refused, work};
use crate::world::{Case, World, case, seconds, usual_plan, with_first_call};

const STUCK: Verdict = Verdict::Stuck;
const PARKED: Verdict = Verdict::Parked;

pub(crate) fn all() -> Vec<Case> {
    [stuck(), parked()].into_iter().flatten().collect()
}

fn stuck() -> Vec<Case> {
    vec![
        case(STUCK, Cause::StepSilent, |n| {
            World::usual().during(with_first_call(ask(3).after_hanging(1).within(7_200)), seconds(600 * n))
        }),
        case(STUCK, Cause::ProcessLost, |n| {
            let world = World::usual();
            let run = world.start(with_first_call(ask(3).after_hanging(1).within(86_400)));
            world.engine.pass(seconds(400 * n));
            world.why_of(run.id(), Owner::Nobody)
        }),
        // A retry that is long due, and nobody there to make it.
        case(STUCK, Cause::ProcessLost, |n| {
            let world = World::usual();
            let busy = refused(Class::RateLimited, 429).retry_after(seconds(20));
            let run = world.start(with_first_call(ask(3).after(1, busy)));
            world.engine.pass(seconds(5));
            let events = run.events();
            let journal = crate::copied(&[(run.id(), events)]);
            crate::ask_at(&*journal, world.engine.now() + seconds(120 * n), Owner::Nobody, run.id())
        }),
        case(STUCK, Cause::SignalNeverCame, |n| {
            let world = World::where_usual(|_| vec![Act::Do(work(2)), Act::Signal(None)]);
            world.during(vec![Act::Do(work(2)), Act::Signal(None)], seconds(86_400 * n))
        }),
        case(STUCK, Cause::ChildStuck, |n| {
            let world = World::where_usual(|_| vec![Act::Child(vec![Act::Do(work(3))]), Act::Do(work(2))]);
            let child = vec![Act::Do(work(1).after_hanging(1).within(86_400))];
            world.during(vec![Act::Child(child), Act::Do(work(2))], seconds(900 * n))
        }),
        case(STUCK, Cause::QueueStarved, |n| {
            let world = World::where_usual(|_| vec![Act::Do(work(2).queued())]);
            let _other = world.start(vec![Act::Do(work(1).after_hanging(1).within(86_400).queued())]);
            world.engine.pass(seconds(2));
            world.during(vec![Act::Do(work(2).queued())], seconds(1_000 + 600 * (n - 1)))
        }),
        case(STUCK, Cause::TimerFarAway, |n| {
            let world = World::where_usual(|_| vec![Act::Sleep(10), Act::Do(work(2))]);
            world.during(vec![Act::Sleep(86_400 * 30 * n), Act::Do(work(2))], seconds(600))
        }),
        case(STUCK, Cause::Paused, |n| {
            let world = World::usual();
            let run = world.start(usual_plan(0));
            world.engine.pass(seconds(2));
            run.send(Message::Pause { reason: "for the night".to_owned(), by: "ada".to_owned() }).unwrap();
            world.engine.pass(seconds(86_400 * n + 60));
            world.why(run.id())
        }),
    ]
}

fn parked() -> Vec<Case> {
    vec![
        case(PARKED, Cause::ParkedBudget, |n| {
            let world = World::new();
            let dear = ask(2).costs(charge(20_000, 3_000, 80));
            let run = world.engine.start(frugal, vec![Act::Do(dear); 5]);
            world.engine.pass(seconds(300 * n));
            world.why(run.id())
        }),
        case(PARKED, Cause::ParkedCompensationFailed, |n| {
            let undo = work(1).never(refused(Class::Permission, 403));
            let acts = vec![Act::Undoable(work(1), undo), Act::Do(ask(3)), Act::Fail];
            World::usual().during(acts, seconds(120 * n))
        }),
        case(PARKED, Cause::ParkedPanicked, |n| {
            World::usual().during(vec![Act::Do(work(1)), Act::Panic], seconds(60 * n))
        }),
        case(PARKED, Cause::ParkedStray, |n| {
            World::usual().during(vec![Act::Do(work(1)), Act::Stray], seconds(60 * n))
        }),
        case(PARKED, Cause::CodeJournalMismatch, |n| {
            let world = World::usual();
            LIVES.store(1, Ordering::Relaxed);
            let run = world.start(vec![Act::Do(work(1)), Act::Unstable, Act::Sleep(60)]);
            world.engine.pass(seconds(5));
            LIVES.store(2, Ordering::Relaxed);
            world.engine.crash();
            world.engine.pass(seconds(120 * n));
            world.why(run.id())
        }),
    ]
}
