//! A thousand calls at once on one budget, against a provider that fails now and then: what its ledger bills beside what
//! the budget allowed.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;
use midwatch::{
    Budget, Class, Context, Failure, Midwatch, Money, OnReached, Prices, RunError, RunId, StepContext,
    StepLlm, Timestamp, Usage, step, workflow,
};
use midwatch_journal::sqlite::SqliteJournal;
use midwatch_journal::{Journal as _, RunQuery};
use midwatch_providers::Report;
use midwatch_simulator::{Answers, Entry, Faults, Latency, Simulator};
use serde::Serialize;

use super::Output;

/// What to spend, and how often at once.
#[derive(Args)]
pub(crate) struct Options {
    /// How many calls there are.
    #[arg(long, default_value_t = 1_000)]
    calls: u32,
    /// What everything random follows from.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    #[command(flatten)]
    output: Output,
}

#[derive(Serialize)]
struct Figures {
    budget_usd: f64,
    /// By the provider's ledger and price list.
    spent_usd: f64,
    /// What the provider billed for calls beyond what was counted for them: where its word never came.
    estimate_error_usd: f64,
    /// Calls that were not sent.
    refused: usize,
    calls: u32,
    /// What the journal counts, bounds of lost calls included.
    booked_usd: f64,
    requests: usize,
    seconds: f64,
}

const MODEL: &str = "openai:gpt-4o";
const TENANT: &str = "acme";
const BUDGET: Money = Money::from_cents(100);
/// For a call to be sent, so much output must fit into the budget.
const OUTPUT_TOKENS_MAX: u64 = 400;

static URL: OnceLock<String> = OnceLock::new();

#[step(timeout = "60s")]
async fn ask(cx: StepContext, question: String) -> Result<u64, Failure> {
    let url = URL.get().map_or("", String::as_str);
    let call = cx.llm(MODEL).base_url(url).user(question).max_tokens(OUTPUT_TOKENS_MAX);
    Ok(call.stall_limit(Duration::from_secs(5)).send().await?.usage.output)
}

#[workflow]
async fn asks(cx: Context, question: String) -> Result<u64, Failure> {
    cx.step(ask, &question).await
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let simulator = provider(options.seed)?;
    ensure!(URL.set(simulator.openai_url()).is_ok(), "runs once");
    let folder = tempfile::tempdir()?;
    let db = folder.path().join("midwatch.db");
    let begun = Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let refused = runtime.block_on(spend(&db, options.calls))?;
    let seconds = begun.elapsed().as_secs_f64();
    ensure!(
        runtime.block_on(simulator.ledger().settled(Duration::from_secs(20))),
        "requests are still under way, so the ledger is not complete"
    );
    let entries = simulator.ledger().entries();
    let billed = billed(&entries);
    let booked = booked(&db, options.calls)?;
    simulator.stop_blocking();
    let none = Money::ZERO;
    let beyond = |(run, billed): (&Option<RunId>, &Money)| {
        billed.minus(run.and_then(|run| booked.get(&run).copied()).unwrap_or(none))
    };
    let figures = Figures {
        budget_usd: BUDGET.as_usd(),
        spent_usd: billed.values().copied().sum::<Money>().as_usd(),
        estimate_error_usd: billed.iter().map(beyond).sum::<Money>().as_usd(),
        refused,
        calls: options.calls,
        booked_usd: booked.values().copied().sum::<Money>().as_usd(),
        requests: entries.len(),
        seconds,
    };
    say(&figures, options.output)?;
    let most = figures.budget_usd + figures.estimate_error_usd;
    ensure!(figures.spent_usd <= most + 1e-9, "{} spent of {most}", figures.spent_usd);
    Ok(())
}

