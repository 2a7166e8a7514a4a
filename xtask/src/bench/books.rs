//! The books of many runs whose process is killed again and again and whose calls fail in every way, beside the
//! provider's ledger; and the effects beside the world.

use anyhow::ensure;
use clap::Args;
use serde::{Deserialize, Serialize};

use super::Output;
use crate::demo;

/// How many runs, and how often their process is killed.
#[derive(Args)]
pub(crate) struct Options {
    /// How many runs there are: a third each of checkout, booking and research.
    #[arg(long, default_value_t = 2_000)]
    runs: u32,
    /// How often the process is killed while it works.
    #[arg(long, default_value_t = 20)]
    kills: u32,
    /// What everything random follows from.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    #[command(flatten)]
    output: Output,
}

/// What the demo says; the names are its own.
#[derive(Deserialize)]
struct Outcome {
    runs: u64,
    kills: u64,
    lost: u64,
    attempts: u64,
    tokens_booked: u64,
    tokens_estimated: u64,
    tokens_billed_estimated: u64,
    tokens_unknown_bound: u64,
    attempts_unknown: u64,
    tokens_billed: u64,
    tokens_billed_unknown: u64,
    usd_booked: f64,
    usd_billed: f64,
    usd_unknown_bound: f64,
    usd_billed_unknown: f64,
    effects: u64,
    effects_done_twice: u64,
    effects_left: u64,
    compensated: u64,
    agree: bool,
    disagreements: Vec<String>,
    seconds: f64,
}

#[derive(Serialize)]
struct Figures {
    runs: u64,
    kills: u64,
    /// Known from the provider's own word, or counted along a stream that broke.
    tokens_booked: u64,
    tokens_billed: u64,
    /// The most that attempts used which were killed or never answered in the middle of a call. What was billed for them
    /// is all by which booked and billed differ.
    tokens_unknown_bound: u64,
    usd_booked: f64,
    usd_billed: f64,
    /// Effects that were done twice.
    double_charges: u64,
    /// Effects that still stand of runs that failed.
    uncompensated: u64,
    tokens_billed_unknown: u64,
    /// How much of what is booked was counted along streams that broke, and what was billed for them.
    tokens_estimated: u64,
    tokens_billed_estimated: u64,
    usd_unknown_bound: f64,
    usd_billed_unknown: f64,
    attempts: u64,
    attempts_unknown: u64,
    lost: u64,
    compensated: u64,
    effects: u64,
    seconds: f64,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let Options { runs, kills, seed, .. } = options;
    let arguments = [
        format!("--runs={runs}"),
        format!("--kills={kills}"),
        format!("--seed={seed}"),
        "--faults=third".to_owned(),
    ];
    let outcome: Outcome = demo::run(&arguments)?;
    let disagreements = outcome.disagreements.join("; ");
    let agree = outcome.agree;
    let figures = Figures::of(outcome);
    say(&figures, options.output)?;
    ensure!(agree, "the books or the effects do not agree: {disagreements}");
    figures.check(options.kills)
}

impl Figures {
    fn of(outcome: Outcome) -> Self {
        Self {
            runs: outcome.runs,
            kills: outcome.kills,
            tokens_booked: outcome.tokens_booked,
            tokens_billed: outcome.tokens_billed,
            tokens_unknown_bound: outcome.tokens_unknown_bound,
            usd_booked: outcome.usd_booked,
            usd_billed: outcome.usd_billed,
            double_charges: outcome.effects_done_twice,
            uncompensated: outcome.effects_left,
            tokens_billed_unknown: outcome.tokens_billed_unknown,
            tokens_estimated: outcome.tokens_estimated,
            tokens_billed_estimated: outcome.tokens_billed_estimated,
            usd_unknown_bound: outcome.usd_unknown_bound,
            usd_billed_unknown: outcome.usd_billed_unknown,
            attempts: outcome.attempts,
            attempts_unknown: outcome.attempts_unknown,
            lost: outcome.lost,
            compensated: outcome.compensated,
            effects: outcome.effects,
            seconds: outcome.seconds,
        }
    }

    fn check(&self, kills: u32) -> anyhow::Result<()> {
        let known = self.tokens_billed - self.tokens_billed_unknown;
        ensure!(self.tokens_booked == known, "{} tokens booked, {known} billed for them", self.tokens_booked);
        let usd = self.usd_billed - self.usd_billed_unknown;
        ensure!((self.usd_booked - usd).abs() < 1e-9, "${} booked, ${usd} billed for it", self.usd_booked);
        ensure!(self.tokens_billed_unknown <= self.tokens_unknown_bound, "a bound does not hold");
        ensure!(self.kills == u64::from(kills), "only {} kills struck a process at work", self.kills);
        Ok(())
    }
}

#[allow(clippy::print_stdout)]
fn say(figures: &Figures, output: Output) -> anyhow::Result<()> {
    if output.json {
        println!("{}", serde_json::to_string(figures)?);
        return Ok(());
    }
    let f = figures;
    println!("{} runs through {} kills, {} attempts, {} s", f.runs, f.kills, f.attempts, f.seconds);
    println!("billed  {:>9} tokens  ${:.6}", f.tokens_billed, f.usd_billed);
    println!(
        "booked  {:>9} tokens  ${:.6}, {} of them along streams that broke",
        f.tokens_booked, f.usd_booked, f.tokens_estimated
    );
    println!(
        "unknown {:>9} tokens  ${:.6}, billed for {} attempts that nobody answered; at most {} were booked for them",
        f.tokens_billed_unknown, f.usd_billed_unknown, f.attempts_unknown, f.tokens_unknown_bound
    );
    println!(
        "{} effects, {} done twice; {} runs undone, {} effects of failed runs left",
        f.effects, f.double_charges, f.compensated, f.uncompensated
    );
    Ok(())
}
