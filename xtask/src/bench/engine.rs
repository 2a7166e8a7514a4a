//! The embedded engine: durable steps a second, latency, recovery, memory, beside the machine's limits in the same run.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use midwatch::{Context, Failure, Midwatch, StepContext, step, workflow};
use midwatch_journal::sqlite::SqliteJournal;
use midwatch_journal::{Journal, RunQuery};
use serde::Serialize;

use super::meter::{Meter, quantile};
use super::{Output, limit};

/// How much to measure.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    output: Output,
    /// Where the files go; a real disk, not a file system in memory.
    #[arg(long, default_value = "target")]
    dir: std::path::PathBuf,
    /// A tenth of the work, for a quick look.
    #[arg(long)]
    quick: bool,
    /// Only the steps a second with so many runs at once, e.g. under a profiler.
    #[arg(long)]
    only: Option<usize>,
}

#[derive(Default, Serialize)]
struct Figures {
    steps_per_s: BTreeMap<usize, f64>,
    limit_rows_per_s: BTreeMap<usize, f64>,
    share_of_limit: BTreeMap<usize, f64>,
    lone_run_ms: LoneRun,
    lone_commits_ms: f64,
    bytes_per_step: f64,
    cpu_us_per_step: BTreeMap<usize, f64>,
    bytes_per_sleeping_run: BTreeMap<usize, f64>,
    recover_10000_s: f64,
    recover_100000_sleeping_s: f64,
    fdatasync_per_s: f64,
}

#[derive(Default, Serialize)]
struct LoneRun {
    p50: f64,
    p99: f64,
}

#[step]
async fn echo(_cx: StepContext, text: String) -> Result<String, Failure> {
    Ok(text)
}

#[workflow]
async fn ten_steps(cx: Context, text: String) -> Result<String, Failure> {
    let mut last = text;
    for _ in 0..10 {
        last = cx.step(echo, &last).await?;
    }
    Ok(last)
}

/// Ends soon after it is taken up: what it was doing when the process died is done again.
#[step]
async fn hang_once(cx: StepContext, _: ()) -> Result<(), Failure> {
    if cx.attempt() == 1 {
        std::future::pending::<()>().await;
    }
    Ok(())
}

