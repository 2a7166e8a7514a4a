//! Tasks of the project, run as `cargo xtask TASK`.

mod bench;

use clap::{Parser, Subcommand};

/// Tasks of the project: tests, benchmarks, soak runs.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Measures speed and memory, with the machine's own limits in the same run.
    #[command(subcommand)]
    Bench(bench::Bench),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().task {
        Task::Bench(bench) => bench::run(bench),
    }
}
