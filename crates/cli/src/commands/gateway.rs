//! `midwatch gateway`.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use midwatch_gateway::{Config, check, now};
use midwatch_recorder::{Options, Recorder};
use serde_json::json;

use crate::config::Global;
use crate::error::{Error, Exit};
use crate::output::Out;
use crate::output::look::{FAINT, GOOD};
use crate::stop::Stop;

/// Stand before language-model providers: meter, budget, gate and book every call of any client
#[derive(Args)]
#[command(after_help = "\
Clients change their base URL, and nothing else:
  OPENAI_BASE_URL=http://127.0.0.1:4100/v1                  calls of one client are one run, until it is quiet
  OPENAI_BASE_URL=http://127.0.0.1:4100/run/thread-7/v1     calls belong to run `thread-7`
  ANTHROPIC_BASE_URL=http://127.0.0.1:4100/run/thread-7     Anthropic's clients add /v1 themselves
Headers say the same and more: x-midwatch-run, x-midwatch-step, x-midwatch-tenant, x-midwatch-workflow; so do traceparent \
and baggage.

Without a configuration, api.openai.com and api.anthropic.com are called with the keys of OPENAI_API_KEY and \
ANTHROPIC_API_KEY. Every setting is in docs/gateway.md; MIDWATCH_GATEWAY_… variables win over the file, and options over both.

Examples:
  midwatch gateway
  midwatch gateway --config gateway.toml --check
  midwatch gateway --upstream openai=http://127.0.0.1:4010/v1 --listen 127.0.0.1:0 --json
  midwatch ls; midwatch cost --by step; midwatch why thread-7

Ctrl-C or SIGTERM ends it when calls under way have ended, after `drain` at the latest. It logs to standard error, as much as \
MIDWATCH_LOG says (error, warn, info, debug).
Exit codes: 0 ended · 1 calls were still under way · 2 the configuration cannot be used · 4 the journal is unavailable
JSON: {\"listening\", \"openai_base_url\", \"anthropic_base_url\", \"journal\"}; with --check {\"ok\": true, …}.")]
pub(crate) struct Gateway {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "MIDWATCH_GATEWAY")]
    config: Option<PathBuf>,
    /// Only checks the configuration, its credentials and the price file
    #[arg(long)]
    check: bool,
    /// Where to listen
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// An upstream and its URL up to /v1; `anthropic` speaks Anthropic's language, all others OpenAI's
    #[arg(long, value_name = "NAME=URL", value_parser = upstream)]
    upstream: Vec<(String, String)>,
    /// What to do about failures: `observe` passes them on, `protect` waits, retries and says so to clients
    #[arg(long, value_name = "MODE", value_parser = ["observe", "protect"])]
    mode: Option<String>,
    /// How many threads carry calls; as many as the machine has cores, if nothing is said
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    threads: Option<u16>,
}

/// Who is called if nobody says otherwise: name, URL, dialect, the variable with the key.
const USUAL: [(&str, &str, &str, &str); 2] = [
    ("openai", "https://api.openai.com/v1", "open_ai", "OPENAI_API_KEY"),
    ("anthropic", "https://api.anthropic.com/v1", "anthropic", "ANTHROPIC_API_KEY"),
];

