//! `midwatch watch`.

use std::future::IntoFuture;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use midwatch_watch::alert::Alerter;
use midwatch_watch::{Options, Watch as Watcher};
use serde_json::json;
use tokio::net::TcpListener;

use crate::commands::alerts::plan;
use crate::config::{Global, duration};
use crate::error::Exit;
use crate::output::look::{FAINT, WARN};
use crate::output::{Out, log};
use crate::stop::Stop;

/// Watch the journal: serve metrics for Prometheus, and tell who should know what needs somebody
#[derive(Args)]
#[command(after_help = "\
Examples:
  midwatch watch
  midwatch watch --db /var/lib/agents/midwatch.db --listen 127.0.0.1:9464 --rules alerts.toml
  curl http://127.0.0.1:9464/metrics

Counters begin when it starts, at the end of the journal; gauges are read from the journal, so a worker that died hides \
nothing. docs/metrics.md lists the families. Rules and receivers come from a file (docs/alerts.md); without one the \
default rules hold, and nobody is told: midwatch alerts, and the metric midwatch_alerts_firing. There is no password: names of workflows and targets can be read by whoever \
reaches the address. Ctrl-C ends it.
JSON: first {\"metrics_url\", \"alerts\"}; `alerts` is false if another process tells them.")]
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
}

impl Watch {
    pub(crate) fn run(self, global: &Global, out: &mut Out) -> anyhow::Result<Exit> {
        log(global);
        let plan = plan(self.rules.as_deref())?;
        let watch = Watcher::start(&global.db, Options { every: self.every }).map_err(plain)?;
        let alerter = Alerter::start(&global.db, plan, &watch).map_err(plain)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let listener = TcpListener::bind(self.listen)
                .await
                .with_context(|| format!("cannot listen on {}", self.listen))?;
            let address = listener.local_addr()?;
            // Before anybody knows the address: whoever does may stop it at once.
            let mut stop = Stop::listen()?;
            announce(address, alerter.is_some(), out)?;
            let serving = axum::serve(listener, watch.router()).into_future();
            tokio::select! {
                served = serving => served?,
                () = stop.told() => {}
            }
            Ok(Exit::Done)
        })
    }
}

/// Trouble with the journal as itself, so that it has the exit code of all such trouble.
pub(super) fn plain(error: midwatch_watch::Error) -> anyhow::Error {
    match error {
        midwatch_watch::Error::Journal(error) => error.into(),
        other => other.into(),
    }
}

fn announce(address: SocketAddr, tells: bool, out: &mut Out) -> std::io::Result<()> {
    let url = format!("http://{address}/metrics");
    if out.is_json {
        return out.json(&json!({ "metrics_url": url, "alerts": tells }));
    }
    out.line(format_args!("metrics  {url}"))?;
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
