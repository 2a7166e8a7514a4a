//! What many readers that stay cost an engine in the same process.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use midwatch::{Context, Failure, Midwatch, StepContext, step, workflow};
use midwatch_console::{Console, Settings};
use midwatch_workflow::RunId;
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

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

/// A run that readers look at: a step now and then.
#[workflow]
async fn steady(cx: Context, _: ()) -> Result<(), Failure> {
    loop {
        cx.step(echo, &"still here".to_owned()).await?;
        cx.sleep(Duration::from_millis(500)).await?;
    }
}

/// What was measured.
#[derive(Serialize)]
pub(super) struct Readers {
    /// The share of its steps a second that the engine lost.
    pub(super) overhead: f64,
    pub(super) alone: f64,
    pub(super) watched: f64,
    /// Changes that readers were sent while it worked.
    pub(super) changes: u64,
}

/// So many runs at once.
const AT_ONCE: usize = 100;
/// So many runs that readers stay on, beside the lists.
const WATCHED: usize = 20;
/// Each measured so often, in turn; the medians are compared.
const ROUNDS: usize = 5;

/// Measures steps a second with readers and without, in turn.
pub(super) fn overhead(folder: &Path, viewers: usize, runs: usize) -> anyhow::Result<Readers> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let path = folder.join("watched.db");
    runtime.block_on(async {
        let builder = Midwatch::embedded(&path).workflow(ten_steps).workflow(steady).step(echo);
        let midwatch = Arc::new(builder.drain(Duration::ZERO).open().await?);
        let mut watched = Vec::new();
        for n in 0..WATCHED {
            watched.push(midwatch.start(steady, ()).id(format!("steady-{n}")).await?.id());
        }
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let console = Console::open(&path, Settings::default())?;
        let serving = tokio::spawn(console.serve_on(listener, std::future::pending()));
        let changes = Arc::new(AtomicU64::new(0));
        let (mut alone, mut with) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            alone.push(work(&midwatch, runs / ROUNDS).await?);
            let readers = stay(address, viewers, &watched, &changes).await?;
            with.push(work(&midwatch, runs / ROUNDS).await?);
            drop(readers);
        }
        serving.abort();
        alone.sort_by(f64::total_cmp);
        with.sort_by(f64::total_cmp);
        let (alone, watched) = (alone[ROUNDS / 2], with[ROUNDS / 2]);
        let overhead = ((1.0 - watched / alone) * 1e4).round() / 1e4;
        Ok(Readers {
            overhead,
            alone: alone.round(),
            watched: watched.round(),
            changes: changes.load(Ordering::Relaxed),
        })
    })
}

/// Steps a second, the same number of runs at once all the time.
#[allow(clippy::cast_precision_loss)]
async fn work(midwatch: &Arc<Midwatch>, runs: usize) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let mut workers = JoinSet::new();
    for worker in 0..AT_ONCE {
        let midwatch = Arc::clone(midwatch);
        workers.spawn(async move {
            for _ in (worker..runs).step_by(AT_ONCE) {
                midwatch.start(ten_steps, "a short text".to_owned()).await?.result().await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker??;
    }
    Ok((runs * 10) as f64 / begun.elapsed().as_secs_f64())
}

/// Readers that stay until this is dropped: on runs, on the list, on the first page. They read and throw away, in this very
/// process, so what that takes counts as well.
async fn stay(
    address: SocketAddr,
    viewers: usize,
    runs: &[RunId],
    changes: &Arc<AtomicU64>,
) -> anyhow::Result<JoinSet<()>> {
    let mut readers = JoinSet::new();
    for n in 0..viewers {
        let page = match n % 10 {
            0 => "/live/".to_owned(),
            1 => "/live/runs".to_owned(),
            _ => format!("/live/runs/{}", runs[n % runs.len()]),
        };
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(format!("GET {page} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await?;
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.with_context(|| format!("{page}: no answer"))?;
        anyhow::ensure!(head.ends_with(b"200"), "{page}: {}", String::from_utf8_lossy(&head));
        let changes = Arc::clone(changes);
        readers.spawn(async move {
            let mut buffer = vec![0; 64 << 10];
            while let Ok(1..) = stream.read(&mut buffer).await {
                changes.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    Ok(readers)
}
