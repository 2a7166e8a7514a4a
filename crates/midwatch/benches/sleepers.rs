//! What a run that sleeps takes of memory, and how fast those are found that an earlier process left asleep. Every byte that
//! the process allocates is counted; what SQLite keeps in its page cache is not among them, and does not grow with runs.
//!
//! `cargo bench -p midwatch --bench sleepers -- RUNS FOLDER` prints one JSON object.

#![allow(clippy::print_stdout, missing_docs)]

use std::alloc::System;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cap::Cap;
use midwatch::{Context, Failure, Midwatch, RunHandle, workflow};

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

/// So many tasks start runs.
const STARTERS: usize = 100;

type Mishap = Box<dyn Error + Send + Sync>;

#[workflow]
async fn sleeper(cx: Context, _: ()) -> Result<(), Failure> {
    cx.sleep(Duration::from_secs(30 * 24 * 3600)).await
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Mishap> {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    // Without a number, as tests start it, there is nothing to do.
    let Some(runs) = arguments.next().and_then(|runs| runs.parse::<usize>().ok()) else { return Ok(()) };
    let folder = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let db = folder.join(format!("sleep-{runs}.db"));
    let midwatch = open(&db).await?;
    // The first ones make pools and tables that stay.
    start(&midwatch, 1_000).await?;
    let before = HEAP.allocated();
    start(&midwatch, runs).await?;
    let after = HEAP.allocated();
    midwatch.shut_down().await;
    drop(midwatch);
    let begun = Instant::now();
    let midwatch = open(&db).await?;
    let recover_s = begun.elapsed().as_secs_f64();
    midwatch.shut_down().await;
    #[allow(clippy::cast_precision_loss)]
    let bytes_per_run = after.saturating_sub(before) as f64 / runs as f64;
    println!("{}", serde_json::json!({"bytes_per_run": bytes_per_run, "recover_s": recover_s}));
    Ok(())
}

async fn open(db: &Path) -> Result<Arc<Midwatch>, Mishap> {
    Ok(Arc::new(Midwatch::embedded(db).workflow(sleeper).open().await?))
}

/// Starts runs, and waits until the last one has left memory.
async fn start(midwatch: &Arc<Midwatch>, runs: usize) -> Result<(), Mishap> {
    let starters = (0..STARTERS).map(|starter| {
        let midwatch = Arc::clone(midwatch);
        tokio::spawn(async move {
            for _ in (starter..runs).step_by(STARTERS) {
                let _: RunHandle<()> = midwatch.start(sleeper, ()).await?;
            }
            Ok::<(), Mishap>(())
        })
    });
    for starter in starters.collect::<Vec<_>>() {
        starter.await??;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    Ok(())
}
