//! The world of the demo: providers that fail as real ones do, in this process, so that they outlive every kill.

use std::io;

use clap::ValueEnum;
use midwatch_simulator::{
    Answers, Config, Cue, Endpoint, Fault, FaultPlan, Faults, Latency, Outage, OutageWindow, RateLimit,
    Simulator,
};

/// How much goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Level {
    /// Nothing but the kills.
    None,
    /// As on a bad day.
    Some,
    /// As on a bad day with two outages.
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
        rate_limit: rate_limit(level),
        faults: faults(level),
        outages: if level == Level::Many { OUTAGES.to_vec() } else { Vec::new() },
        script: vec![undeliverable],
        ..Config::default()
    }
}

fn rate_limit(level: Level) -> Option<RateLimit> {
    match level {
        Level::None => None,
        Level::Some | Level::Many => Some(RateLimit { per_second: 80.0, burst: 40 }),
        Level::Third => Some(RateLimit { per_second: 300.0, burst: 100 }),
    }
}

/// Twice everything is down: once its front says so, and once nobody answers.
const OUTAGES: [OutageWindow; 2] = [
    OutageWindow { from_ms: 5_000, to_ms: 8_000, outage: Outage::Unavailable },
    OutageWindow { from_ms: 15_000, to_ms: 17_000, outage: Outage::Refused },
];

/// Most 429s come of the rate limit: a gate learns from each one, and would learn nonsense of many that strike at random.
/// Effects get no plain 500: a payment API keeps it under the key and replays it, and then a person must look.
fn faults(level: Level) -> FaultPlan {
    let scale = match level {
        Level::None => return FaultPlan::default(),
        Level::Third => return third(),
        Level::Some => 1.0,
        Level::Many => 2.0,
    };
    let common = Faults {
        rate_limited: 0.005,
        overloaded: 0.01,
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
    FaultPlan { llm, effects: Faults { unavailable: 0.02, ..common } }
}

/// What costs money or has an effect and fails nevertheless is most of it.
fn third() -> FaultPlan {
    let common = Faults {
        rate_limited: 0.02,
        hang: 0.005,
        hang_after: 0.005,
        retry_after_s: 0.1,
        hang_ms: 60_000,
        in_a_row_max: 3,
        ..Faults::default()
    };
    let llm = Faults {
        server_error_after: 0.09,
        reset_after: 0.05,
        cut_stream: 0.1,
        stall_stream: 0.005,
        error_event: 0.025,
        ..common
    };
    FaultPlan { llm, effects: Faults { reset: 0.13, reset_after: 0.14, ..common } }
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
