//! `midwatch simulate`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use midwatch_simulator::{Config, RateLimit, Simulator, Summary, serve};
use serde_json::{Value, json};

use crate::error::{Error, Exit};
use crate::output::look::{BAD, FAINT, GOOD};
use crate::output::{Out, amount};
use crate::stop::Stop;

/// Serve providers that misbehave: OpenAI, Anthropic and a payment API, with a ledger of what they did
#[derive(Args)]
#[command(after_help = "\
Prints the addresses as lines for a shell. Ctrl-C ends it with what the ledger says.

Examples:
  midwatch simulate --port 4010 --seed 7
  midwatch simulate --rps 50 --burst 50 --fault rate_limited=0.1 --fault llm.cut_stream=0.05
  midwatch simulate --fault effects.server_error_after=0.02 --config simulator.toml

Kinds of faults: rate_limited, quota_exhausted, overloaded, unavailable, server_error, server_error_after, \
context_overflow, hang, hang_after, reset, reset_after, cut_stream, stall_stream, error_event, slow_tokens. \
Before the kind, `llm.` or `effects.` confines it to the models or to the payments.
JSON: first {\"openai_base_url\", \"anthropic_base_url\", \"payments_base_url\", \"ledger_url\"}, at the end {\"ledger\"}.")]
pub(crate) struct Simulate {
    /// The port to listen on; 0 takes a free one
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// What answers, latencies and faults depend on
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How many requests a second each provider admits
    #[arg(long, value_name = "N")]
    rps: Option<f64>,
    /// How many it admits at once after a rest; as many as in a second if nothing is said
    #[arg(long, value_name = "N", requires = "rps")]
    burst: Option<u32>,
    /// How often a fault strikes, from 0 to 1
    #[arg(long, value_name = "KIND=RATE", value_parser = fault)]
    fault: Vec<(String, f64)>,
    /// A TOML file with all settings; options win over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// How long requests under way may take to end.
const SETTLE: Duration = Duration::from_secs(2);

impl Simulate {
    pub(crate) fn run(self, out: &mut Out) -> anyhow::Result<Exit> {
        let config = self.config()?;
        config.validate().map_err(|error| Error::usage(error.to_string()))?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(async {
            let address = format!("{}:{}", config.address, config.port);
            let simulator = serve(config).await.with_context(|| format!("cannot listen on {address}"))?;
            // Before anybody knows the address: whoever does may stop it at once.
            let mut stop = Stop::listen()?;
            announce(&simulator, out)?;
            stop.told().await;
            simulator.ledger().settled(SETTLE).await;
            let summary = simulator.ledger().summary();
            simulator.stop().await;
            conclude(&summary, out)?;
            Ok(Exit::Done)
        })
    }

    fn config(&self) -> anyhow::Result<Config> {
        let mut config = self.config.as_deref().map_or_else(|| Ok(Config::default()), read)?;
        config.port = self.port.unwrap_or(config.port);
        config.seed = self.seed.unwrap_or(config.seed);
        if let Some(per_second) = self.rps {
            // As many as fit in a second, at least one; the cast saturates.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let burst = self.burst.unwrap_or((per_second.ceil() as u32).max(1));
            config.rate_limit = Some(RateLimit { per_second, burst });
        }
        for (kind, rate) in &self.fault {
            config = with_fault(&config, kind, *rate)?;
        }
        Ok(config)
    }
}

fn read(path: &Path) -> anyhow::Result<Config> {
    let wrong = |why: String| Error::usage(format!("{}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    Ok(toml::from_str(&text).map_err(|error| wrong(error.to_string()))?)
}

fn fault(text: &str) -> Result<(String, f64), String> {
    let (kind, rate) = text.split_once('=').ok_or("expected KIND=RATE, e.g. rate_limited=0.1")?;
    let rate = rate.parse().map_err(|_| format!("`{rate}` is no number from 0 to 1"))?;
    Ok((kind.replace('-', "_"), rate))
}

/// Sets a rate by its name in the configuration, so that a new kind of fault needs nothing here.
fn with_fault(config: &Config, kind: &str, rate: f64) -> anyhow::Result<Config> {
    let (doors, kind): (&[&str], &str) = match kind.split_once('.') {
        Some((door, kind)) => (&[door], kind),
        None => (&["llm", "effects"], kind),
    };
    let mut config = serde_json::to_value(config)?;
    for door in doors {
        match config.pointer_mut(&format!("/faults/{door}/{kind}")) {
            Some(value @ Value::Number(_)) if value.is_f64() => *value = json!(rate),
            _ => return Err(Error::usage(format!("there is no fault `{door}.{kind}`: see --help")).into()),
        }
    }
    Ok(serde_json::from_value(config)?)
}

fn announce(simulator: &Simulator, out: &mut Out) -> std::io::Result<()> {
    let ledger = format!("{}/_ledger", simulator.base_url());
    if out.is_json {
        return out.json(&json!({
            "openai_base_url": simulator.openai_url(),
            "anthropic_base_url": simulator.anthropic_url(),
            "payments_base_url": simulator.payments_url(),
            "ledger_url": ledger,
        }));
    }
    for (name, value) in [
        ("OPENAI_BASE_URL", simulator.openai_url()),
        ("OPENAI_API_KEY", "simulated".to_owned()),
        ("ANTHROPIC_BASE_URL", simulator.anthropic_url()),
        ("ANTHROPIC_API_KEY", "simulated".to_owned()),
        ("PAYMENTS_BASE_URL", simulator.payments_url()),
    ] {
        out.line(format_args!("export {name}={value}"))?;
    }
    out.line(format_args!("{FAINT}# ledger: {ledger} · Ctrl-C ends it{FAINT:#}"))
}

fn conclude(summary: &Summary, out: &mut Out) -> std::io::Result<()> {
    if out.is_json {
        return out.json(&json!({ "ledger": summary }));
    }
    let counts = |counts: &std::collections::BTreeMap<String, u64>| {
        let counts: Vec<String> =
            counts.iter().map(|(name, count)| format!("{} {name}", amount::count(*count))).collect();
        counts.join(", ")
    };
    out.line("")?;
    let mut field = |name: &str, value: String| match value.as_str() {
        "" => Ok(()),
        value => out.line(format_args!("{FAINT}{name:<9}{FAINT:#} {value}")),
    };
    let gone = if summary.client_gone > 0 {
        format!(", {} clients were gone", summary.client_gone)
    } else {
        String::new()
    };
    field("requests", format!("{}{gone}", amount::count(summary.requests)))?;
    field("answers", counts(&summary.by_status))?;
    field("faults", counts(&summary.by_fault))?;
    for (model, bill) in &summary.models {
        let (input, output) = (amount::count(bill.billed.input), amount::count(bill.billed.output));
        let calls = amount::counted(bill.calls, "call");
        field("billed", format!("{model}: {calls}, {input} tokens in, {output} out"))?;
    }
    field("effects", counts(&summary.effects_by_kind))?;
    let twice = summary.effects_done_twice;
    let style = if twice == 0 { GOOD } else { BAD };
    field("twice", format!("{style}{} done twice{style:#}", amount::counted(twice, "effect")))
}
