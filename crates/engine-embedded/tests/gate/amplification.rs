//! The promise of the gate: hardly a request too many, no burst, no time lost, nothing failed.

use std::time::Duration;

use midwatch_engine_embedded::GateOptions;
use midwatch_workflow::{RetryPolicy, StepOptions};

use crate::target::{Target, World};

const PER_SECOND: f64 = 50.0;
const RUNS: u32 = 400;
const CALLS: u32 = 3;

struct Figures {
    amplification: f64,
    burst: f64,
    finish: f64,
    failed: usize,
}

/// 400 runs of three calls at a target that lets 50 a second through and is down from 5 s to 15 s.
async fn measure(gates: GateOptions, retry: RetryPolicy) -> Figures {
    let down = (Duration::from_secs(5), Duration::from_secs(15));
    let target = Target::new(PER_SECOND, PER_SECOND, down);
    let world = World::new(&target, gates, StepOptions { retry, ..StepOptions::default() }).await;
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        runs.push(world.start(CALLS).await);
    }
    let mut failed = 0;
    for run in runs {
        failed += usize::from(!world.completes(run).await);
    }
    let finish = target.elapsed().as_secs_f64();
    let requests = target.requests();
    let needed = f64::from(RUNS * CALLS);
    #[allow(clippy::cast_precision_loss)]
    Figures {
        amplification: requests.len() as f64 / needed,
        burst: most_in_a_second(&requests, down.1) as f64 / PER_SECOND,
        finish: finish / (needed / PER_SECOND + (down.1 - down.0).as_secs_f64()),
        failed,
    }
}

fn most_in_a_second(requests: &[Duration], from: Duration) -> usize {
    let after: Vec<_> = requests.iter().filter(|at| **at >= from).collect();
    let window = |first: &Duration| {
        after.iter().filter(|at| (*first..*first + Duration::from_secs(1)).contains(**at)).count()
    };
    after.iter().map(|first| window(first)).max().unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn many_runs_through_a_limit_and_an_outage_cost_hardly_a_request_more_than_needed() {
    let figures = measure(GateOptions::default(), RetryPolicy::default()).await;
    let Figures { amplification, burst, finish, failed } = figures;
    let said = format!("amplification {amplification:.3}, burst {burst:.2}, finish {finish:.3}");
    println!("{said}");
    assert_eq!(failed, 0, "{said}");
    assert!(amplification <= 1.10, "{said}");
    assert!(burst <= 2.0, "{said}");
    // The way up after the outage weighs more in so short a load than in the full one of `cargo xtask bench amplification`.
    assert!(finish <= 1.20, "{said}");
}

/// What the other test would show if the gate did nothing.
#[tokio::test(start_paused = true)]
async fn without_gates_the_same_runs_need_far_more_and_many_fail() {
    let figures = measure(GateOptions::off(), RetryPolicy::default()).await;
    assert!(figures.failed > 100, "{} failed", figures.failed);
    let figures = measure(GateOptions::off(), RetryPolicy::default().attempts(100)).await;
    assert_eq!(figures.failed, 0);
    assert!(figures.amplification > 1.5, "{:.3}", figures.amplification);
}
