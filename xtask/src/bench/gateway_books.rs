//! The gateway's books through kills and faults, beside the simulator's ledger: what was booked exactly must be billed to
//! the token, and what nobody can know must lie within its bound.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;
use midwatch_books::{Balance, balance, billed, booked, usage};
use midwatch_journal::sqlite::SqliteJournal;
use midwatch_journal::{Journal, RunQuery};
use midwatch_providers::{Prices, Report};
use midwatch_simulator::{Config, Endpoint, Entry, FaultPlan, Faults, Simulator, serve};
use midwatch_workflow::{Money, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::Output;
use super::gateway::Process;
use crate::demo;

/// How many calls, and how often the gateway is killed.
#[derive(Args)]
pub(crate) struct Options {
    /// How many calls are made, of all kinds.
    #[arg(long, default_value_t = 5_000)]
    calls: u64,
    /// How often the gateway is killed while calls are under way.
    #[arg(long, default_value_t = 10)]
    kills: u64,
    /// How many calls are under way at once.
    #[arg(long, default_value_t = 24)]
    at_once: usize,
    /// What everything random follows from.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    #[command(flatten)]
    output: Output,
}

#[derive(Serialize)]
struct Figures {
    calls: u64,
    kills: u64,
    /// For certain, or counted along a stream that broke.
    tokens_booked: u64,
    tokens_billed: u64,
    /// The most that calls took which were killed, lost or never answered.
    tokens_unknown_bound: u64,
    /// What was billed for those: all by which booked and billed may differ, but for the estimates.
    tokens_billed_unknown: u64,
    tokens_estimated: u64,
    tokens_billed_estimated: u64,
    usd_booked: f64,
    usd_billed: f64,
    attempts_exact: u64,
    attempts_estimated: u64,
    attempts_unknown: u64,
    answered: u64,
    faults: u64,
    seconds: f64,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let midwatch = demo::built()?;
    let folder = tempfile::tempdir_in(demo::target()?)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (figures, balance) = runtime.block_on(trial(options, &midwatch, folder.path()))?;
    say(&figures, options.output)?;
    let disagreements = balance.disagreements.join("; ");
    ensure!(balance.disagreements.is_empty(), "the books do not agree: {disagreements}");
    let known = figures.tokens_billed - figures.tokens_billed_unknown;
    let off = figures.tokens_booked.abs_diff(known);
    let estimates = figures.tokens_estimated.abs_diff(figures.tokens_billed_estimated);
    ensure!(off == estimates, "{} booked, {known} billed for it", figures.tokens_booked);
    ensure!(figures.kills == options.kills, "only {} kills struck", figures.kills);
    Ok(())
}

/// A fifth of all calls meets one of these; some can befall streams alone.
fn faults() -> Faults {
    Faults {
        rate_limited: 0.02,
        overloaded: 0.02,
        server_error: 0.02,
        server_error_after: 0.03,
        hang_after: 0.005,
        reset: 0.02,
        reset_after: 0.025,
        cut_stream: 0.07,
        stall_stream: 0.015,
        error_event: 0.025,
        hang_ms: 600_000,
        ..Faults::default()
    }
}

async fn trial(options: &Options, midwatch: &Path, folder: &Path) -> anyhow::Result<(Figures, Balance)> {
    // Its own client stands for nobody's retries.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = Config {
        seed: options.seed,
        faults: FaultPlan { llm: faults(), ..FaultPlan::default() },
        ..Config::default()
    };
    let simulator = serve(config).await?;
    let db = folder.join("gateway.db");
    let begun = Instant::now();
    let mut gateway = start(midwatch, &db, &simulator, None)?;
    let address = address(&gateway)?;
    let (done, answered) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let places = Arc::new(Semaphore::new(options.at_once));
    let client = reqwest::Client::builder().retry(reqwest::retry::never()).build()?;
    let mut calls = tokio::task::JoinSet::new();
    let mut kills = 0;
    for number in 0..options.calls {
        let place = Arc::clone(&places).acquire_owned().await?;
        let (client, done, answered) = (client.clone(), Arc::clone(&done), Arc::clone(&answered));
        calls.spawn(async move {
            answered.fetch_add(u64::from(call(&client, address, number).await), Ordering::Relaxed);
            done.fetch_add(1, Ordering::Relaxed);
            drop(place);
        });
        // While as many calls are under way as may be.
        if number > 0 && kills < options.kills && number % (options.calls / (options.kills + 1)) == 0 {
            gateway.kill()?;
            kills += 1;
            gateway = start(midwatch, &db, &simulator, Some(address))?;
        }
    }
    while calls.join_next().await.is_some() {}
    ensure!(simulator.ledger().settled(Duration::from_secs(30)).await, "calls hang at the simulator");
    // The next start records what the last process left, and ends in good order.
    gateway.kill()?;
    start(midwatch, &db, &simulator, Some(address))?.stop()?;
    let entries = simulator.ledger().entries();
    let faults = entries.iter().filter(|entry| entry.fault.is_some()).count() as u64;
    let balance = weigh(&db, &entries)?;
    let figures = Figures {
        calls: options.calls,
        kills,
        tokens_booked: balance.booked.tokens,
        tokens_billed: balance.billed.tokens,
        tokens_unknown_bound: balance.unknown.tokens,
        tokens_billed_unknown: balance.billed_unknown.tokens,
        tokens_estimated: balance.estimated.tokens,
        tokens_billed_estimated: balance.billed_estimated.tokens,
        usd_booked: balance.booked.cost.as_usd(),
        usd_billed: balance.billed.cost.as_usd(),
        attempts_exact: balance.booked.attempts - balance.estimated.attempts,
        attempts_estimated: balance.estimated.attempts,
        attempts_unknown: balance.unknown.attempts,
        answered: answered.load(Ordering::Relaxed),
        faults,
        seconds: begun.elapsed().as_secs_f64(),
    };
    simulator.stop().await;
    Ok((figures, balance))
}

