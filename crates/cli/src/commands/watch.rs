//! `midwatch watch`.

use std::future::IntoFuture;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use midwatch_otlp::{Otlp, Pushed, Pusher, Reading, Signal};
use midwatch_watch::alert::Alerter;
use midwatch_watch::{Options, Watch as Watcher};
use serde_json::json;
use tokio::net::TcpListener;

use crate::collector::{Protocol, collector};
use crate::commands::alerts::plan;
use crate::config::{Global, duration};
use crate::error::Exit;
use crate::output::look::{FAINT, WARN};
use crate::output::text::clean;
use crate::output::{Out, log};
use crate::stop::Stop;

/// Watch the journal: serve metrics for Prometheus, and tell who should know what needs somebody
#[derive(Args)]
#[command(after_help = "\
Examples:
  midwatch watch
  midwatch watch --db /var/lib/agents/midwatch.db --listen 127.0.0.1:9464 --rules alerts.toml
  curl http://127.0.0.1:9464/metrics
  midwatch watch --otlp http://localhost:4318         sends them to a collector, too
  OTEL_EXPORTER_OTLP_ENDPOINT=… midwatch watch --otlp  as the standard variables say

Counters begin when it starts, at the end of the journal; gauges are read from the journal, so a worker that died hides \
nothing. docs/metrics.md lists the families. Rules and receivers come from a file (docs/alerts.md); without one the \
default rules hold, and nobody is told: midwatch alerts, and the metric midwatch_alerts_firing. There is no password: names of workflows and targets can be read by whoever \
reaches the address. Ctrl-C ends it.

With --otlp the same metrics, under the same names, are sent every minute (OTEL_METRIC_EXPORT_INTERVAL). What a collector \
missed is in what it gets next.
JSON: first {\"metrics_url\", \"alerts\", \"otlp\"}; `alerts` is false if another process tells them, `otlp` the collector or null.

Exit codes: 0 told to stop · 1 the address, the rules or the collector's settings will not do · 4 the journal is unavailable")]
pub(crate) struct Watch {
    /// Where to serve; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9464")]
    listen: SocketAddr,
    /// How often the journal is read, from 100ms to 1m
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = often)]
    every: Duration,
    /// The file of alert rules and receivers
    #[arg(long, value_name = "FILE", env = "MIDWATCH_ALERTS")]
    rules: Option<PathBuf>,
    /// Sends the metrics to this collector; without URL as the variables OTEL_EXPORTER_OTLP_… say
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "")]
    otlp: Option<String>,
    /// How to speak to the collector; as OTEL_EXPORTER_OTLP_PROTOCOL says if that is set
    #[arg(long, value_enum, value_name = "HOW", requires = "otlp")]
    protocol: Option<Protocol>,
}

/// How long the last metrics may take when it is told to stop.
const FAREWELL: Duration = Duration::from_secs(5);

impl Watch {
    pub(crate) fn run(self, global: &Global, out: &mut Out) -> anyhow::Result<Exit> {
        log(global);
        let plan = plan(self.rules.as_deref())?;
        let otlp =
            self.otlp.as_deref().map(|url| collector(Signal::Metrics, url, self.protocol)).transpose()?;
        let otlp = otlp.map(|otlp| otlp.resource_default("service.instance.id", instance(global)));
        let watch = Watcher::start(&global.db, Options { every: self.every }).map_err(plain)?;
        let alerter = Alerter::start(&global.db, plan, &watch).map_err(plain)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let pusher = otlp.as_ref().map(Pusher::new).transpose()?;
            let listener = TcpListener::bind(self.listen)
                .await
                .with_context(|| format!("cannot listen on {}", self.listen))?;
            let address = listener.local_addr()?;
            // Before anybody knows the address: whoever does may stop it at once.
            let mut stop = Stop::listen()?;
            announce(address, alerter.is_some(), otlp.as_ref(), out)?;
            let serving = axum::serve(listener, watch.router()).into_future();
            tokio::select! {
                served = serving => served?,
                () = push(pusher.as_ref(), &watch) => {}
                () = stop.told() => {}
            }
            say_goodbye(pusher.as_ref(), &watch).await;
            Ok(Exit::Done)
        })
    }
}

/// Sends metrics for as long as it is polled.
async fn push(pusher: Option<&Pusher>, watch: &Watcher) {
    match pusher {
        Some(pusher) => pusher.run(|| reading(watch), Pushed::log).await,
        None => std::future::pending().await,
    }
}

/// Sends how things stand at the end: the minute since the last time is not lost.
async fn say_goodbye(pusher: Option<&Pusher>, watch: &Watcher) {
    if let (Some(pusher), Some(reading)) = (pusher, reading(watch)) {
        match tokio::time::timeout(FAREWELL, pusher.push(&reading)).await {
            Ok(Ok(pushed)) => pushed.into_iter().for_each(Pushed::log),
            Ok(Err(error)) => tracing::warn!(%error, "the last metrics were not sent"),
            Err(_) => tracing::warn!("the last metrics were not sent in time"),
        }
    }
}

fn reading(watch: &Watcher) -> Option<Reading> {
    let found = watch.found();
    if found.is_stale() {
        tracing::warn!("the watcher hangs: no metrics are sent");
        return None;
    }
    Some(Reading { metrics: found.metrics, since: watch.since(), at: found.time })
}

/// Who counts, where several do for one collector: the machine and the journal.
fn instance(global: &Global) -> String {
    let journal = std::path::absolute(&global.db).unwrap_or_else(|_| global.db.clone());
    #[cfg(unix)]
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    #[cfg(not(unix))]
    let machine = std::env::var("COMPUTERNAME").unwrap_or_default();
    format!("{machine}:{}", journal.display())
}

/// Trouble with the journal as itself, so that it has the exit code of all such trouble.
pub(super) fn plain(error: midwatch_watch::Error) -> anyhow::Error {
    match error {
        midwatch_watch::Error::Journal(error) => error.into(),
        other => other.into(),
    }
}

fn announce(address: SocketAddr, tells: bool, otlp: Option<&Otlp>, out: &mut Out) -> std::io::Result<()> {
    let url = format!("http://{address}/metrics");
    let collector = otlp.map(Otlp::shown);
    if out.is_json {
        return out.json(&json!({ "metrics_url": url, "alerts": tells, "otlp": collector }));
    }
    out.line(format_args!("metrics  {url}"))?;
    if let (Some(collector), Some(otlp)) = (collector, otlp) {
        let every = humantime::format_duration(otlp.interval());
        out.line(format_args!("sent     to {} every {every}", clean(&collector)))?;
    }
    if !tells {
        out.line(format_args!(
            "{WARN}alerts   another process that watches this journal tells them{WARN:#}"
        ))?;
    }
    out.line(format_args!("{FAINT}Ctrl-C ends it{FAINT:#}"))
}

fn often(text: &str) -> Result<Duration, String> {
    let every = duration(text)?;
    let is_fit = (Duration::from_millis(100)..=Duration::from_secs(60)).contains(&every);
    is_fit.then_some(every).ok_or_else(|| "expected from 100ms to 1m".to_owned())
}
