//! How fast views are on a large journal (`why`, `ls`, `cost`, `stalls` as the command line asks for them), and what being
//! observed costs.

use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use midwatch_inspect::{CostQuery, Inspector, cost, stalls};
use midwatch_journal::sqlite::{Options as JournalOptions, SqliteJournal};
use midwatch_journal::{Append, Fold, Journal, Order, RunQuery, Status};
use midwatch_observe::corpus::{Tale, World};
use midwatch_observe::cost::By;
use midwatch_observe::why::{Owner, STALL_LIMIT};
use midwatch_workflow::{Event, EventKind, RunId, WorkflowId};
use serde_json::json;

use super::Output;

/// How large the journal is.
#[derive(Args)]
pub(crate) struct Options {
    /// How many runs it holds.
    #[arg(long, default_value_t = 1_000_000)]
    runs: u64,
    /// Where to keep it for another time; used as it is if it is there.
    #[arg(long, value_name = "FILE")]
    keep: Option<PathBuf>,
    /// Only what being observed costs.
    #[arg(long)]
    only_overhead: bool,
    #[command(flatten)]
    output: Output,
}

/// So often each question is asked; the median counts.
const ROUNDS: usize = 5;

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let overhead = super::traces::measure(folder.path())?;
    if options.only_overhead {
        say(options.output, &serde_json::to_value(overhead)?);
        return Ok(());
    }
    let path = options.keep.clone().unwrap_or_else(|| folder.path().join("midwatch.db"));
    if !path.exists() {
        fill(&path, options.runs)?;
    }
    let journal = SqliteJournal::open_reader(&path)?;
    let newest = journal.runs(&RunQuery { limit: 1, ..RunQuery::default() })?;
    let now = newest.first().context("a journal with runs")?.updated_at + Duration::from_secs(400);
    let open = RunQuery { statuses: vec![Status::Running], limit: 3, ..RunQuery::default() };
    let asked: Vec<RunId> = journal.runs(&open)?.iter().map(|run| run.run).collect();
    drop(journal);
    // Each question on a connection of its own, as a command would ask it.
    let why_ms = median(|| {
        let journal = SqliteJournal::open_reader(&path)?;
        let run = *asked.first().context("an open run")?;
        Ok(Inspector::new(&journal, now, Owner::Nobody).why(run)?)
    })?;
    let ls_ms = median(|| {
        Ok(SqliteJournal::open_reader(&path)?.runs(&RunQuery { limit: 51, ..RunQuery::default() })?)
    })?;
    let costliest = median(|| {
        let query = RunQuery { order: Order::Costliest, limit: 51, ..RunQuery::default() };
        Ok(SqliteJournal::open_reader(&path)?.runs(&query)?)
    })?;
    let by = |by: By| median(|| Ok(cost(&SqliteJournal::open_reader(&path)?, &CostQuery::default(), by)?));
    let (cost_ms, cost_by_model_ms) = (by(By::Workflow)?, by(By::Model)?);
    let stalls_ms = median(|| Ok(stalls(&SqliteJournal::open_reader(&path)?, now, STALL_LIMIT)?))?;
    let bytes = std::fs::metadata(&path)?.len();
    let mut figures = json!({
        "runs": options.runs, "bytes": bytes, "why_ms": why_ms, "ls_ms": ls_ms.max(costliest), "cost_ms": cost_ms,
        "cost_by_model_ms": cost_by_model_ms, "stalls_ms": stalls_ms,
    });
    if let (Some(figures), Ok(serde_json::Value::Object(overhead))) =
        (figures.as_object_mut(), serde_json::to_value(overhead))
    {
        figures.extend(overhead);
    }
    say(options.output, &figures);
    Ok(())
}

/// Fills a journal: nearly all runs have ended, one in a thousand is open, and one in ten of those is silent.
pub(super) fn fill(path: &Path, runs: u64) -> anyhow::Result<()> {
    let journal = SqliteJournal::open(path, JournalOptions::default())?;
    let mut waiting = std::collections::VecDeque::new();
    let patterns: Vec<Vec<Event>> = (0..64).map(pattern).collect();
    for n in 0..runs {
        let open = n % 1_000 == 999;
        let events = placed(&patterns[usize::try_from(n % 64)?], n, open);
        let Some(EventKind::RunStarted(start)) = events.first().map(|event| &event.kind) else { continue };
        let summary = Fold::of(&events).map(|fold| Box::new(fold.summary));
        let (done, written) = channel();
        journal.append(
            Append::new(start.run, 1, &events, summary)?,
            Box::new(move |outcome| drop(done.send(outcome))),
        );
        waiting.push_back(written);
        if waiting.len() > 4_000 {
            waiting.pop_front().context("an append")?.recv()??;
        }
    }
    for written in waiting {
        written.recv()??;
    }
    journal.close()?;
    Ok(())
}

fn pattern(n: u64) -> Vec<Event> {
    let mut tale = Tale::begin(World::of(n), n);
    tale.usual_work(n);
    tale.complete();
    tale.events
}

/// The n-th run: the same events with its own id, a second after the one before; cut off in the middle if it is open.
fn placed(pattern: &[Event], n: u64, is_open: bool) -> Vec<Event> {
    let shift = Duration::from_secs(n);
    let kept = if is_open { pattern.len() * 2 / 3 } else { pattern.len() };
    let mut events: Vec<Event> = pattern[..kept]
        .iter()
        .map(|event| Event { at: event.at + shift, kind: event.kind.clone() })
        .collect();
    if let Some(Event { at, kind: EventKind::RunStarted(start) }) = events.first_mut() {
        let mut random = [0; 10];
        random[2..].copy_from_slice(&n.to_be_bytes());
        start.run = RunId::new(*at, random);
        start.workflow_id = WorkflowId::from(start.run);
    }
    events
}

fn median<T>(mut ask: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<f64> {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        drop(ask()?);
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok((times[ROUNDS / 2] * 10.0).round() / 10.0)
}

#[allow(clippy::print_stdout)]
pub(super) fn say(output: Output, figures: &serde_json::Value) {
    if output.json {
        println!("{figures}");
        return;
    }
    for (name, value) in figures.as_object().into_iter().flatten() {
        println!("{name:<24} {value}");
    }
}
