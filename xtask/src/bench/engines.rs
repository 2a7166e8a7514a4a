//! The engines on servers: durable steps a second, beside the server's own SDK driven by hand, in one run.
//!
//! Each engine's crate has the benchmark, so that the tasks need not be built with every server's SDK.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::Value;

use super::Output;
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

/// Engines with a server, and the crates that measure them.
const ENGINES: [(&str, &str); 1] = [("restate", "midwatch-engine-restate")];

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask stands in the workspace")?;
    if !setup::ensure_restate_server(root)? {
        bail!("restate-server comes from npm: install node and npm first");
    }
    let mut figures = BTreeMap::new();
    for (engine, package) in ENGINES {
        figures.insert(engine, measure(root, package, options.quick)?);
    }
    print(options, &figures);
    Ok(())
}

fn measure(root: &Path, package: &str, is_quick: bool) -> anyhow::Result<Value> {
    let measured = Command::new("cargo")
        .args(["bench", "--quiet", "--package", package, "--bench", "steps", "--", "--json"])
        .args(is_quick.then_some("--quick"))
        .current_dir(root)
        .stderr(std::process::Stdio::inherit())
        .output()
        .with_context(|| format!("start the benchmark of {package}"))?;
    if !measured.status.success() {
        bail!("the benchmark of {package} failed");
    }
    let text = String::from_utf8(measured.stdout)?;
    let object = text.lines().rev().find(|line| line.starts_with('{'));
    let object = object.with_context(|| format!("the benchmark of {package} gave no figures"))?;
    Ok(serde_json::from_str(object)?)
}

#[allow(clippy::print_stdout)]
fn print(options: &Options, figures: &BTreeMap<&str, Value>) {
    if options.output.json {
        println!("{}", serde_json::json!(figures));
        return;
    }
    println!("{:<10}{:>12}{:>12}{:>12}", "", "steps/s", "by hand", "overhead");
    for (engine, of) in figures {
        let number = |name: &str| of[name].as_f64().unwrap_or_default();
        let overhead = number("overhead") * 100.0;
        println!(
            "{engine:<10}{:>12.0}{:>12.0}{overhead:>10.1} %",
            number("steps_per_s"),
            number("direct_steps_per_s")
        );
    }
}
