//! The long kill tests: `kill -9` again and again, and then a comparison of what is written with what was done.

mod demo;
mod server;
mod trips;
mod worker;

use clap::{Args, ValueEnum};

/// What to kill, and how often.
#[derive(Args)]
pub(crate) struct Options {
    /// The engine: of one on a server, its worker, its server, or both at once are killed.
    #[arg(long, value_enum, default_value = "embedded")]
    engine: Engine,
    /// How often something is killed while it works.
    #[arg(long, default_value_t = 200)]
    kills: u32,
    /// How many runs there are, on the embedded engine; by default six for each kill. On a server there are always some.
    #[arg(long)]
    runs: Option<u32>,
    /// What everything random follows from; drawn if it is not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

/// An engine.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
enum Engine {
    /// In one process, on a journal file.
    Embedded,
    /// On a Temporal server.
    Temporal,
    /// On a Restate server.
    Restate,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    match options.engine {
        Engine::Embedded => demo::run(options),
        Engine::Temporal | Engine::Restate => server::run(options),
    }
}

#[allow(clippy::print_stdout)]
fn say(line: &str) {
    println!("{line}");
}
