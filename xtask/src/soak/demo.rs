//! The long kill test of the embedded engine: the demo's supervisor, with far more kills than anybody waits for in CI.

use anyhow::{bail, ensure};
use serde::{Deserialize, Serialize};

use super::{Options, say};
use crate::demo;

/// What came of it; the names are the demo's.
#[derive(Debug, Serialize, Deserialize)]
struct Outcome {
    kills: u64,
    runs: u64,
    /// Runs that never ended.
    lost: u64,
    effects_done_twice: u64,
    /// Whether effects and books agree as well.
    agree: bool,
    disagreements: Vec<String>,
    completed: u64,
    compensated: u64,
    failed: u64,
    attempts: u64,
    effects: u64,
    tokens_booked: u64,
    tokens_unknown_bound: u64,
    tokens_billed: u64,
    seed: u64,
    seconds: f64,
}

pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    let runs = options.runs.unwrap_or(options.kills.saturating_mul(6).clamp(60, 20_000));
    let mut arguments = vec![format!("--runs={runs}"), format!("--kills={}", options.kills)];
    arguments.extend(options.seed.map(|seed| format!("--seed={seed}")));
    let outcome: Outcome = demo::run(&arguments)?;
    say(&if options.json { serde_json::to_string(&outcome)? } else { told(&outcome) });
    if !outcome.agree {
        bail!("seed {}: {}", outcome.seed, outcome.disagreements.join("; "));
    }
    ensure!(
        outcome.kills == u64::from(options.kills),
        "only {} kills struck a process at work",
        outcome.kills
    );
    Ok(())
}

fn told(outcome: &Outcome) -> String {
    let Outcome { kills, runs, lost, effects, effects_done_twice, seed, seconds, .. } = outcome;
    format!(
        "{runs} runs through {kills} kills in {seconds} s: {lost} lost, {effects} effects, {effects_done_twice} done twice (seed {seed})"
    )
}