/// A provider that fails one call in five, in the ways in which money is spent nevertheless.
fn provider(seed: u64) -> anyhow::Result<Simulator> {
    let faults = Faults {
        cut_stream: 0.06,
        server_error_after: 0.06,
        reset_after: 0.04,
        error_event: 0.04,
        in_a_row_max: 2,
        ..Faults::default()
    };
    let mut builder = Simulator::builder()
        .seed(seed)
        .latency(Latency { min_ms: 20, max_ms: 200, token_ms: 1 })
        .faults_on_models(faults);
    builder.config().answers = Answers { tokens_min: 100, tokens_max: 390, ..Answers::default() };
    builder.start_on_thread().context("simulator")
}

/// Starts all calls at once, each a run for the same tenant; gives how many the budget refused.
async fn spend(db: &std::path::Path, calls: u32) -> anyhow::Result<usize> {
    let budget = Budget { on_reached: OnReached::Fail, ..Budget::usd(BUDGET) };
    let builder = Midwatch::embedded(db).workflow(asks).step(ask).tenant_budget(TENANT, budget);
    let midwatch = Arc::new(builder.open().await?);
    let mut runs = tokio::task::JoinSet::new();
    for number in 0..calls {
        let midwatch = Arc::clone(&midwatch);
        runs.spawn(async move {
            let question =
                format!("What does the log of watch {number} say about the weather and the course?");
            let run = midwatch.start(asks, question).id(format!("call-{number}")).tenant(TENANT).await?;
            match run.result().await {
                Err(RunError::Failed { failure, .. }) => Ok(failure.class == Class::Budget),
                Err(RunError::Engine(error)) => Err(anyhow::Error::from(error)),
                Ok(_) => Ok(false),
            }
        });
    }
    let mut refused = 0;
    while let Some(ended) = runs.join_next().await {
        refused += usize::from(ended??);
    }
    midwatch.shut_down().await;
    Ok(refused)
}

/// The provider's bill, by run.
fn billed(entries: &[Entry]) -> HashMap<Option<RunId>, Money> {
    let prices = Prices::bundled();
    let mut bills: HashMap<Option<RunId>, Money> = HashMap::new();
    for entry in entries {
        let run = entry.traceparent.as_deref().and_then(|parent| parent.split('-').nth(1)?.parse().ok());
        *bills.entry(run).or_default() += price(&prices, entry);
    }
    bills
}

fn price(prices: &Prices, entry: &Entry) -> Money {
    let tokens = entry.billed;
    let usage = Usage {
        calls: 1,
        input: tokens.input,
        output: tokens.output,
        cached: tokens.cached,
        cache_write: tokens.cache_write,
        reasoning: tokens.reasoning,
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let report = Report { usage, ..Report::default() };
    let quote = prices.quote(&format!("openai:{}", entry.model), &report, Timestamp::from_micros(0) + now);
    quote.map_or(Money::ZERO, |quote| quote.cost)
}

/// What the journal says that each run spent.
fn booked(db: &std::path::Path, calls: u32) -> anyhow::Result<HashMap<RunId, Money>> {
    let journal = SqliteJournal::open_reader(db)?;
    let runs = journal.runs(&RunQuery { limit: calls as usize + 1, ..RunQuery::default() })?;
    Ok(runs.into_iter().map(|run| (run.run, run.spent.cost)).collect())
}

#[allow(clippy::print_stdout)]
fn say(figures: &Figures, output: Output) -> anyhow::Result<()> {
    if output.json {
        println!("{}", serde_json::to_string(figures)?);
        return Ok(());
    }
    let Figures { calls, refused, requests, budget_usd, spent_usd, booked_usd, estimate_error_usd, seconds } =
        figures;
    println!(
        "{calls} calls at once on ${budget_usd:.2}: {requests} requests sent, {refused} calls refused, {seconds:.1} s"
    );
    println!("the provider bills ${spent_usd:.6}; counted were ${booked_usd:.6}");
    println!("billed beyond what was counted (answers that broke off): ${estimate_error_usd:.6}");
    Ok(())
}
