//! The commands, one a file.

mod alerts;
mod budget;
mod cancel;
mod completions;
mod cost;
mod dashboards;
mod demo;
mod doctor;
mod fork;
mod gateway;
mod ingest;
mod ls;
mod mcp;
mod pause;
mod resolve;
mod resume;
mod retry;
mod serve;
mod show;
mod signal;
mod simulate;
mod stalls;
mod tail;
mod trace;
mod version;
mod watch;
mod why;

use clap::Subcommand;
use midwatch_workflow::Payload;

use crate::config::Global;
use crate::error::{Error, Exit};
use crate::output::Out;
use crate::server::Address;

/// What can be asked.
#[derive(Subcommand)]
pub(crate) enum Command {
    Demo(demo::Demo),
    Ls(ls::Ls),
    Show(show::Show),
    Why(why::Why),
    Tail(tail::Tail),
    Trace(trace::Trace),
    Mcp(mcp::Mcp),
    Cost(cost::Cost),
    Stalls(stalls::Stalls),
    Signal(signal::Signal),
    Cancel(cancel::Cancel),
    Pause(pause::Pause),
    Resume(resume::Resume),
    Retry(retry::Retry),
    Resolve(resolve::Resolve),
    Budget(budget::Budget),
    Fork(fork::Fork),
    Gateway(gateway::Gateway),
    Serve(serve::Serve),
    Simulate(simulate::Simulate),
    Doctor(doctor::Doctor),
    Alerts(alerts::Alerts),
    Watch(watch::Watch),
    Dashboards(dashboards::Dashboards),
    Ingest(ingest::Ingest),
    Completions(completions::Completions),
    Version(version::Version),
}

impl Command {
    /// Carries it out.
    pub(crate) fn run(self, global: &Global, out: &mut Out) -> anyhow::Result<Exit> {
        if let (Some(server), Some(name)) = (&global.server, self.needs_the_file()) {
            return Err(needs_the_file(name, server).into());
        }
        match self {
            Command::Demo(demo) => demo.run(global, out),
            Command::Ls(ls) => ls.run(global, out),
            Command::Show(show) => show.run(global, out),
            Command::Why(why) => why.run(global, out),
            Command::Tail(tail) => tail.run(global, out),
            Command::Trace(trace) => trace.run(global, out),
            Command::Mcp(mcp) => mcp.run(global),
            Command::Cost(cost) => cost.run(global, out),
            Command::Stalls(stalls) => stalls.run(global, out),
            Command::Signal(signal) => signal.run(global, out),
            Command::Cancel(cancel) => cancel.run(global, out),
            Command::Pause(pause) => pause.run(global, out),
            Command::Resume(resume) => resume.run(global, out),
            Command::Retry(retry) => retry.run(global, out),
            Command::Resolve(resolve) => resolve.run(global, out),
            Command::Budget(budget) => budget.run(global, out),
            Command::Fork(fork) => fork.run(global, out),
            Command::Gateway(gateway) => gateway.run(global, out),
            Command::Serve(serve) => serve.run(global, out),
            Command::Simulate(simulate) => simulate.run(out),
            Command::Doctor(doctor) => doctor.run(global, out),
            Command::Alerts(alerts) => alerts.run(global, out),
            Command::Dashboards(dashboards) => dashboards.run(out),
            Command::Watch(watch) => watch.run(global, out),
            Command::Ingest(ingest) => ingest.run(global, out),
            Command::Completions(completions) => completions.run(out),
            Command::Version(version) => version.run(out),
        }
    }
}

impl Command {
    /// The name of a command that works on the journal's file alone.
    fn needs_the_file(&self) -> Option<&'static str> {
        match self {
            Command::Trace(trace) if trace.is_following() => Some("trace --follow"),
            Command::Mcp(_) => Some("mcp"),
            Command::Gateway(_) => Some("gateway"),
            Command::Serve(_) => Some("serve"),
            Command::Alerts(alerts) if alerts.reads_the_journal() => Some("alerts"),
            Command::Watch(_) => Some("watch"),
            Command::Ingest(_) => Some("ingest"),
            _ => None,
        }
    }
}

fn needs_the_file(name: &str, server: &Address) -> Error {
    Error::Usage {
        what: format!("midwatch {name} works on the journal's file, and {server} is a server"),
        instead: Some("run it on the machine of the journal, with --db FILE".to_owned()),
    }
}

/// What the commands that steer runs say of their outcome.
macro_rules! outcome_help {
    () => {
        "\
The message goes into the journal's inbox, whether or not a process owns the journal now; a process that does takes \
it in at once, and the command says whether it took effect.
JSON, one line a run: {\"run\", \"workflow_id\", \"outcome\": \"done\"|\"already\"|\"queued\"|\"refused\", …}, with \
\"event\" or \"new_run\", \"letter\", \"why\", \"instead\"."
    };
}
use outcome_help;

/// Reads JSON on the command line.
fn payload(text: &str) -> Result<Payload, String> {
    if text.len() > Payload::BYTES_MAX {
        return Err(format!("{} bytes are over the limit of {} bytes", text.len(), Payload::BYTES_MAX));
    }
    Payload::from_json(text)
        .map_err(|error| format!("this is no JSON ({error}); a text needs quotes: '\"yes\"'"))
}