#[workflow]
async fn interrupted(cx: Context, _: ()) -> Result<(), Failure> {
    cx.step(hang_once, &()).await
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    std::fs::create_dir_all(&options.dir)?;
    let folder = tempfile::tempdir_in(&options.dir)?;
    let scale = if options.quick { 10 } else { 1 };
    let runtime = runtime()?;
    let fdatasync_per_s = limit::syncs_per_second(folder.path(), Duration::from_secs(2) / scale)?;
    let mut figures = Figures { fdatasync_per_s, ..Figures::default() };
    if let Some(at_once) = options.only {
        throughput(&runtime, folder.path(), at_once, 40_000 / scale as usize, &mut figures)?;
        return print(&figures, options.output);
    }
    lone(&runtime, folder.path(), (300 / scale) as usize, &mut figures)?;
    for (at_once, runs) in [(1, 1_000), (100, 20_000), (1000, 40_000)] {
        throughput(&runtime, folder.path(), at_once, (runs / scale) as usize, &mut figures)?;
    }
    recovery(&runtime, folder.path(), (10_000 / scale) as usize, &mut figures)?;
    for runs in [10_000, 100_000 / scale as usize] {
        sleeping(folder.path(), runs, &mut figures)?;
    }
    print(&figures, options.output)
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

/// The figures that others are compared by.
pub(super) struct Short {
    pub(super) steps_per_s: f64,
    pub(super) cpu_us_per_step: f64,
    pub(super) lone_run_ms: f64,
}

/// Measures runs side by side, and others one at a time.
pub(super) fn at_once_and_alone(
    folder: &Path,
    at_once: usize,
    runs: usize,
    alone: usize,
) -> anyhow::Result<Short> {
    let (runtime, mut figures) = (runtime()?, Figures::default());
    lone(&runtime, folder, alone, &mut figures)?;
    throughput(&runtime, folder, at_once, runs, &mut figures)?;
    Ok(Short {
        steps_per_s: figures.steps_per_s[&at_once],
        cpu_us_per_step: figures.cpu_us_per_step[&at_once],
        lone_run_ms: figures.lone_run_ms.p50,
    })
}

async fn open(db: &Path) -> anyhow::Result<Arc<Midwatch>> {
    let builder = Midwatch::embedded(db).workflow(ten_steps).workflow(interrupted);
    Ok(Arc::new(builder.step(echo).step(hang_once).open().await?))
}

/// The same number of runs at once all the time, each of ten steps one after another.
fn throughput(
    runtime: &tokio::runtime::Runtime,
    folder: &Path,
    at_once: usize,
    runs: usize,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let limit = limit::rows_per_second(folder, at_once, Duration::from_secs(2))?;
    let db = folder.join(format!("steps-{at_once}.db"));
    let (wall, cpu) = runtime.block_on(async {
        let midwatch = open(&db).await?;
        let meter = Meter::start();
        let workers = (0..at_once).map(|worker| {
            let midwatch = Arc::clone(&midwatch);
            tokio::spawn(async move {
                for _ in (worker..runs).step_by(at_once) {
                    midwatch.start(ten_steps, "a short text".to_owned()).await?.result().await?;
                }
                anyhow::Ok(())
            })
        });
        for worker in workers.collect::<Vec<_>>() {
            worker.await??;
        }
        let measured = (meter.wall(), meter.cpu());
        midwatch.shut_down().await;
        anyhow::Ok(measured)
    })?;
    #[allow(clippy::cast_precision_loss)]
    let steps = (runs * 10) as f64;
    figures.steps_per_s.insert(at_once, steps / wall.as_secs_f64());
    figures.limit_rows_per_s.insert(at_once, limit);
    figures.share_of_limit.insert(at_once, steps / wall.as_secs_f64() / limit);
    figures.cpu_us_per_step.insert(at_once, cpu.as_secs_f64() * 1e6 / steps);
    if at_once == 100 {
        #[allow(clippy::cast_precision_loss)]
        let bytes = std::fs::metadata(&db)?.len() as f64;
        figures.bytes_per_step = bytes / steps;
    }
    Ok(())
}

/// One run of ten steps at a time, beside ten commits of one row.
fn lone(
    runtime: &tokio::runtime::Runtime,
    folder: &Path,
    runs: usize,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let mut commits = limit::ten_commits(folder, runs)?;
    let mut latencies = runtime.block_on(async {
        let midwatch = open(&folder.join("lone.db")).await?;
        let mut latencies = Vec::with_capacity(runs);
        for _ in 0..runs {
            let begun = Instant::now();
            midwatch.start(ten_steps, "a short text".to_owned()).await?.result().await?;
            latencies.push(begun.elapsed());
        }
        midwatch.shut_down().await;
        anyhow::Ok(latencies)
    })?;
    commits.extend(limit::ten_commits(folder, runs)?);
    figures.lone_commits_ms = quantile(&mut commits, 0.5).as_secs_f64() * 1e3;
    figures.lone_run_ms = LoneRun {
        p50: quantile(&mut latencies, 0.5).as_secs_f64() * 1e3,
        p99: quantile(&mut latencies, 0.99).as_secs_f64() * 1e3,
    };
    Ok(())
}

/// Runs that were in the middle of a step when their process died, until all have ended in the next one.
fn recovery(
    runtime: &tokio::runtime::Runtime,
    folder: &Path,
    runs: usize,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let db = folder.join("recover.db");
    runtime.block_on(async {
        let midwatch = Midwatch::embedded(&db).workflow(interrupted).step(hang_once).drain(Duration::ZERO);
        let midwatch = midwatch.open().await?;
        for _ in 0..runs {
            midwatch.start(interrupted, ()).await?;
        }
        midwatch.shut_down().await;
        drop(midwatch);
        let begun = Instant::now();
        let midwatch = open(&db).await?;
        let reader = SqliteJournal::open_reader(&db)?;
        let open_runs = RunQuery {
            statuses: midwatch_journal::Status::ALL.into_iter().filter(|status| !status.is_ended()).collect(),
            limit: 1,
            ..RunQuery::default()
        };
        while !reader.runs(&open_runs)?.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        figures.recover_10000_s = begun.elapsed().as_secs_f64();
        midwatch.shut_down().await;
        Ok(())
    })
}

/// Has sleeping runs started in a process of its own, where every allocation is counted, and asks what each takes there and
/// how fast they are found again.
fn sleeping(folder: &Path, runs: usize, figures: &mut Figures) -> anyhow::Result<()> {
    let output = Command::new("cargo")
        .args(["bench", "--quiet", "--package", "midwatch", "--bench", "sleepers", "--", &runs.to_string()])
        .arg(std::path::absolute(folder)?)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("start the benchmark of sleeping runs")?;
    anyhow::ensure!(output.status.success(), "sleeping runs could not be measured");
    let measured: Sleeping = serde_json::from_slice(&output.stdout)?;
    figures.bytes_per_sleeping_run.insert(runs, measured.bytes_per_run);
    figures.recover_100000_sleeping_s = measured.recover_s;
    Ok(())
}

#[derive(serde::Deserialize)]
struct Sleeping {
    bytes_per_run: f64,
    recover_s: f64,
}

#[allow(clippy::print_stdout)]
fn print(figures: &Figures, output: Output) -> anyhow::Result<()> {
    if output.json {
        println!("{}", serde_json::to_string(figures)?);
        return Ok(());
    }
    println!("runs at once   steps/s   limit rows/s   share   CPU µs/step");
    for (at_once, steps) in &figures.steps_per_s {
        let (limit, cpu) = (figures.limit_rows_per_s[at_once], figures.cpu_us_per_step[at_once]);
        println!("{at_once:>12} {steps:>9.0} {limit:>14.0} {:>6.0}% {cpu:>13.1}", steps / limit * 100.0);
    }
    let lone = &figures.lone_run_ms;
    println!("\nlone run of ten steps   p50 {:.2} ms, p99 {:.2} ms", lone.p50, lone.p99);
    println!(
        "ten commits of one row  p50 {:.2} ms ({:.2} times)",
        figures.lone_commits_ms,
        lone.p50 / figures.lone_commits_ms
    );
    println!("kept on disk            {:.0} bytes a step", figures.bytes_per_step);
    for (runs, bytes) in &figures.bytes_per_sleeping_run {
        println!("memory of sleeping runs {bytes:.0} bytes a run at {runs}");
    }
    println!("10,000 interrupted runs recovered and ended in {:.2} s", figures.recover_10000_s);
    println!("100,000 sleeping runs found again in {:.2} s", figures.recover_100000_sleeping_s);
    println!("fdatasync of 4 KiB      {:.0} a second", figures.fdatasync_per_s);
    Ok(())
}
