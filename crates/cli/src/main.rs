//! The `midwatch` command: see, steer and check runs from a terminal.

mod carrier;
mod collector;
mod commands;
mod config;
mod control;
mod error;
mod find;
mod output;
mod server;
mod source;
mod stop;

use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser};

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
A command looks into the journal file, or with --server at a console that shows it on another machine.
RUN is a run id, its short form (r_1a2b3c4d), the first 4 or more of its hex digits, or a workflow id.

Exit codes: 0 done · 1 what was asked for failed · 2 usage · 3 no such run · 4 the journal or its server is unavailable \
· 5 refused: the run cannot do that in its state";

fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let mut cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let is_typed = |name: &str| matches.value_source(name) == Some(ValueSource::CommandLine);
    let chosen = cli.global.choose(is_typed).map_err(anyhow::Error::from);
    let mut out = Out::new(&cli.global);
    match chosen.and_then(|()| cli.command.run(&cli.global, &mut out)) {
        Ok(exit) => exit.into(),
        Err(error) => error::report(&error, &cli.global).into(),
    }
}
