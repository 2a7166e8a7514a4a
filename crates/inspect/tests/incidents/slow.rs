//! Runs that take or took too long.

use midwatch::{Class, Message};
use midwatch_observe::why::{Cause, Verdict};

use crate::plan::{Act, Job, ask, charge, frugal, refused, work};
use crate::world::{Case, World, case, seconds, signal, usual_plan, with_first_call};

const SLOW: Verdict = Verdict::Slow;

pub(crate) fn all() -> Vec<Case> {
    [retries(), waits(), work_itself(), people()].into_iter().flatten().collect()
}

fn retries() -> Vec<Case> {
    vec![
        case(SLOW, Cause::RetryAfter, |n| {
            let busy = refused(Class::RateLimited, 429).retry_after(seconds(20 + 20 * n));
            World::usual().after(with_first_call(ask(3).after(2, busy)))
        }),
        case(SLOW, Cause::RetryRateLimited, |n| {
            let plan = with_first_call(work(3).after(3 + n as usize / 3, refused(Class::RateLimited, 429)));
            World::usual().after([plan.clone(), plan].concat().into_iter().take(6).collect())
        }),
        case(SLOW, Cause::RetryOverloaded, |n| {
            World::usual().after(with_first_call(work(n).after(4, refused(Class::Overloaded, 529))))
        }),
        case(SLOW, Cause::RetryServer, |n| {
            World::usual().after(with_first_call(work(n).after(4, refused(Class::Server, 502))))
        }),
        case(SLOW, Cause::RetryConnection, |n| {
            let broken = midwatch::Failure::new(Class::Connection, "connection reset by peer").ambiguous();
            World::usual().after(with_first_call(work(n).after(4, broken)))
        }),
        case(SLOW, Cause::RetryTimeout, |_| {
            World::usual().after(with_first_call(work(0).after_hanging(4).within(1)))
        }),
        case(SLOW, Cause::TimeoutsBurned, |n| {
            World::usual().after(with_first_call(ask(3).after_hanging(2).within(40 + 20 * n)))
        }),
        case(SLOW, Cause::HopelessRetries, |n| {
            let job = work(3).after(10, refused(Class::InvalidRequest, 400)).stubbornly();
            World::usual().during(with_first_call(job), seconds(100 * n))
        }),
        case(SLOW, Cause::RetryMixed, |n| {
            let mut troubles = [(Class::Server, 500), (Class::RateLimited, 429), (Class::Overloaded, 503)];
            troubles.rotate_left(n as usize);
            let jobs = (0..3).map(|_| {
                troubles.rotate_left(1);
                let after = |job: Job, (class, status)| job.after(1, refused(class, status));
                Act::Do(troubles.into_iter().fold(work(1), after))
            });
            World::usual().after(jobs.collect())
        }),
    ]
}

fn waits() -> Vec<Case> {
    vec![
        // Another run has found out that the target wants to be left alone.
        case(SLOW, Cause::GateClosed, |n| {
            let world = World::usual();
            let busy = refused(Class::RateLimited, 429).retry_after(seconds(60 + 30 * n));
            let other = world.start(with_first_call(ask(3).after(1, busy)));
            world.engine.pass(seconds(2));
            let run = world.start(usual_plan(0));
            run.result().unwrap();
            other.result().unwrap();
            world.why(run.id())
        }),
        case(SLOW, Cause::QueueBacklog, |n| {
            let world = World::where_usual(|_| vec![Act::Do(work(2).queued()), Act::Do(work(5))]);
            let runs: Vec<_> = (0..15 + n).map(|_| world.start(vec![Act::Do(work(2).queued())])).collect();
            let run = world.start(vec![Act::Do(work(2).queued()), Act::Do(work(5))]);
            run.result().unwrap();
            drop(runs);
            world.why(run.id())
        }),
        case(SLOW, Cause::LongSleep, |n| {
            let world = World::where_usual(|_| vec![Act::Sleep(10), Act::Do(work(2))]);
            world.after(vec![Act::Sleep(300 * n), Act::Do(work(2))])
        }),
        case(SLOW, Cause::SlowChild, |n| {
            let world = World::where_usual(|_| vec![Act::Child(vec![Act::Do(work(3))]), Act::Do(work(2))]);
            world.after(vec![Act::Child(vec![Act::Do(work(60 * n))]), Act::Do(work(2))])
        }),
    ]
}

fn work_itself() -> Vec<Case> {
    vec![
        case(SLOW, Cause::SlowAttempt, |n| World::usual().after(with_first_call(ask(60 * n)))),
        // It is still at it.
        case(SLOW, Cause::SlowAttempt, |n| {
            World::usual().during(with_first_call(ask(500)), seconds(60 + 20 * n))
        }),
        case(SLOW, Cause::SlowSteps, |n| {
            let world = World::where_usual(|_| vec![Act::Do(ask(2)); 6]);
            world.after(vec![Act::Do(ask(8 * n)); 6])
        }),
        case(SLOW, Cause::MoreSteps, |n| {
            World::usual().after([usual_plan(0), vec![Act::Do(work(1)); 20 + 10 * n as usize]].concat())
        }),
        case(SLOW, Cause::Compensation, |n| {
            let acts = vec![Act::Undoable(work(1), work(400)), Act::Do(ask(3)), Act::Fail];
            World::usual().during(acts, seconds(60 + 30 * n))
        }),
    ]
}

fn people() -> Vec<Case> {
    vec![
        case(SLOW, Cause::HeldByPause, |n| {
            let world = World::usual();
            let run = world.start(usual_plan(0));
            world.engine.pass(seconds(2));
            let (reason, by) = ("a look at the invoices".to_owned(), "ada".to_owned());
            run.send(Message::Pause { reason, by: by.clone() }).unwrap();
            world.engine.pass(seconds(300 * n));
            run.send(Message::Resume { by }).unwrap();
            run.result().unwrap();
            world.why(run.id())
        }),
        case(SLOW, Cause::LateSignal, |n| {
            let world = World::where_usual(|_| vec![Act::Do(work(2)), Act::Signal(None)]);
            let run = world.start(vec![Act::Do(work(2)), Act::Signal(None)]);
            world.engine.pass(seconds(3_600 * n));
            run.send(signal()).unwrap();
            run.result().unwrap();
            world.why(run.id())
        }),
        case(SLOW, Cause::LateAnswer, |n| {
            let world = World::new();
            for _ in 0..8 {
                world.engine.start(frugal, vec![Act::Do(ask(2)), Act::Do(work(3))]).result().unwrap();
            }
            let dear = ask(2).costs(charge(2_000, 300, 250));
            let run = world.engine.start(frugal, vec![Act::Do(dear), Act::Do(ask(1)), Act::Do(work(3))]);
            world.engine.pass(seconds(1_800 * n));
            let by = "ada".to_owned();
            run.send(Message::RaiseBudget { usd: midwatch::Money::from_cents(100), tokens: 0, by }).unwrap();
            run.result().unwrap();
            world.why(run.id())
        }),
    ]
}
