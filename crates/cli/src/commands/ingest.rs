//! `midwatch ingest`.

use std::future::IntoFuture;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use midwatch_ingest::{Access, Ingest as Collector, Options, now};
use midwatch_providers::Prices;
use midwatch_recorder::{Options as Recording, Recorder};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::{Global, duration};
use crate::error::{Error, Exit};
use crate::output::Out;
use crate::output::look::FAINT;
use crate::stop::Stop;

/// Take in traces over OTLP and book them as runs, of agents that midwatch does not carry out
#[derive(Args)]
#[command(after_help = "\
Examples:
  midwatch ingest --db watched.db
  OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 LANGSMITH_TRACING=true LANGSMITH_OTEL_ENABLED=true \\
    LANGSMITH_OTEL_ONLY=true python my_graph.py
  midwatch --db watched.db cost --by step
  midwatch --db watched.db stalls

Takes spans with gen_ai.*, llm.*, OpenInference, Traceloop and LangSmith attributes, by HTTP (protobuf or JSON, \
POST /v1/traces) and gRPC. A run is a LangGraph thread, a session, a Temporal or Inngest workflow, or else a trace. The \
same span twice changes nothing. Prompts are not kept unless --keep-content says so; docs/ingest.md has the rest.

It owns the journal: one process does at a time. An address that is not loopback needs --key-env. Ctrl-C ends it.
JSON: first {\"http_url\", \"grpc_url\"}.")]
pub(crate) struct Ingest {
    /// Where to take OTLP over HTTP; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:4318")]
    listen: SocketAddr,
    /// Where to take OTLP over gRPC; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:4317")]
    grpc: SocketAddr,
    /// The workflow's name of all runs, instead of what spans and services are called
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// Keeps what models and tools were given, without what looks like a credential
    #[arg(long)]
    keep_content: bool,
    /// A price file of your own
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// The variable that holds the key which senders must send as `authorization: Bearer KEY`
    #[arg(long, value_name = "VARIABLE")]
    key_env: Option<String>,
    /// How long after its first span has ended the rest of a trace may come
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    settle: Duration,
    /// A run of which nothing was heard for so long, and whose trace has not ended, is given up as lost
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
    give_up: Duration,
}

impl Ingest {
    pub(crate) fn run(self, global: &Global, out: &mut Out) -> anyhow::Result<Exit> {
        let access = self.access()?;
        let options = Options {
            workflow: self.workflow.clone(),
            keeps_content: self.keep_content,
            settle: self.settle,
            ..Options::default()
        };
        let prices = self.prices()?;
        let intake = Intake::open(&global.db, access, Settings { options, prices, give_up: self.give_up })?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build()?;
        let served = runtime.block_on(self.serve(&intake, out));
        // Requests under way end before the journal is closed.
        drop(runtime);
        intake.close()?;
        served.map(|()| Exit::Done)
    }

    async fn serve(&self, intake: &Intake, out: &mut Out) -> anyhow::Result<()> {
        let doors = Doors::open(self.listen, self.grpc).await?;
        // Before anybody knows the address: whoever does may stop it at once.
        let mut stop = Stop::listen()?;
        announce(&doors, out)?;
        tokio::select! {
            served = intake.serve(doors) => served,
            () = stop.told() => Ok(()),
        }
    }

    fn access(&self) -> Result<Access, Error> {
        let Some(variable) = &self.key_env else {
            let open = [self.listen, self.grpc].into_iter().find(|address| !address.ip().is_loopback());
            return match open {
                Some(open) => {
                    Err(Error::usage(format!("{open} is not loopback: --key-env must say who may send")))
                }
                None => Ok(Access::anybody()),
            };
        };
        match std::env::var(variable) {
            Ok(key) if !key.is_empty() => Ok(Access::key(key)),
            _ => Err(Error::usage(format!("--key-env: the variable {variable} is not set"))),
        }
    }

    fn prices(&self) -> anyhow::Result<Prices> {
        let Some(path) = &self.prices else { return Ok(Prices::bundled()) };
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Prices::bundled().with_file(&text).with_context(|| path.display().to_string())
    }
}

/// How traces are taken in.
pub(super) struct Settings {
    options: Options,
    prices: Prices,
    give_up: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { options: Options::default(), prices: Prices::bundled(), give_up: GIVE_UP }
    }
}

/// After so long without a word a run is given up.
const GIVE_UP: Duration = Duration::from_secs(3600);

/// Takes traces in, into a journal that it owns.
pub(super) struct Intake {
    ingest: Collector,
    access: Access,
}

/// Where traces are taken in.
pub(super) struct Doors {
    http: TcpListener,
    grpc: TcpListener,
}

impl Doors {
    pub(super) async fn open(http: SocketAddr, grpc: SocketAddr) -> anyhow::Result<Self> {
        Ok(Self { http: bind(http).await?, grpc: bind(grpc).await? })
    }

    /// The addresses, of HTTP and of gRPC.
    pub(super) fn urls(&self) -> std::io::Result<(String, String)> {
        Ok((format!("http://{}", self.http.local_addr()?), format!("http://{}", self.grpc.local_addr()?)))
    }
}

impl Intake {
    /// Takes the journal, which is made if it is not there.
    pub(super) fn open(db: &Path, access: Access, settings: Settings) -> anyhow::Result<Self> {
        let recording = Recording { held: settings.give_up, ..Recording::new(worker()) };
        let recorder = Recorder::open(db, recording, now()).map_err(plain)?;
        Ok(Self { ingest: Collector::new(recorder, settings.prices, settings.options), access })
    }

    /// Takes in what comes, and looks after it.
    pub(super) async fn serve(&self, doors: Doors) -> anyhow::Result<()> {
        let http = axum::serve(doors.http, self.ingest.router(self.access.clone())).into_future();
        let grpc = self.ingest.grpc(self.access.clone()).prepare().into_axum_router();
        tokio::select! {
            served = http => served?,
            served = axum::serve(doors.grpc, grpc).into_future() => served?,
            () = tend(&self.ingest) => {}
        }
        Ok(())
    }

    /// Writes everything and gives the journal back.
    pub(super) fn close(&self) -> anyhow::Result<()> {
        self.ingest.recorder().close().map_err(plain)
    }
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

/// Looks after what has come in, once a second, for ever.
async fn tend(ingest: &Collector) {
    let mut every = interval(Duration::from_secs(1));
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let ingest = ingest.clone();
        let tended = tokio::task::spawn_blocking(move || {
            ingest.tend(now());
            ingest.recorder().tend(now());
        });
        if tended.await.is_err() {
            tracing::error!("runs could not be looked after this time");
        }
    }
}

fn worker() -> String {
    format!("ingest pid {}", std::process::id())
}

/// Trouble with the journal as itself, so that it has the exit code of all such trouble.
fn plain(error: midwatch_recorder::Error) -> anyhow::Error {
    match error {
        midwatch_recorder::Error::Journal(error) => error.into(),
        other => other.into(),
    }
}

fn announce(doors: &Doors, out: &mut Out) -> std::io::Result<()> {
    let (http, grpc) = doors.urls()?;
    if out.is_json {
        return out.json(&json!({"http_url": http, "grpc_url": grpc}));
    }
    out.line(format_args!("export OTEL_EXPORTER_OTLP_ENDPOINT={http}"))?;
    out.line(format_args!("# or by gRPC: {grpc}"))?;
    out.line(format_args!("{FAINT}# Ctrl-C ends it{FAINT:#}"))
}
