//! Tasks of the project, run as `cargo xtask TASK`.

mod bench;
mod conformance;
mod demo;
mod release;
mod score;
mod setup;
mod soak;
mod test;

use clap::{Parser, Subcommand};

/// What is measured is measured with the allocator that the documentation recommends.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Tasks of the project: tests, benchmarks, soak runs.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Runs all tests: lints, unit, conformance and end-to-end tests, examples in the documentation.
    Test(test::Options),
    /// Measures speed and memory, with the machine's own limits in the same run.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Scores answers where the truth is known.
    #[command(subcommand)]
    Score(score::Score),
    /// Performs the suite of promises on all three engines, on real servers.
    Conformance(conformance::Options),
    /// Kills a process at work again and again, and checks that nothing is lost and nothing done twice.
    Soak(soak::Options),
}

fn main() -> anyhow::Result<()> {
    let task = Cli::parse().task;
    match task {
        Task::Test(options) => test::run(&options),
        Task::Bench(bench) => release::or_here(|| bench::run(bench)),
        Task::Score(score) => score::run(&score),
        Task::Conformance(options) => conformance::run(&options),
        Task::Soak(options) => soak::run(&options),
    }
}
