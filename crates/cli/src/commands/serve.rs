//! `midwatch serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use midwatch_console::{Access, Console, OpenError, Settings};
use midwatch_watch::alert::Alerter;
use midwatch_watch::{Options, Watch};
use serde_json::json;
use tokio::net::TcpListener;

use super::alerts::plan;
use super::ingest::{self, Doors, Intake};
use super::watch::plain;
use crate::config::Global;
use crate::control::user;
use crate::error::{Error, Exit};
use crate::output::Out;
use crate::output::look::{FAINT, STRONG};
use crate::stop::Stop;

/// Show the journal in a browser, live, and serve it as JSON
#[derive(Args)]
#[command(after_help = "\
Examples:
  midwatch serve                                     for this machine alone, at http://127.0.0.1:7070
  midwatch serve --listen 127.0.0.1:0                at a free port, which it prints
  midwatch serve --db watched.db --otlp              agents of any framework, watched by the traces that they send
  midwatch serve --read-only --trace-url 'http://localhost:16686/trace/{trace_id}'
  MIDWATCH_TOKEN=$(openssl rand -hex 24) midwatch serve --listen 0.0.0.0:7070 --host watch.example

It reads the journal whether or not a process owns it. On an address of this machine it is open to whoever is on it; on \
any other it asks for the token: the first line of --token-file FILE, or MIDWATCH_TOKEN; never the command line. \
Programs send it as `Authorization: Bearer TOKEN`. Metrics for Prometheus are at /metrics. Other machines look at it with \
midwatch COMMAND --server URL. docs/console.md tells the pages, the keys, and what is hidden.

With --otlp it takes traces in as `midwatch ingest` does and shows their runs; it owns the journal then, and makes it if it \
is not there. Senders need no key where the console asks for no token, and else send it: \
OTEL_EXPORTER_OTLP_HEADERS='authorization=Bearer%20TOKEN'.
JSON: {\"url\", \"api\"} once it listens; with --otlp also {\"otlp_http_url\", \"otlp_grpc_url\"}. Ctrl-C ends it.

Exit codes: 0 told to stop · 2 the address or the token will not do · 4 the journal is unavailable")]
pub(crate) struct Serve {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7070")]
    listen: SocketAddr,
    /// Only shows: nobody can steer runs
    #[arg(long)]
    read_only: bool,
    /// Another name by which people ask for it; may be repeated
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// Who is named in the journal where nobody logs in; the user of the operating system if nobody else
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Where a run's trace is, with {trace_id} in it
    #[arg(long, value_name = "URL")]
    trace_url: Option<String>,
    /// A name of JSON fields whose values are hidden, beside `password`, `token` and their like; may be repeated
    #[arg(long, value_name = "FIELD")]
    redact: Vec<String>,
    /// The file of alert rules and receivers; without one nobody is told
    #[arg(long, value_name = "FILE", env = "MIDWATCH_ALERTS")]
    rules: Option<PathBuf>,
    /// Takes in traces over OTLP and books them as runs
    #[arg(long)]
    otlp: bool,
    /// Where to take OTLP over HTTP
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4318", requires = "otlp")]
    otlp_http: SocketAddr,
    /// Where to take OTLP over gRPC
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4317", requires = "otlp")]
    otlp_grpc: SocketAddr,
}

impl Serve {
    pub(crate) fn run(self, global: &Global, out: &mut Out) -> anyhow::Result<Exit> {
        let token = global.token()?;
        // Before those who read the journal, which may not be there yet.
        let intake = self.intake(global, token.as_deref())?;
        let doors = (self.otlp_http, self.otlp_grpc);
        let watch = Watch::start(&global.db, Options::default()).map_err(plain)?;
        let _alerter = match &self.rules {
            Some(rules) => Alerter::start(&global.db, plan(Some(rules))?, &watch).map_err(plain)?,
            None => None,
        };
        let access = Access { token, is_read_only: self.read_only, hosts: self.host };
        let mut settings = Settings { access, by: self.by.unwrap_or_else(user), ..Settings::default() };
        (settings.trace_url, settings.redact) = (self.trace_url, self.redact);
        if let Some(fixed) = global.now {
            settings.clock = std::sync::Arc::new(move || fixed.0);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let console = Console::open(&global.db, settings).map_err(usage)?.merge(watch.router());
        let served = runtime.block_on(serve(console, self.listen, intake.as_ref().zip(Some(doors)), out));
        // Requests under way end before the journal is closed.
        drop(runtime);
        if let Some(intake) = intake {
            intake.close()?;
        }
        served.map(|()| Exit::Done)
    }

    /// What takes traces in: open where the console is, and else to whoever knows the token.
    fn intake(&self, global: &Global, token: Option<&str>) -> anyhow::Result<Option<Intake>> {
        if !self.otlp {
            return Ok(None);
        }
        let access = match token {
            Some(token) => midwatch_ingest::Access::key(token),
            None => midwatch_ingest::Access::anybody(),
        };
        let open = [self.otlp_http, self.otlp_grpc].into_iter().find(|door| !door.ip().is_loopback());
        if let (Some(open), None) = (open, token) {
            let what =
                format!("{open} can be reached from other machines: set MIDWATCH_TOKEN or --token-file");
            return Err(Error::usage(what).into());
        }
        Intake::open(&global.db, access, ingest::Settings::default()).map(Some)
    }
}

async fn serve(
    console: Console,
    listen: SocketAddr,
    otlp: Option<(&Intake, (SocketAddr, SocketAddr))>,
    out: &mut Out,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await.map_err(|error| Error::Usage {
        what: format!("{listen} cannot be listened to: {error}"),
        instead: Some("name another with --listen ADDRESS; port 0 takes a free one".to_owned()),
    })?;
    console.check(listener.local_addr()?).map_err(usage)?;
    let url = format!("http://{}", listener.local_addr()?);
    let otlp = match otlp {
        Some((intake, (http, grpc))) => Some((intake, Doors::open(http, grpc).await?)),
        None => None,
    };
    let mut stop = Stop::listen()?;
    announce(&url, otlp.as_ref().map(|(_, doors)| doors.urls()).transpose()?, out)?;
    let stopped = async move { stop.told().await };
    let shown = console.serve_on(listener, stopped);
    let Some((intake, doors)) = otlp else { return shown.await.map_err(usage) };
    tokio::select! {
        shown = shown => shown.map_err(usage),
        taken = intake.serve(doors) => taken,
    }
}

fn announce(url: &str, otlp: Option<(String, String)>, out: &mut Out) -> std::io::Result<()> {
    if out.is_json {
        let mut said = json!({ "url": url, "api": format!("{url}/api/v1") });
        if let Some((http, grpc)) = otlp {
            said["otlp_http_url"] = http.into();
            said["otlp_grpc_url"] = grpc.into();
        }
        return out.json(&said);
    }
    out.line(format_args!(
        "console  {STRONG}{url}{STRONG:#}  {FAINT}JSON below {url}/api/v1 · Ctrl-C ends it{FAINT:#}"
    ))?;
    match otlp {
        Some((http, grpc)) => {
            out.line(format_args!("OTLP     {STRONG}{http}{STRONG:#}  {FAINT}gRPC at {grpc}{FAINT:#}"))
        }
        None => Ok(()),
    }
}

/// What the command line has to be changed for.
fn usage(error: OpenError) -> anyhow::Error {
    match error {
        OpenError::Journal(error) => error.into(),
        OpenError::Unprotected(_) | OpenError::WeakToken => Error::usage(error.to_string()).into(),
        other => other.into(),
    }
}
