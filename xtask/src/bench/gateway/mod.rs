//! What the gateway adds to a call: latency, and processor time, with booking on; before an upstream that answers at once.
//! And the same of two other gateways, in the same run.

mod load;
mod peers;
mod upstream;

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::Output;
use crate::demo;
use peers::Peers;

pub(crate) use load::Options as LoadOptions;
pub(crate) use load::run as load;
pub(crate) use upstream::run as upstream;

/// How long each measurement lasts.
#[derive(Args)]
pub(crate) struct Options {
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Waits for the disk before each call (`durable = "machine"`).
    #[arg(long)]
    durable: bool,
    /// Measures no other gateways beside.
    #[arg(long)]
    alone: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Serialize)]
struct Figures {
    /// One connection straight to the upstream, the median.
    direct_us: f64,
    /// What the gateway adds to that on one connection.
    added_us: Added,
    rps_16: f64,
    /// Processor time of the gateway for a call, at 16 connections, its journal included.
    cpu_us_per_request: f64,
    /// The same at one connection.
    cpu_us_per_request_1: f64,
    direct_rps_16: f64,
    calls: u64,
    calls_booked: u64,
    /// Calls that a second of processor time is enough for, at 16 connections.
    requests_per_cpu_s: f64,
    /// LiteLLM's proxy and ferrogw, before the same upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    peers: Option<Peers>,
}

#[derive(Serialize)]
struct Added {
    p50: f64,
    p99: f64,
}

/// What one load measured; the process that makes it says so.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Measured {
    pub(crate) calls: u64,
    pub(crate) seconds: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let midwatch = demo::built()?;
    let folder = tempfile::tempdir_in(demo::target()?)?;
    let upstream =
        Process::start(Command::new(std::env::current_exe()?).args(["bench", "gateway-upstream"]))?;
    let direct: SocketAddr = upstream.line.trim().parse().context("the upstream says its address")?;
    let db = folder.path().join("gateway.db");
    let mut gateway = Command::new(midwatch);
    gateway.args(["gateway", "--json", "--listen", "127.0.0.1:0", "--db"]).arg(&db);
    gateway.args(["--upstream", &format!("openai=http://{direct}/v1")]);
    if options.durable {
        gateway.env("MIDWATCH_GATEWAY_DURABLE", "machine");
    }
    let gateway = Process::start(&mut gateway)?;
    let said: serde_json::Value = serde_json::from_str(&gateway.line)?;
    let before = said["listening"].as_str().context("the gateway says its address")?;
    let before: SocketAddr = before.trim_start_matches("http://").parse()?;

    let load = |address, connections| measure(address, connections, options.seconds, "sk-bench");
    // In turns, so that what else the machine does falls on both.
    load(before, 4)?;
    let (mut direct_1, mut through_1) = (Vec::new(), Vec::new());
    let cpu = gateway.cpu()?;
    for _ in 0..3 {
        direct_1.push(load(direct, 1)?);
        through_1.push(load(before, 1)?);
    }
    let calls_1: u64 = through_1.iter().map(|m| m.calls).sum();
    let cpu_1 = gateway.cpu()?.saturating_sub(cpu);
    let direct_16 = load(direct, 16)?;
    let cpu = gateway.cpu()?;
    let through_16 = [load(before, 16)?, load(before, 16)?, load(before, 16)?];
    let cpu_16 = gateway.cpu()?.saturating_sub(cpu);
    let calls_16: u64 = through_16.iter().map(|m| m.calls).sum();
    gateway.stop()?;
    let each = per_call(cpu_16, calls_16);
    let peers = match options.alone {
        true => None,
        false => Some(peers::run(direct, folder.path(), options.seconds, each)?),
    };
    let figures = Figures {
        direct_us: median(direct_1.iter().map(|m| m.p50_us)),
        added_us: Added {
            p50: median(through_1.iter().map(|m| m.p50_us)) - median(direct_1.iter().map(|m| m.p50_us)),
            p99: median(through_1.iter().map(|m| m.p99_us)) - median(direct_1.iter().map(|m| m.p99_us)),
        },
        rps_16: median(through_16.iter().map(Measured::per_second)),
        cpu_us_per_request: each,
        cpu_us_per_request_1: per_call(cpu_1, calls_1),
        direct_rps_16: direct_16.per_second(),
        calls: calls_1 + calls_16,
        calls_booked: booked(&db)?,
        requests_per_cpu_s: 1e6 / each,
        peers,
    };
    say(&figures, options.output)?;
    ensure!(figures.calls_booked >= figures.calls, "only {} calls are booked", figures.calls_booked);
    Ok(())
}

