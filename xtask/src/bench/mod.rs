//! Benchmarks. Each prints a table, or with `--json` one object.

mod amplification;
mod books;
mod budget;
mod console;
mod engine;
mod engines;
mod gateway;
mod gateway_books;
mod limit;
mod meter;
mod observe;
mod peers;
mod traces;

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
    /// Why, ls, cost and stalls on a journal of a million runs; what handing traces on and counting costs.
    Observe(observe::Options),
    /// The console: first bytes on a journal of a million runs, a long run in a browser, what 500 readers cost.
    Console(console::Options),
    /// What a limit and an outage cost a thousand runs: requests, bursts, time.
    Amplification(amplification::Options),
    /// The embedded engine beside DBOS, LangGraph and the servers, on the same work.
    Peers(peers::Options),
    /// What the gateway adds to a call: latency and processor time, with booking on.
    Gateway(gateway::Options),
    /// What the gateway booked through kills and faults, beside what the provider bills.
    GatewayBooks(gateway_books::Options),
    #[command(hide = true)]
    GatewayLoad(gateway::LoadOptions),
    #[command(hide = true)]
    GatewayUpstream,
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
        Bench::Peers(options) => peers::run(&options),
        Bench::Observe(options) => observe::run(&options),
        Bench::Console(options) => console::run(&options),
        Bench::Amplification(options) => amplification::run(&options),
        Bench::Gateway(options) => gateway::run(&options),
        Bench::GatewayBooks(options) => gateway_books::run(&options),
        Bench::GatewayLoad(options) => gateway::load(&options),
        Bench::GatewayUpstream => gateway::upstream(),
    }
}
