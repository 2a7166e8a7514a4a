//! What a decision costs: `cargo bench -p midwatch-workflow --bench policy`. One line a decision: nanoseconds, allocations.

#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use midwatch_workflow::gate::{Admission, Gate, Observation, Observed, Try};
use midwatch_workflow::pool::Lifted;
use midwatch_workflow::{
    Amount, Budget, Class, Failure, GatePolicy, Money, Pool, RetryPolicy, Timestamp, Tried, step_key,
};

const TIMES: u32 = 200_000;

fn main() {
    println!("decision                              ns   allocations");
    retries();
    gate();
    budget();
    measure("idempotency key", |_| drop(black_box(step_key("order-42:r_1", "charge_card", 1))));
}

fn retries() {
    let policy = RetryPolicy::default();
    let asked = Failure::new(Class::RateLimited, "slow down").retry_after(Duration::from_secs(7));
    let cases = [
        ("retry after a backoff", Failure::new(Class::Overloaded, "busy"), tried(2)),
        ("retry when the target says", asked, tried(2)),
        ("give up: class", Failure::new(Class::InvalidRequest, "no"), tried(1)),
        ("give up: attempts", Failure::new(Class::Server, "down"), tried(5)),
    ];
    for (name, failure, tried) in &cases {
        measure(name, |n| {
            black_box(policy.decide(black_box(tried), failure, at(1), u64::from(n)));
        });
    }
}

/// Of a call that is let through and succeeds.
fn gate() {
    let mut gate = Gate::new(GatePolicy::default(), 7, at(0));
    let mut now = at(0);
    measure("gate: admit, and learn of its end", |_| {
        now = now + Duration::from_secs(1);
        if let Admission::Admit(admitted) = gate.admit(now, Try::First) {
            gate.learn(now, &Observation::Ended { admitted, observed: Observed::Success, tokens: 900 });
        }
    });
}

fn budget() {
    let dollar = Money::from_picos(1_000_000_000_000);
    let mut pool = Pool::new("run", Budget::usd(dollar), Amount::default());
    let call = Amount { usd: Money::from_picos(1), tokens: 900 };
    measure("budget: ask, reserve, settle", |_| {
        if pool.ask(black_box(call), Lifted::default()).is_ok() {
            pool.reserve(call);
            pool.settle(call, Amount::default());
        }
    });
}

fn measure(name: &str, mut decide: impl FnMut(u32)) {
    for n in 0..TIMES / 10 {
        decide(n);
    }
    let begun = Instant::now();
    for n in 0..TIMES {
        decide(n);
    }
    let each = begun.elapsed().as_secs_f64() * 1e9 / f64::from(TIMES);
    let counted = allocation_counter::measure(|| decide(0)).count_total;
    println!("{name:<34} {each:>6.0}   {counted:>11}");
}

fn tried(attempts: u32) -> Tried {
    let deadline = Some(at(3_600));
    Tried { attempts, lost: 0, since: at(0), cost: Money::from_picos(0), deadline }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}