impl Measured {
    #[allow(clippy::cast_precision_loss)]
    fn per_second(&self) -> f64 {
        self.calls as f64 / self.seconds
    }
}

#[allow(clippy::cast_precision_loss)]
fn per_call(time: Duration, calls: u64) -> f64 {
    time.as_secs_f64() * 1e6 / calls.max(1) as f64
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Lets a process of its own make the load.
fn measure(address: SocketAddr, connections: u32, seconds: u64, key: &str) -> anyhow::Result<Measured> {
    let output = Command::new(std::env::current_exe()?)
        .args(["bench", "gateway-load", &address.to_string(), &connections.to_string(), &seconds.to_string()])
        .args(["--key", key])
        .output()
        .context("start the load")?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).with_context(|| format!("the load gave no result: {stderr}"))
}

/// How many attempts the journal has.
fn booked(db: &Path) -> anyhow::Result<u64> {
    use midwatch_journal::{Journal, RunQuery};
    let journal = midwatch_journal::sqlite::SqliteJournal::open_reader(db)?;
    let runs = journal.runs(&RunQuery { limit: 100_000, ..RunQuery::default() })?;
    Ok(runs.iter().map(|run| run.attempts).sum())
}

/// A process that says something when it is ready, and is killed when it is no longer needed.
pub(crate) struct Process {
    child: Child,
    /// The first line that it said.
    pub(crate) line: String,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn().context("start a process")?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line)?;
        }
        Ok(Self { child, line })
    }

    /// Starts one that says nothing.
    fn silent(command: &mut Command) -> anyhow::Result<Self> {
        Ok(Self { child: command.spawn().context("start a process")?, line: String::new() })
    }

    /// The processor time that it has used.
    fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        // User and system time, in hundredths of a second: fields 14 and 15 of proc(5).
        let ticks = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<u64>().ok())
            .sum::<u64>();
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Ends it in good order.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        ensure!(self.child.wait()?.success(), "the gateway did not end well");
        Ok(())
    }

    /// Kills it at once.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[allow(clippy::print_stdout)]
fn say(figures: &Figures, output: Output) -> anyhow::Result<()> {
    if output.json {
        println!("{}", serde_json::to_string(figures)?);
        return Ok(());
    }
    let f = figures;
    println!(
        "direct            {:>8.0} µs, {:.0} calls a second at 16 connections",
        f.direct_us, f.direct_rps_16
    );
    println!(
        "added             {:>8.0} µs median, {:.0} µs p99, at one connection",
        f.added_us.p50, f.added_us.p99
    );
    println!("through           {:>8.0} calls a second at 16 connections", f.rps_16);
    println!(
        "processor time    {:>8.1} µs a call at 16 connections, {:.1} µs at one",
        f.cpu_us_per_request, f.cpu_us_per_request_1
    );
    println!("calls per CPU s   {:>8.0}", f.requests_per_cpu_s);
    if let Some(peers) = &f.peers {
        for (name, found) in [("litellm", &peers.litellm), ("ferrogw", &peers.ferrogw)] {
            println!("{name:<16}  {found}");
        }
    }
    println!("booked            {:>8} of {} calls measured, and those before", f.calls_booked, f.calls);
    Ok(())
}
