//! What a limit and an outage cost: 1,000 runs of 3 calls each at a target that lets 50 a second through, 50 at once, and
//! is down from 10 s to 30 s; over HTTP, against the simulator, in real time.
//!
//! Four strategies meet it: `ours` (the embedded engine as it comes), `immediate` (each call again at once),
//! `per_call_backoff` (each call by itself: 1 s, doubled, ±30 %, Retry-After obeyed) and `no_gate` (the embedded engine with
//! its gates off). Ours has five attempts a step. The others would lose most runs with five; they get as many as they
//! need, and the runs that needed more than five are counted. One that is not done after three times the ideal time is
//! stopped, and its figures are lower bounds.

mod client;
mod engine;
mod traffic;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use midwatch_simulator::{Latency, Outage, OutageWindow, Simulator};
use serde::Serialize;

use self::traffic::Traffic;
use super::Output;

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    output: Output,
    /// Only these strategies; all if none is named.
    #[arg(long, value_enum)]
    only: Vec<Strategy>,
    /// Runs, and the times of the outage, are multiplied by this.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Which API the calls go to: `openai` tells of its limits in every answer, `payments` only refuses, and asks for
    /// whole seconds.
    #[arg(long, value_enum, default_value_t = Api::Openai)]
    api: Api,
    /// How long an answer takes, in milliseconds; a refusal comes at once.
    #[arg(long, default_value_t = 100)]
    latency_ms: u64,
    /// Where the journals go; a real disk, not a file system in memory.
    #[arg(long, default_value = "target")]
    dir: PathBuf,
}

/// How calls are tried again.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Strategy {
    Ours,
    Immediate,
    PerCallBackoff,
    NoGate,
}

/// What is called.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Api {
    Openai,
    Payments,
}

const PER_SECOND: f64 = 50.0;
const CALLS: usize = 3;

/// Attempts that a step of ours has, and beyond which a run of the others counts as one that would have failed.
const ATTEMPTS: u32 = 5;

/// A strategy is stopped after so many times the ideal time.
const GIVE_UP: f64 = 3.0;

/// The load, as a strategy sees it.
struct Load {
    url: String,
    api: Api,
    runs: usize,
    limit: Duration,
}

/// What a strategy says of its runs.
struct Outcome {
    completed: usize,
    /// Runs that failed or, where attempts are not limited, needed more than five for a call.
    failed: usize,
    is_stopped: bool,
}

#[derive(Serialize)]
struct Report {
    runs: usize,
    calls: usize,
    ideal_s: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ours: Option<Figures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    immediate: Option<Figures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    per_call_backoff: Option<Figures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    no_gate: Option<Figures>,
}

#[derive(Serialize)]
struct Figures {
    /// Requests sent for each one needed.
    amplification: f64,
    /// The most requests in any second after the outage, in seconds' worth of the limit.
    burst_ratio: f64,
    /// The time until all was done, for each second that calls and outage need.
    finish_ratio: f64,
    runs_completed: usize,
    /// `ours`: failed; the others: those that five attempts would have lost.
    runs_failed: usize,
    requests: u64,
    refused: u64,
    /// Stopped before it was done: the figures are lower bounds.
    stopped: bool,
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    anyhow::ensure!(options.scale > 0.0, "the scale must be above zero");
    // Plain HTTP needs no TLS, but the client insists on a provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    std::fs::create_dir_all(&options.dir)?;
    let runs = (1_000.0 * options.scale).round() as usize;
    let down = (seconds(10.0 * options.scale), seconds(30.0 * options.scale));
    let ideal = (runs * CALLS) as f64 / PER_SECOND + (down.1 - down.0).as_secs_f64();
    let mut report = Report {
        runs,
        calls: runs * CALLS,
        ideal_s: ideal,
        ours: None,
        immediate: None,
        per_call_backoff: None,
        no_gate: None,
    };
    for strategy in Strategy::value_variants() {
        if !options.only.is_empty() && !options.only.contains(strategy) {
            continue;
        }
        let figures = measure(options, *strategy, runs, down, ideal)?;
        *match strategy {
            Strategy::Ours => &mut report.ours,
            Strategy::Immediate => &mut report.immediate,
            Strategy::PerCallBackoff => &mut report.per_call_backoff,
            Strategy::NoGate => &mut report.no_gate,
        } = Some(figures);
    }
    print(&report, options.output)
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

#[allow(clippy::cast_precision_loss)]
fn measure(
    options: &Options,
    strategy: Strategy,
    runs: usize,
    down: (Duration, Duration),
    ideal: f64,
) -> anyhow::Result<Figures> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let folder = tempfile::tempdir_in(&options.dir)?;
    // The outage is timed from the simulator's start, so everything else is ready before.
    let engine = runtime.block_on(engine::open(folder.path(), strategy, options.api))?;
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let outage = OutageWindow { from_ms: millis(down.0), to_ms: millis(down.1), outage: Outage::Unavailable };
    let latency = Latency { min_ms: options.latency_ms, max_ms: options.latency_ms, token_ms: 0 };
    let mut builder = Simulator::builder().rate_limit(PER_SECOND, 50).outage(outage).latency(latency);
    builder.config().ledger_entries_max = 1;
    let simulator = builder.start_on_thread().context("start the simulator")?;
    let traffic = Traffic::watch(simulator.ledger().clone());
    let load = Load { url: simulator.base_url(), api: options.api, runs, limit: seconds(ideal * GIVE_UP) };
    let outcome = runtime.block_on(async {
        match strategy {
            Strategy::Ours | Strategy::NoGate => engine::carry_out(&engine, &load).await,
            Strategy::Immediate | Strategy::PerCallBackoff => client::carry_out(strategy, &load).await,
        }
    })?;
    let took = simulator.ledger().now();
    let summary = simulator.ledger().summary();
    let burst = traffic.most_in_a_second(down.1);
    runtime.block_on(engine.shut_down());
    runtime.shutdown_timeout(Duration::from_secs(1));
    simulator.stop_blocking();
    let fault = |name: &str| summary.by_fault.get(name).copied().unwrap_or_default();
    Ok(Figures {
        amplification: summary.requests as f64 / (runs * CALLS) as f64,
        burst_ratio: burst as f64 / PER_SECOND,
        finish_ratio: took.as_secs_f64() / ideal,
        runs_completed: outcome.completed,
        runs_failed: outcome.failed,
        requests: summary.requests,
        refused: fault("rate_limit") + fault("outage"),
        stopped: outcome.is_stopped,
    })
}

#[allow(clippy::print_stdout)]
fn print(report: &Report, output: Output) -> anyhow::Result<()> {
    if output.json {
        println!("{}", serde_json::to_string(report)?);
        return Ok(());
    }
    println!("{} runs of {CALLS} calls; ideal {:.0} s", report.runs, report.ideal_s);
    println!("                   requests   most in 1 s     finish   runs lost");
    println!("                   ÷ needed       ÷ limit    ÷ ideal   (5 tries)");
    let rows = [
        ("ours", &report.ours),
        ("no gate", &report.no_gate),
        ("per-call backoff", &report.per_call_backoff),
        ("immediate", &report.immediate),
    ];
    for (name, figures) in rows {
        let Some(figures) = figures else { continue };
        println!(
            "{name:<16} {:>10.3} {:>13.2} {:>10.2} {:>11}{}",
            figures.amplification,
            figures.burst_ratio,
            figures.finish_ratio,
            figures.runs_failed,
            if figures.stopped { "   stopped, at least" } else { "" },
        );
    }
    Ok(())
}
