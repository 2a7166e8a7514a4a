//! Runs with which nothing is wrong, whatever they wait for.

use midwatch::Class;
use midwatch_observe::why::{Cause, Verdict};

use crate::plan::{Act, ask, refused, work};
use crate::world::{Case, World, case, seconds, usual_plan, with_first_call};

const WAITING: Verdict = Verdict::Waiting;
const HEALTHY: Verdict = Verdict::Healthy;

pub(crate) fn all() -> Vec<Case> {
    vec![
        case(HEALTHY, Cause::Completed, |n| World::usual().after(usual_plan(n))),
        // A short trouble is none.
        case(HEALTHY, Cause::Completed, |_| {
            World::usual().after(with_first_call(ask(3).after(1, refused(Class::Server, 500))))
        }),
        case(HEALTHY, Cause::Progressing, |n| World::usual().during(usual_plan(n), seconds(2 + n))),
        case(WAITING, Cause::Timer, |n| {
            let world = World::where_usual(|_| vec![Act::Sleep(3_600), Act::Do(work(2))]);
            world.during(vec![Act::Sleep(3_600), Act::Do(work(2))], seconds(900 * n))
        }),
        case(WAITING, Cause::Signal, |n| {
            let world = World::where_usual(|_| vec![Act::Do(work(2)), Act::Signal(None)]);
            world.during(vec![Act::Do(work(2)), Act::Signal(None)], seconds(10 * n + 5))
        }),
        case(WAITING, Cause::Child, |n| {
            let plan = || vec![Act::Child(vec![Act::Do(work(300))]), Act::Do(work(2))];
            World::where_usual(|_| plan()).during(plan(), seconds(60 * n))
        }),
        case(WAITING, Cause::Retry, |_| {
            let busy = refused(Class::RateLimited, 429).retry_after(seconds(5));
            let plan = || {
                with_first_call(work(1).after(1, refused(Class::RateLimited, 429).retry_after(seconds(5))))
            };
            World::where_usual(|_| plan()).during(with_first_call(work(1).after(1, busy)), seconds(4))
        }),
        case(WAITING, Cause::Gate, |n| {
            let world = World::usual();
            let busy = refused(Class::RateLimited, 429).retry_after(seconds(20));
            let _other = world.start(with_first_call(ask(3).after(1, busy)));
            world.engine.pass(seconds(2));
            world.during(usual_plan(0), seconds(2 + n))
        }),
        case(WAITING, Cause::Queue, |_| {
            let world = World::where_usual(|_| vec![Act::Do(work(10).queued()), Act::Do(work(30))]);
            let _other = world.start(vec![Act::Do(work(10).queued())]);
            world.engine.pass(seconds(1));
            world.during(vec![Act::Do(work(10).queued()), Act::Do(work(30))], seconds(5))
        }),
    ]
}
