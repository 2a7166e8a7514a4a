//! Runs that ended badly.

use midwatch::Class;
use midwatch_observe::why::{Answer, Cause, Verdict};

use crate::plan::{Act, ask, charge, hasty, refused, strict, work};
use crate::world::{Case, World, case, seconds, usual_plan, with_first_call};

const FAILED: Verdict = Verdict::Failed;

/// Every attempt at the first call meets this.
fn with(class: Class, status: u16) -> Answer {
    World::usual().after(with_first_call(ask(1).never(refused(class, status))))
}

pub(crate) fn all() -> Vec<Case> {
    [refusals(), ends()].into_iter().flatten().collect()
}

fn refusals() -> Vec<Case> {
    vec![
        case(FAILED, Cause::RateLimited, |_| with(Class::RateLimited, 429)),
        case(FAILED, Cause::Overloaded, |n| with(Class::Overloaded, if n == 1 { 503 } else { 529 })),
        case(FAILED, Cause::Server, |n| with(Class::Server, if n == 1 { 500 } else { 502 })),
        case(FAILED, Cause::Connection, |_| with(Class::Connection, 0)),
        case(FAILED, Cause::ContextOverflow, |_| with(Class::ContextOverflow, 400)),
        case(FAILED, Cause::InvalidRequest, |n| with(Class::InvalidRequest, if n == 1 { 400 } else { 422 })),
        case(FAILED, Cause::Authentication, |_| with(Class::Authentication, 401)),
        case(FAILED, Cause::Permission, |_| with(Class::Permission, 403)),
        case(FAILED, Cause::NotFound, |_| with(Class::NotFound, 404)),
        case(FAILED, Cause::QuotaExhausted, |_| with(Class::QuotaExhausted, 429)),
        case(FAILED, Cause::ContentFiltered, |_| with(Class::ContentFiltered, 400)),
        case(FAILED, Cause::UnknownFailure, |_| with(Class::Unknown, 418)),
        case(FAILED, Cause::Stalled, |_| with(Class::Stalled, 0)),
        case(FAILED, Cause::ReplayedFailure, |_| {
            // It parks, and somebody decides that the failure stands.
            let world = World::usual();
            let replayed = refused(Class::ReplayedFailure, 500);
            let run = world.start(with_first_call(ask(1).never(replayed)));
            world.engine.pass(seconds(30));
            drop(run.send(midwatch::Message::Resolve {
                step: None,
                resolution: midwatch::Resolution::Fail,
                by: "ada".to_owned(),
            }));
            drop(run.result());
            world.why(run.id())
        }),
        case(FAILED, Cause::Timeout, |n| {
            World::usual().after(with_first_call(ask(1).after_hanging(5).within(5 * n)))
        }),
    ]
}

fn ends() -> Vec<Case> {
    vec![
        case(FAILED, Cause::BudgetReached, |n| {
            let world = World::new();
            let run =
                world.engine.start(strict, vec![Act::Do(ask(2).costs(charge(20_000, 3_000, 70 * n))); 6]);
            drop(run.result());
            world.why(run.id())
        }),
        case(FAILED, Cause::Cancelled, |n| {
            let world = World::usual();
            let run = world.start(usual_plan(0));
            world.engine.pass(seconds(n));
            run.cancel();
            drop(run.result());
            world.why(run.id())
        }),
        case(FAILED, Cause::DeadlinePassed, |n| {
            let world = World::new();
            let run = world.engine.start(hasty, with_first_call(ask(60 + 30 * n)));
            drop(run.result());
            world.why(run.id())
        }),
        // There was no time left for another attempt; what it failed with is the target's limit.
        case(FAILED, Cause::RateLimited, |n| {
            let world = World::new();
            let busy = refused(Class::RateLimited, 429).retry_after(seconds(20 + n));
            let run = world.engine.start(hasty, with_first_call(ask(3).after(4, busy)));
            drop(run.result());
            world.why(run.id())
        }),
        case(FAILED, Cause::SignalTimedOut, |n| {
            World::usual().after(vec![Act::Do(work(1)), Act::Signal(Some(600 * n))])
        }),
        case(FAILED, Cause::ChildFailed, |n| {
            let child = vec![Act::Do(work(n)), Act::Do(ask(1).never(refused(Class::Authentication, 401)))];
            World::usual().after(vec![Act::Do(work(1)), Act::Child(child)])
        }),
        case(FAILED, Cause::WorkflowError, |n| World::usual().after(vec![Act::Do(work(n)), Act::Fail])),
    ]
}
