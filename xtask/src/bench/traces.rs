//! What being observed costs: durable steps a second with nobody looking, with traces handed on, and with metrics as well, in
//! turns, beside a receiver that takes all.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use midwatch::{Context, Failure, Midwatch, Otlp, StepContext, step, workflow};
use midwatch_journal::sqlite::SqliteJournal;
use midwatch_observe::metrics::{Value, family};
use midwatch_watch::{Options, Watch};
use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::meter::Meter;

/// So many rounds of each; the medians count.
const ROUNDS: usize = 5;
/// So many runs of ten steps a round, which take some seconds, and so many at once.
const RUNS: usize = 20_000;
const AT_ONCE: usize = 100;
/// How often the watcher reads: five times as often as it usually does, for rounds are short.
const OFTEN: Duration = Duration::from_secs(1);
/// When nothing came for so long, nothing more comes: the follower looks five times a second.
const QUIET: Duration = Duration::from_millis(600);

/// What it costs.
#[derive(Serialize)]
pub(super) struct Overhead {
    /// The share of durable steps a second that is lost with traces and metrics on.
    overhead: f64,
    /// With traces alone.
    overhead_traces: f64,
    steps_per_s_plain: f64,
    steps_per_s_traced: f64,
    steps_per_s_observed: f64,
    cpu_us_per_step_plain: f64,
    /// Until all is handed on, the receiver's work included.
    cpu_us_per_step_traced: f64,
    /// And until all is counted.
    cpu_us_per_step_observed: f64,
    /// Of the spans of the rounds with both, those that had arrived when the last run ended.
    spans_arrived_meanwhile: f64,
    /// Of the rows of the journal in those rounds, those that were counted then.
    rows_counted_meanwhile: f64,
    /// How long handing on and counting the rest took after that, a round.
    rest_s: f64,
}

/// Who looks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Looks {
    Nobody,
    /// Traces are handed on.
    Traces,
    /// And what happens is counted, as `midwatch watch` does.
    Both,
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

struct Round {
    steps_per_s: f64,
    cpu_us_per_step: f64,
    arrived: f64,
    counted: f64,
    rest: Duration,
}

/// Measures in a folder of the disk that is meant.
pub(super) fn measure(folder: &Path) -> anyhow::Result<Overhead> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let receiver = runtime.block_on(Receiver::start())?;
    let mut rounds: BTreeMap<Looks, Vec<Round>> = BTreeMap::new();
    // The first round of each only warms up.
    for round in 0..=ROUNDS {
        for looks in [Looks::Nobody, Looks::Traces, Looks::Both] {
            let db = folder.join(format!("{round}-{}.db", looks as u8));
            let measured = runtime.block_on(one_round(&db, looks, &receiver))?;
            if round > 0 {
                rounds.entry(looks).or_default().push(measured);
            }
        }
    }
    let of = |looks, value: fn(&Round) -> f64| {
        let mut values: Vec<f64> = rounds.get(&looks).into_iter().flatten().map(value).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let steps = |looks| of(looks, |round| round.steps_per_s);
    let cpu = |looks| of(looks, |round| round.cpu_us_per_step);
    let plain = steps(Looks::Nobody);
    Ok(Overhead {
        overhead: 1.0 - steps(Looks::Both) / plain,
        overhead_traces: 1.0 - steps(Looks::Traces) / plain,
        steps_per_s_plain: plain,
        steps_per_s_traced: steps(Looks::Traces),
        steps_per_s_observed: steps(Looks::Both),
        cpu_us_per_step_plain: cpu(Looks::Nobody),
        cpu_us_per_step_traced: cpu(Looks::Traces),
        cpu_us_per_step_observed: cpu(Looks::Both),
        spans_arrived_meanwhile: of(Looks::Both, |round| round.arrived),
        rows_counted_meanwhile: of(Looks::Both, |round| round.counted),
        rest_s: of(Looks::Both, |round| round.rest.as_secs_f64()),
    })
}

#[allow(clippy::cast_precision_loss)]
async fn one_round(db: &Path, looks: Looks, receiver: &Receiver) -> anyhow::Result<Round> {
    let mut builder = Midwatch::embedded(db).workflow(ten_steps).step(echo);
    if looks != Looks::Nobody {
        builder = builder.traces(Otlp::http(format!("http://127.0.0.1:{}", receiver.port)));
    }
    let midwatch = Arc::new(builder.open().await?);
    let watch = (looks == Looks::Both).then(|| Watch::start(db, Options { every: OFTEN })).transpose()?;
    receiver.bytes.store(0, Ordering::Relaxed);
    let meter = Meter::start();
    let workers = (0..AT_ONCE).map(|worker| {
        let midwatch = Arc::clone(&midwatch);
        tokio::spawn(async move {
            for _ in (worker..RUNS).step_by(AT_ONCE) {
                midwatch.start(ten_steps, "a short text".to_owned()).await?.result().await?;
            }
            anyhow::Ok(())
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await??;
    }
    let wall = meter.wall();
    let seen = || (receiver.bytes.load(Ordering::Relaxed), watch.as_ref().map_or(0, counted));
    let meanwhile = seen();
    let rows = SqliteJournal::open_reader(db)?.position()?;
    let mut last = meanwhile;
    loop {
        tokio::time::sleep(QUIET).await;
        let now = seen();
        if std::mem::replace(&mut last, now) == now && (watch.is_none() || now.1 >= rows) {
            break;
        }
    }
    let rest = (meter.wall() - wall).saturating_sub(QUIET);
    let cpu = meter.cpu();
    midwatch.shut_down().await;
    let steps = (RUNS * 10) as f64;
    Ok(Round {
        steps_per_s: steps / wall.as_secs_f64(),
        cpu_us_per_step: cpu.as_secs_f64() * 1e6 / steps,
        arrived: meanwhile.0 as f64 / last.0.max(1) as f64,
        counted: meanwhile.1 as f64 / rows.max(1) as f64,
        rest,
    })
}

/// Up to where a watcher has counted.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn counted(watch: &Watch) -> u64 {
    match watch.found().metrics.value(&family::POSITION, &[]) {
        Some(Value::Gauge(position)) => *position as u64,
        _ => 0,
    }
}

/// Takes every request and says nothing: it costs as little as a receiver can.
struct Receiver {
    port: u16,
    bytes: Arc<AtomicU64>,
}

impl Receiver {
    async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let bytes = Arc::new(AtomicU64::new(0));
        let total = Arc::clone(&bytes);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(take(stream, Arc::clone(&total)));
            }
        });
        Ok(Self { port, bytes })
    }
}

async fn take(mut stream: TcpStream, total: Arc<AtomicU64>) -> std::io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        // The head, and with it how long the body is.
        let head = loop {
            if let Some(end) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        let length = String::from_utf8_lossy(&buffer[..head]).lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
        });
        let whole = head + length.unwrap_or(0);
        while buffer.len() < whole {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
        buffer.drain(..whole);
        total.fetch_add(whole as u64, Ordering::Relaxed);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
    }
}
