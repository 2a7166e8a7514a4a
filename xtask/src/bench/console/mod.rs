//! The console on a large journal, with a long run, and with many readers beside an engine at work.

mod browser;
mod pages;
mod readers;

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::Output;
use super::observe::{fill, say};

/// How much to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// How many runs the large journal holds.
    #[arg(long, default_value_t = 1_000_000)]
    runs: u64,
    /// Where to keep it for another time; used as it is if it is there.
    #[arg(long, value_name = "FILE")]
    keep: Option<PathBuf>,
    /// How many readers stay on pages while the engine works.
    #[arg(long, default_value_t = 500)]
    viewers: usize,
    /// How many runs of ten steps the engine carries out, with and without readers.
    #[arg(long, default_value_t = 20_000)]
    work: usize,
    #[command(flatten)]
    output: Output,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in("target")?;
    let path = options.keep.clone().unwrap_or_else(|| folder.path().join("midwatch.db"));
    if !path.exists() {
        fill(&path, options.runs)?;
    }
    let first_byte = pages::first_byte(&path)?;
    let (run_page, run_page_server) = browser::run_page(folder.path())?;
    let readers = readers::overhead(folder.path(), options.viewers, options.work)?;
    let figures = json!({
        "runs": options.runs,
        "first_byte_ms_p95": first_byte,
        "run_page_events": browser::EVENTS,
        "run_page_ms": run_page,
        "run_page_server_ms": run_page_server,
        "overhead_500_viewers": readers.overhead,
        "viewers": options.viewers,
        "steps_per_s": readers.alone,
        "steps_per_s_with_viewers": readers.watched,
        "changes_received": readers.changes,
    });
    say(options.output, &figures);
    Ok(())
}