fn start(
    midwatch: &Path,
    db: &Path,
    simulator: &Simulator,
    at: Option<SocketAddr>,
) -> anyhow::Result<Process> {
    let url = simulator.openai_url();
    let listen = at.map_or_else(|| "127.0.0.1:0".to_owned(), |address| address.to_string());
    let mut gateway = Command::new(midwatch);
    gateway.args(["gateway", "--json", "--listen", &listen, "--db"]).arg(db);
    gateway.args(["--upstream", &format!("openai={url}"), "--upstream", &format!("anthropic={url}")]);
    gateway.env("MIDWATCH_GATEWAY_TIMEOUTS__FIRST_BYTE", "2s").env("MIDWATCH_GATEWAY_TIMEOUTS__STALL", "1s");
    Process::start(&mut gateway)
}

fn address(gateway: &Process) -> anyhow::Result<SocketAddr> {
    let said: Value = serde_json::from_str(&gateway.line).context("the gateway says where it listens")?;
    let base = said["listening"].as_str().context("the gateway says its address")?;
    Ok(base.trim_start_matches("http://").parse()?)
}

/// Makes one call; whether it was answered whole.
async fn call(client: &reqwest::Client, address: SocketAddr, number: u64) -> bool {
    let (path, body) = ask(number);
    let url = format!("http://{address}/run/thread-{}/v1/{path}", number % 50);
    // While the gateway starts nobody listens.
    for _ in 0..200 {
        match client.post(&url).json(&body).send().await {
            Ok(answer) => return answer.status().is_success() && answer.bytes().await.is_ok(),
            Err(error) if error.is_connect() => tokio::time::sleep(Duration::from_millis(25)).await,
            Err(_) => return false,
        }
    }
    false
}

/// The kinds of calls in turn, each with words of its own.
fn ask(number: u64) -> (&'static str, Value) {
    let prompt = format!("Question {number}: {}", "what is in the log? ".repeat(1 + (number % 30) as usize));
    let messages = json!([{"role": "user", "content": prompt}]);
    match number % 6 {
        0 => ("chat/completions", json!({"model": "gpt-4o-mini", "max_tokens": 150, "messages": messages})),
        1 | 2 => {
            let body =
                json!({"model": "gpt-4o-mini", "max_tokens": 150, "stream": true, "messages": messages});
            ("chat/completions", body)
        }
        3 => (
            "responses",
            json!({"model": "gpt-4o", "max_output_tokens": 150, "stream": true, "input": prompt}),
        ),
        4 => {
            let is_stream = number.is_multiple_of(4);
            let body = json!({"model": "claude-sonnet-4-5", "max_tokens": 150, "stream": is_stream, "messages": messages});
            ("messages", body)
        }
        _ => ("embeddings", json!({"model": "text-embedding-3-small", "input": prompt})),
    }
}

fn weigh(db: &Path, entries: &[Entry]) -> anyhow::Result<Balance> {
    let journal = SqliteJournal::open_reader(db)?;
    let mut ours = HashMap::new();
    for run in journal.runs(&RunQuery { limit: 10_000, ..RunQuery::default() })? {
        ours.extend(booked(run.run, &journal.events(run.run, 0)?));
    }
    let prices = Prices::bundled();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let now = Timestamp::from_micros(0) + now;
    let price = |entry: &Entry| {
        let provider = if entry.endpoint == Endpoint::Messages { "anthropic" } else { "openai" };
        let report = Report { usage: usage(&entry.billed), ..Report::default() };
        let quote = prices.quote(&format!("{provider}:{}", entry.model), &report, now);
        quote.map_or(Money::ZERO, |quote| quote.cost)
    };
    Ok(balance(&ours, &billed(entries, price)))
}

#[allow(clippy::print_stdout)]
fn say(figures: &Figures, output: Output) -> anyhow::Result<()> {
    if output.json {
        println!("{}", serde_json::to_string(figures)?);
        return Ok(());
    }
    let f = figures;
    println!(
        "{} calls, {} answered whole, {} faults, {} kills, {:.1} s",
        f.calls, f.answered, f.faults, f.kills, f.seconds
    );
    println!("billed  {:>9} tokens  ${:.6}", f.tokens_billed, f.usd_billed);
    println!(
        "booked  {:>9} tokens  ${:.6}; {} of {} attempts counted along streams that broke, {} billed for those",
        f.tokens_booked, f.usd_booked, f.tokens_estimated, f.attempts_estimated, f.tokens_billed_estimated
    );
    println!(
        "unknown {:>9} tokens at most, of {} attempts; {} billed for them",
        f.tokens_unknown_bound, f.attempts_unknown, f.tokens_billed_unknown
    );
    Ok(())
}
