//! What handing traces on costs: durable steps a second with and without, in turns, beside a receiver that takes all.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use midwatch::{Context, Failure, Midwatch, Otlp, StepContext, step, workflow};
use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::meter::Meter;

/// So many rounds of each; the medians count.
const ROUNDS: usize = 7;
/// So many runs of ten steps a round, and so many at once.
const RUNS: usize = 6_000;
const AT_ONCE: usize = 100;
/// When nothing came for so long, nothing more comes: the follower looks five times a second.
const QUIET: Duration = Duration::from_millis(600);

/// What it costs.
#[derive(Serialize)]
pub(super) struct Overhead {
    /// The share of durable steps a second that is lost.
    pub(super) overhead: f64,
    steps_per_s_plain: f64,
    steps_per_s_traced: f64,
    cpu_us_per_step_plain: f64,
    /// Until all is handed on, the receiver's work included.
    cpu_us_per_step_traced: f64,
    /// Of the spans of the rounds with traces, those that had arrived when the last run ended.
    arrived_meanwhile: f64,
    /// How long handing on the rest took after that, a round.
    rest_s: f64,
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
    rest: Duration,
}

/// Measures in a folder of the disk that is meant.
pub(super) fn measure(folder: &Path) -> anyhow::Result<Overhead> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let receiver = runtime.block_on(Receiver::start())?;
    let (mut plain, mut traced) = (Vec::new(), Vec::new());
    // The first round of each only warms up.
    for round in 0..=ROUNDS {
        for with in [false, true] {
            let db = folder.join(format!("{round}-{with}.db"));
            let otlp = with.then(|| Otlp::http(format!("http://127.0.0.1:{}", receiver.port)));
            let measured = runtime.block_on(one_round(&db, otlp, &receiver))?;
            if round > 0 {
                (if with { &mut traced } else { &mut plain }).push(measured);
            }
        }
    }
    let of = |rounds: &[Round], value: fn(&Round) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let (before, after) = (of(&plain, |round| round.steps_per_s), of(&traced, |round| round.steps_per_s));
    Ok(Overhead {
        overhead: 1.0 - after / before,
        steps_per_s_plain: before,
        steps_per_s_traced: after,
        cpu_us_per_step_plain: of(&plain, |round| round.cpu_us_per_step),
        cpu_us_per_step_traced: of(&traced, |round| round.cpu_us_per_step),
        arrived_meanwhile: of(&traced, |round| round.arrived),
        rest_s: of(&traced, |round| round.rest.as_secs_f64()),
    })
}

#[allow(clippy::cast_precision_loss)]
async fn one_round(db: &Path, otlp: Option<Otlp>, receiver: &Receiver) -> anyhow::Result<Round> {
    let mut builder = Midwatch::embedded(db).workflow(ten_steps).step(echo);
    if let Some(otlp) = otlp {
        builder = builder.traces(otlp);
    }
    let midwatch = Arc::new(builder.open().await?);
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
    let (wall, meanwhile) = (meter.wall(), receiver.bytes.load(Ordering::Relaxed));
    let mut last = meanwhile;
    loop {
        tokio::time::sleep(QUIET).await;
        let now = receiver.bytes.load(Ordering::Relaxed);
        if std::mem::replace(&mut last, now) == now {
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
        arrived: meanwhile as f64 / last.max(1) as f64,
        rest,
    })
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
