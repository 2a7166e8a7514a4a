//! The `midwatch` command: see, steer and check runs from a terminal.

mod collector;
mod commands;
mod config;
mod control;
mod error;
mod find;
mod output;
mod stop;

use std::process::ExitCode;

use clap::Parser;

use crate::commands::Command;
use crate::config::Global;
use crate::output::Out;

/// Events are many small allocations, made by one thread and freed by another: where this allocator is strong.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Durable workflows for AI agents: see what runs, steer it, and check that the books agree.
#[derive(Parser)]
#[command(name = "midwatch", version, max_term_width = 100, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: Global,
}

const AFTER_HELP: &str = "\
RUN is a run id, its short form (r_1a2b3c4d), the first 4 or more of its hex digits, or a workflow id.

Exit codes: 0 done · 1 what was asked for failed · 2 usage · 3 no such run · 4 the journal is unavailable or damaged \
· 5 refused: the run cannot do that in its state";

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut out = Out::new(&cli.global);
    match cli.command.run(&cli.global, &mut out) {
        Ok(exit) => exit.into(),
        Err(error) => error::report(&error, &cli.global).into(),
    }
}
