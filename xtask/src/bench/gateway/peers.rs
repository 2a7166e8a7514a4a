//! The same calls through other gateways, before the same upstream: LiteLLM's proxy and ferrogw.
//!
//! They are measured with their own defaults, without a database: neither books anything then. What counts is the processor
//! time that a call takes, since other processes on the machine change it least.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::Serialize;

use super::{Measured, Process, measure, median, per_call};
use crate::setup;

/// How long LiteLLM may take to be ready: it reads a lot of Python.
const READY: Duration = Duration::from_secs(120);

/// What one of them needs for a call.
#[derive(Serialize)]
pub(super) struct Figures {
    /// Calls that a second of processor time is enough for, at 16 connections.
    requests_per_cpu_s: f64,
    rps_16: f64,
    /// The median at one connection, the upstream included.
    p50_us: f64,
    /// How many of its calls the gateway makes in the processor time of one of theirs.
    pub(super) ratio: f64,
}

/// What was measured, or why nothing was.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Found {
    Measured(Figures),
    NotMeasured(String),
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Found::NotMeasured(why) => write!(f, "not measured: {why}"),
            Found::Measured(Figures { requests_per_cpu_s, rps_16, p50_us, ratio }) => write!(
                f,
                "{requests_per_cpu_s:>8.0} calls per CPU s, {rps_16:.0} a second at 16 connections, {p50_us:.0} µs \
                 median at one; the gateway does {ratio:.1} times as many"
            ),
        }
    }
}

/// Both of them.
#[derive(Serialize)]
pub(super) struct Peers {
    pub(super) litellm: Found,
    pub(super) ferrogw: Found,
}

/// Measures them; `own` is what one call takes of the processor here, in microseconds.
pub(super) fn run(upstream: SocketAddr, folder: &Path, seconds: u64, own: f64) -> anyhow::Result<Peers> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask stands in the workspace")?;
    let found = |is_there: anyhow::Result<bool>, start: &dyn Fn() -> anyhow::Result<Running>| {
        let measured = is_there.and_then(|is_there| match is_there {
            true => start()?.measure(seconds, own),
            false => bail!("there is no python3 to install it with"),
        });
        let why = |error: anyhow::Error| format!("{error:#}").lines().next().unwrap_or_default().to_owned();
        measured.map_or_else(|error| Found::NotMeasured(why(error)), Found::Measured)
    };
    Ok(Peers {
        litellm: found(setup::ensure_litellm(root), &|| litellm(root, upstream, folder)),
        ferrogw: found(setup::ensure_ferrogw(root), &|| ferrogw(root, upstream, folder)),
    })
}

/// One of them, ready to be called.
struct Running {
    process: Process,
    address: SocketAddr,
    key: String,
}

impl Running {
    fn measure(self, seconds: u64, own: f64) -> anyhow::Result<Figures> {
        let load = |connections| measure(self.address, connections, seconds, &self.key);
        // What it makes at the first calls it makes once.
        load(4)?;
        let one = load(1)?;
        let cpu = self.process.cpu()?;
        let sixteen = [load(16)?, load(16)?, load(16)?];
        let cpu = self.process.cpu()?.saturating_sub(cpu);
        let each = per_call(cpu, sixteen.iter().map(|measured| measured.calls).sum());
        Ok(Figures {
            requests_per_cpu_s: 1e6 / each,
            rps_16: median(sixteen.iter().map(Measured::per_second)),
            p50_us: one.p50_us,
            ratio: each / own,
        })
    }
}

fn litellm(root: &Path, upstream: SocketAddr, folder: &Path) -> anyhow::Result<Running> {
    let settings = format!(
        "model_list:\n  - {{model_name: gpt-4o-mini, litellm_params: {{model: openai/gpt-4o-mini, \
         api_base: \"http://{upstream}/v1\", api_key: sk-bench}}}}\nlitellm_settings: {{telemetry: false}}\n"
    );
    let path = folder.join("litellm.yaml");
    std::fs::write(&path, settings)?;
    let address = free()?;
    let mut command = Command::new(setup::litellm(root));
    command.arg("--config").arg(path).args(["--host", "127.0.0.1", "--num_workers", "1", "--port"]);
    // Its price list would come over the network.
    command.arg(address.port().to_string()).env("LITELLM_LOCAL_MODEL_COST_MAP", "True");
    // Without keys, as it is fastest: it listens on loopback alone.
    command.env("LITELLM_LOG", "ERROR").env("LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY", "true");
    ready(command, folder, address, "sk-bench".to_owned())
}

fn ferrogw(root: &Path, upstream: SocketAddr, folder: &Path) -> anyhow::Result<Running> {
    let path = folder.join("ferrogw.yaml");
    std::fs::write(&path, "strategy:\n  mode: fallback\ntargets:\n  - virtual_key: openai\n")?;
    let address = free()?;
    // It listens on all addresses: nobody else knows this key.
    let key = format!("sk-bench-{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
    let mut command = Command::new(setup::ferrogw(root));
    command.arg("serve").env("GATEWAY_CONFIG", path).env("PORT", address.port().to_string());
    command.env("OPENAI_BASE_URL", format!("http://{upstream}/v1")).env("OPENAI_API_KEY", "sk-bench");
    // Its own limit would be measured instead.
    command.env("MASTER_KEY", &key).env("RATE_LIMIT_RPS", "1000000").env("RATE_LIMIT_BURST", "1000000");
    ready(command, folder, address, key)
}

/// Starts one, and waits until it takes connections and answers a call.
fn ready(mut command: Command, folder: &Path, address: SocketAddr, key: String) -> anyhow::Result<Running> {
    command.current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null());
    let process = Process::silent(&mut command)?;
    let until = Instant::now() + READY;
    loop {
        let answers = TcpStream::connect(address).is_ok() && super::load::once(address, &key).is_ok();
        if answers {
            return Ok(Running { process, address, key });
        }
        if Instant::now() >= until {
            bail!("it was not ready within {READY:?}");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// An address that is free now.
fn free() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
