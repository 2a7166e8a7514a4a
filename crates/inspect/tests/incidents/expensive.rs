//! Runs that cost too much.

use midwatch::{Charge, Class, Usage};
use midwatch_observe::why::{Cause, Verdict};

use crate::plan::{Act, Plan, ask, charge, refused, work};
use crate::world::{Case, World, case, seconds, with_first_call};

const DEAR: Verdict = Verdict::Expensive;

pub(crate) fn all() -> Vec<Case> {
    [waste(), calls()].into_iter().flatten().collect()
}

/// So many calls, one after another.
fn turns(calls: impl IntoIterator<Item = Charge>) -> Plan {
    calls.into_iter().map(|charge| Act::Do(ask(2).costs(charge))).collect()
}

/// What a call with a cached prompt costs, and one without: a tenth for what comes from the cache.
fn prompt(cached: u64) -> Charge {
    let usage = Usage { calls: 1, input: 20_000, output: 200, cached, ..Usage::default() };
    Charge { usage, ..charge(0, 0, (20_000 - cached) / 400 + cached / 4_000 + 2) }
}

fn waste() -> Vec<Case> {
    vec![
        case(DEAR, Cause::FailedAttempts, |n| {
            let job = ask(3).after_paid(3, refused(Class::Server, 500), charge(2_000, 900, 15 + 10 * n));
            World::usual().after(with_first_call(job))
        }),
        case(DEAR, Cause::HopelessRetries, |n| {
            let too_long = refused(Class::InvalidRequest, 400);
            let job = ask(3).after_paid(18, too_long, charge(90_000, 0, 100 + 50 * n)).stubbornly();
            World::usual().during(with_first_call(job), seconds(150))
        }),
        case(DEAR, Cause::LostAttempts, |n| {
            let world = World::usual();
            let job = ask(3).after_hanging_paid(3, charge(6_000, 500, 20 + 5 * n)).within(3_600);
            let run = world.start(with_first_call(job));
            for _ in 0..3 {
                world.engine.pass(seconds(5));
                world.engine.crash();
            }
            run.result().unwrap();
            world.why(run.id())
        }),
    ]
}

fn calls() -> Vec<Case> {
    vec![
        case(DEAR, Cause::ContextGrowth, |n| {
            let world = World::where_usual(|_| turns(vec![charge(2_000, 300, 8); 10]));
            world.after(turns((1..=10).map(|turn| charge(2_000 * turn * n, 300, 8 * turn * n))))
        }),
        case(DEAR, Cause::NoCacheHits, |n| {
            let world = World::where_usual(|_| turns(vec![prompt(19_000); 4]));
            world.after(turns(vec![prompt(0); 3 + n as usize]))
        }),
        case(DEAR, Cause::ModelChange, |n| {
            let dear = Charge { target: "openai:o1-pro".to_owned(), ..charge(2_000, 300, 60 * n) };
            World::where_usual(|_| turns(vec![charge(2_000, 300, 8); 4])).after(turns(vec![dear; 4]))
        }),
        case(DEAR, Cause::PriceChange, |n| {
            let world = World::where_usual(|_| turns(vec![charge(2_000, 300, 8); 4]));
            world.after(turns(vec![charge(2_000, 300, 30 * n); 4]))
        }),
        case(DEAR, Cause::MoreCalls, |n| {
            let plan = |calls| [vec![Act::Do(work(300))], turns(vec![charge(2_000, 300, 8); calls])].concat();
            World::where_usual(|_| plan(4)).after(plan(20 * n as usize))
        }),
        case(DEAR, Cause::FanOut, |n| {
            let world = World::where_usual(|_| vec![Act::Together(vec![ask(3); 4]), Act::Do(work(1))]);
            world.after(vec![Act::Together(vec![ask(3); 16 * n as usize]), Act::Do(work(1))])
        }),
        case(DEAR, Cause::OneHugeCall, |n| {
            let world = World::where_usual(|_| turns(vec![charge(2_000, 300, 8); 4]));
            let mut calls = vec![charge(2_000, 300, 8); 4];
            calls[n as usize] = charge(100_000 * n, 300, 400 * n);
            world.after(turns(calls))
        }),
        case(DEAR, Cause::LargerCalls, |n| {
            let world = World::where_usual(|_| turns(vec![charge(2_000, 300, 8); 4]));
            world.after(turns(vec![charge(12_000 * n, 1_800 * n, 48 * n); 4]))
        }),
    ]
}
