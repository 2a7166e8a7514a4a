//! The time to the first byte of every page.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use midwatch_console::{Console, Settings};
use midwatch_journal::sqlite::SqliteJournal;
use midwatch_journal::{Journal, RunQuery, Status};
use midwatch_workflow::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// So often each page is asked for.
const ROUNDS: usize = 40;

/// A console on a thread of its own, until it is dropped.
pub(super) struct Served {
    pub(super) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Served {
    pub(super) fn start(path: &Path, now: Option<Timestamp>) -> anyhow::Result<Self> {
        let mut settings = Settings::default();
        if let Some(now) = now {
            settings.clock = Arc::new(move || now);
        }
        let console = Console::open(path, settings)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let (started, start) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await?;
                started.send(listener.local_addr()?)?;
                console.serve_on(listener, async move { drop(stopped.await) }).await?;
                anyhow::Ok(())
            })
        });
        Ok(Self { address: start.recv()?, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// The 95th percentile of each page, in milliseconds, over a new connection each time; the first request of all included.
pub(super) fn first_byte(path: &Path) -> anyhow::Result<BTreeMap<&'static str, f64>> {
    let journal = SqliteJournal::open_reader(path)?;
    let newest = journal.runs(&RunQuery { limit: 1, ..RunQuery::default() })?;
    let now = newest.first().context("a journal with runs")?.updated_at + Duration::from_secs(400);
    let of = |statuses: Vec<Status>| RunQuery { statuses, limit: ROUNDS, ..RunQuery::default() };
    let open = journal.runs(&of(vec![Status::Running]))?;
    let ended = journal.runs(&of(vec![Status::Completed]))?;
    drop(journal);
    let served = Served::start(path, Some(now))?;
    let fixed = |address: &str| vec![address.to_owned(); ROUNDS];
    let each = |runs: &[midwatch_journal::RunSummary], more: &str| {
        let all = runs.iter().cycle().take(ROUNDS);
        all.map(|run| format!("/runs/{}{more}", run.run)).collect::<Vec<String>>()
    };
    let pages: Vec<(&str, Vec<String>)> = vec![
        ("now", fixed("/")),
        ("runs", fixed("/runs")),
        ("runs_filtered", fixed("/runs?status=running,failed&workflow=research&order=costliest")),
        ("runs_by_text", fixed("/runs?text=r_1a2b3c4d")),
        ("run_open", each(&open, "")),
        ("run_ended", each(&ended, "")),
        ("events", each(&ended, "/events")),
        ("cost", fixed("/cost")),
        ("cost_by_step", fixed("/cost?by=step")),
        ("cost_by_day", fixed("/cost?by=day")),
        ("stalls", fixed("/stalls")),
        ("workflows", fixed("/workflows")),
        ("api_runs", fixed("/api/v1/runs")),
    ];
    let mut figures = BTreeMap::new();
    for (name, addresses) in pages {
        let mut times = Vec::new();
        for address in addresses {
            times.push(ask(served.address, &address)?.0);
        }
        times.sort();
        let p95 = times[(times.len() * 95).div_ceil(100) - 1];
        figures.insert(name, round(p95));
    }
    Ok(figures)
}

/// Asks for a page; gives the time to the first byte, and to the last.
pub(super) fn ask(address: SocketAddr, path: &str) -> anyhow::Result<(Duration, Duration)> {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut first = [0; 12];
    stream.read_exact(&mut first)?;
    let to_first = begun.elapsed();
    anyhow::ensure!(first.ends_with(b"200"), "{path}: {}", String::from_utf8_lossy(&first));
    std::io::copy(&mut stream, &mut std::io::sink())?;
    Ok((to_first, begun.elapsed()))
}

pub(super) fn round(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e4).round() / 10.0
}
