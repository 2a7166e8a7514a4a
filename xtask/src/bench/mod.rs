//! Benchmarks. Each prints a table, or with `--json` one object.

mod amplification;
mod books;
mod budget;
mod engine;
mod engines;
mod limit;
mod meter;
mod observe;

use clap::{Args, Subcommand};

/// What to measure.
#[derive(Subcommand)]
pub(crate) enum Bench {
    /// Durable steps a second, latency of a lone run, recovery, memory of sleeping runs.
    Engine(engine::Options),
    /// What thousands of runs booked through kills and failures, beside what the provider bills.
    Books(books::Options),
    /// Durable steps a second on servers, beside the server's own SDK driven by hand.
    Engines(engines::Options),
    /// A thousand calls at once on one budget of a dollar: what the provider bills in the end.
    Budget(budget::Options),
    /// Why, ls, cost and stalls on a journal of a million runs.
    Observe(observe::Options),
    /// What a limit and an outage cost a thousand runs: requests, bursts, time.
    Amplification(amplification::Options),
    #[command(hide = true)]
    EngineSleepers(engine::SleeperOptions),
}

/// How to print.
#[derive(Args, Clone, Copy)]
pub(crate) struct Output {
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(bench: Bench) -> anyhow::Result<()> {
    match bench {
        Bench::Engine(options) => engine::run(&options),
        Bench::Engines(options) => engines::run(&options),
        Bench::Books(options) => books::run(&options),
        Bench::Budget(options) => budget::run(&options),
        Bench::Observe(options) => observe::run(&options),
        Bench::Amplification(options) => amplification::run(&options),
        Bench::EngineSleepers(options) => engine::sleepers(&options),
    }
}
