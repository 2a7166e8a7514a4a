//! Who sends an order and how long its effect is waited for; and a line for each run.

use std::time::Duration;

use clap::Args;
use midwatch_journal::RunSummary;
use midwatch_steer::{Desk, Effect, Order, Outcome, report};

use crate::config::{Global, clock, duration};
use crate::error::{Error, Exit};
use crate::output::text::clean;
use crate::output::{Out, look, time};
use crate::server::PATIENCE_MAX;
use crate::source::Source;

/// How a message is sent.
#[derive(Args)]
pub(crate) struct Sending {
    /// Who is named in the journal; the user of the operating system if nobody else
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// How long to wait for the message to take effect; 0s for not at all
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    timeout: Duration,
}

impl Sending {
    /// Who sends.
    pub(crate) fn by(&self) -> String {
        self.by.clone().unwrap_or_else(user)
    }
}

/// The user of the operating system.
pub(crate) fn user() -> String {
    let names = ["USER", "LOGNAME", "USERNAME"].into_iter().filter_map(|name| std::env::var(name).ok());
    names.into_iter().find(|name| !name.is_empty()).unwrap_or_else(number)
}

#[cfg(unix)]
fn number() -> String {
    format!("uid {}", rustix::process::getuid().as_raw())
}

#[cfg(not(unix))]
fn number() -> String {
    "somebody".to_owned()
}

/// Sends an order to runs and tells what came of it, a line each.
pub(crate) fn deliver(
    order: &dyn Order,
    runs: &[RunSummary],
    sending: &Sending,
    source: &Source,
    global: &Global,
    out: &mut Out,
) -> anyhow::Result<Exit> {
    let mut exit = Exit::Done;
    let mut tell = |run: &RunSummary, outcome: &Outcome| {
        exit = exit.max(tell(order, run, outcome, global, out)?);
        anyhow::Ok(())
    };
    let patience = sending.timeout;
    match source.server() {
        Some(_) if patience > PATIENCE_MAX => {
            let most = time::span(PATIENCE_MAX);
            return Err(Error::usage(format!(
                "a server waits for an effect for {most} at most: --timeout 10s"
            ))
            .into());
        }
        Some(server) => server.deliver(order, runs, &sending.by(), patience, &mut tell)?,
        None => {
            let desk = Desk { journal: source.journal(), path: &global.db, patience, clock: &clock };
            midwatch_steer::deliver(order, runs, &desk, &mut tell)?;
        }
    }
    Ok(exit)
}

/// Tells how it ended for a run.
fn tell(
    order: &dyn Order,
    run: &RunSummary,
    outcome: &Outcome,
    global: &Global,
    out: &mut Out,
) -> anyhow::Result<Exit> {
    let exit = if matches!(outcome, Outcome::Refused { .. }) { Exit::Refused } else { Exit::Done };
    if out.is_json {
        out.json(&report(run, outcome))?;
        return Ok(exit);
    }
    let (style, what) = match outcome {
        Outcome::Done(Effect::Event(number)) => (look::GOOD, format!("{} (event {number})", order.done())),
        Outcome::Done(Effect::Run(id)) => (look::GOOD, format!("{} as {} ({id})", order.done(), id.short())),
        Outcome::Already(what) => (look::FAINT, what.clone()),
        Outcome::Queued { letter, why } => (look::WARN, format!("queued as letter {letter}: {why}")),
        Outcome::Refused { why, instead } => {
            let error = Error::Refused { run: run.run, why: why.clone(), instead: instead.clone() };
            crate::output::report(&error.to_string(), &error.hints(), exit, global);
            return Ok(exit);
        }
    };
    let id = clean(run.workflow_id.as_str());
    let what = clean(&what);
    out.line(format_args!("{} {id}  {style}{what}{style:#}", run.run.short()))?;
    Ok(exit)
}