impl Gateway {
    pub(crate) fn run(self, global: &Global, out: &mut Out) -> anyhow::Result<Exit> {
        let environment = |name: &str| std::env::var(name).ok();
        let config = self.read()?;
        check(&config, environment).map_err(|error| Error::usage(error.to_string()))?;
        if self.check {
            return conclude(&config, out);
        }
        log();
        let options =
            Options { idle: config.idle, ..Options::new(format!("gateway, process {}", std::process::id())) };
        let recorder = Recorder::open(&global.db, options, now()).map_err(unavailable)?;
        // Accepts connections and looks after runs; calls have threads of their own.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let has_drained = runtime.block_on(async {
            let gateway = midwatch_gateway::Gateway::new(config, recorder.clone(), &global.db, environment);
            let gateway = gateway.map_err(|error| Error::usage(error.to_string()))?;
            let listener = gateway.listen().await;
            let listener =
                listener.with_context(|| format!("cannot listen on {}", gateway.config().listen))?;
            // Before anybody knows the address: whoever does may stop it at once.
            let mut stop = Stop::listen()?;
            announce(listener.local_addr()?, global, out)?;
            Ok::<_, anyhow::Error>(gateway.serve(listener, async move { stop.told().await }).await?)
        })?;
        runtime.shutdown_background();
        recorder.end_idle();
        recorder.close().map_err(unavailable)?;
        Ok(if has_drained { Exit::Done } else { Exit::Failed })
    }

    fn read(&self) -> anyhow::Result<Config> {
        let text = match &self.config {
            None => String::new(),
            Some(path) => std::fs::read_to_string(path)
                .map_err(|error| Error::usage(format!("{}: {error}", path.display())))?,
        };
        let environment = std::env::vars().chain(self.settings(&text));
        let config = Config::read(&text, environment).map_err(|error| Error::usage(error.to_string()));
        Ok(config?)
    }

    /// What options say, as settings that come after those of the environment.
    fn settings(&self, text: &str) -> Vec<(String, String)> {
        let mut settings = Vec::new();
        let mut set = |name: &str, value: &str| {
            settings.push((format!("{}{name}", midwatch_gateway::config::ENVIRONMENT), value.to_owned()));
        };
        let named: Vec<(&str, &str)> =
            self.upstream.iter().map(|(name, url)| (name.as_str(), url.as_str())).collect();
        let is_unnamed = named.is_empty() && !text.contains("[upstreams");
        for (name, url, dialect, variable) in USUAL {
            let url = named.iter().find(|(named, _)| *named == name).map_or(url, |(_, url)| url);
            let has_key = std::env::var(variable).is_ok_and(|key| !key.trim().is_empty());
            let is_wanted = named.iter().any(|(named, _)| *named == name) || (is_unnamed && has_key);
            if is_wanted {
                let upper = name.to_ascii_uppercase();
                set(&format!("UPSTREAMS__{upper}__URL"), url);
                set(&format!("UPSTREAMS__{upper}__DIALECT"), dialect);
                if has_key {
                    set(&format!("UPSTREAMS__{upper}__KEY_ENV"), variable);
                }
            }
        }
        for (name, url) in named.iter().filter(|(named, _)| USUAL.iter().all(|(usual, ..)| usual != named)) {
            set(&format!("UPSTREAMS__{}__URL", name.to_ascii_uppercase()), url);
        }
        if let Some(listen) = self.listen {
            set("LISTEN", &listen.to_string());
        }
        if let Some(threads) = self.threads {
            set("THREADS", &threads.to_string());
        }
        if let Some(mode) = &self.mode {
            set("MODE", mode);
        }
        settings
    }
}

fn upstream(text: &str) -> Result<(String, String), String> {
    let (name, url) =
        text.split_once('=').ok_or("expected NAME=URL, e.g. openai=https://api.openai.com/v1")?;
    Ok((name.to_ascii_lowercase(), url.to_owned()))
}

fn unavailable(error: midwatch_recorder::Error) -> anyhow::Error {
    match error {
        midwatch_recorder::Error::Journal(error) => error.into(),
        error => error.into(),
    }
}

/// Logs to standard error, as far as `MIDWATCH_LOG` says.
fn log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("MIDWATCH_LOG");
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    // Another part of the process may log already.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}

fn announce(address: SocketAddr, global: &Global, out: &mut Out) -> std::io::Result<()> {
    let base = format!("http://{address}");
    if out.is_json {
        return out.json(&json!({
            "listening": base,
            "openai_base_url": format!("{base}/v1"),
            "anthropic_base_url": base,
            "journal": global.db,
        }));
    }
    out.line(format_args!("export OPENAI_BASE_URL={base}/v1"))?;
    out.line(format_args!("export ANTHROPIC_BASE_URL={base}"))?;
    let journal = global.db.display();
    out.line(format_args!(
        "{FAINT}# books calls in {journal} · name a run with {base}/run/NAME/v1 · Ctrl-C ends it{FAINT:#}"
    ))
}

fn conclude(config: &Config, out: &mut Out) -> anyhow::Result<Exit> {
    let upstreams: Vec<&String> = config.upstreams.keys().collect();
    let keys: Vec<&String> = config.keys.keys().collect();
    if out.is_json {
        out.json(&json!({"ok": true, "listen": config.listen, "upstreams": upstreams, "keys": keys}))?;
        return Ok(Exit::Done);
    }
    let names = |names: &[&String]| match names {
        [] => "none".to_owned(),
        names => names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", "),
    };
    out.line(format_args!("{GOOD}the configuration can be used{GOOD:#}"))?;
    out.line(format_args!(
        "listens on {}, calls {}, keys: {}",
        config.listen,
        names(&upstreams),
        names(&keys)
    ))?;
    Ok(Exit::Done)
}
