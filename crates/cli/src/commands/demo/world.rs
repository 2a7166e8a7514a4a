//! The world of the demo: providers that fail as real ones do, in this process, so that they outlive every kill.

use std::io;

use clap::ValueEnum;
use midwatch_simulator::{
    Answers, Config, Cue, Endpoint, Fault, FaultPlan, Faults, Latency, RateLimit, Simulator,
};

/// How much goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Level {
    /// Nothing but the kills.
    None,
    /// As on a bad day.
    Some,
    /// As during an outage.
    Many,
    /// Three requests in ten, most of them after money was spent or an effect done.
    Third,
}

/// An address that no carrier delivers to: its label is refused, for good.
pub(super) const UNDELIVERABLE: &str = "nowhere";

/// Starts the providers on a thread of their own.
///
/// # Errors
/// If no port can be had.
pub(super) fn start(level: Level, seed: u64) -> io::Result<Simulator> {
    midwatch_simulator::serve_on_thread(config(level, seed))
}

fn config(level: Level, seed: u64) -> Config {
    let undeliverable = Cue::on(Endpoint::Effects)
        .model("print_label")
        .containing(UNDELIVERABLE)
        .fault(Fault::InvalidRequest)
        .always();
    Config {
        seed,
        latency: Latency { min_ms: 10, max_ms: 120, token_ms: 2 },
        answers: Answers { tokens_min: 15, tokens_max: 60, ..Answers::default() },
        rate_limit: (level != Level::None).then_some(RateLimit { per_second: 80.0, burst: 40 }),
        faults: faults(level),
        script: vec![undeliverable],
        ..Config::default()
    }
}

/// Most 429s come of the rate limit: a gate learns from each one, and would learn nonsense of many that strike at random.
/// Effects get no plain 500: a payment API keeps it under the key and replays it, and then a person must look.
fn faults(level: Level) -> FaultPlan {
    let scale = match level {
        Level::None => return FaultPlan::default(),
        Level::Third => return third(),
        Level::Some => 1.0,
        Level::Many => 3.0,
    };
    let common = Faults {
        rate_limited: 0.005 * scale,
        overloaded: 0.01 * scale,
        hang: 0.004 * scale,
        hang_after: 0.004 * scale,
        reset: 0.015 * scale,
        reset_after: 0.03 * scale,
        hang_ms: 60_000,
        in_a_row_max: 3,
        ..Faults::default()
    };
    let llm = Faults {
        server_error: 0.01 * scale,
        server_error_after: 0.02 * scale,
        quota_exhausted: 0.008,
        context_overflow: 0.008,
        cut_stream: 0.04 * scale,
        stall_stream: 0.005 * scale,
        error_event: 0.01 * scale,
        slow_tokens: 0.02,
        slow_token_ms: 20,
        ..common
    };
    FaultPlan { llm, effects: Faults { unavailable: 0.02 * scale, ..common } }
}

/// Waits are short, so that a benchmark of thousands of runs is over in minutes.
fn third() -> FaultPlan {
    let common = Faults {
        hang: 0.005,
        hang_after: 0.005,
        reset_after: 0.05,
        retry_after_s: 0.1,
        hang_ms: 60_000,
        in_a_row_max: 3,
        ..Faults::default()
    };
    let llm = Faults {
        rate_limited: 0.07,
        server_error_after: 0.07,
        cut_stream: 0.08,
        stall_stream: 0.005,
        error_event: 0.015,
        ..common
    };
    FaultPlan { llm, effects: Faults { rate_limited: 0.12, overloaded: 0.06, reset: 0.06, ..common } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_is_a_world_that_can_be() {
        for level in Level::value_variants().iter().copied() {
            config(level, 1).validate().unwrap();
        }
    }
}
