//! `midwatch trace`.

mod family;
mod page;
mod send;

use std::path::PathBuf;

use clap::Args;
use midwatch_otlp::Signal;

use self::family::family;
use self::page::lines;
use self::send::{follow, hand_over};
use crate::collector::{Protocol, collector};
use crate::config::Global;
use crate::error::Exit;
use crate::find::find;
use crate::output::Out;
use crate::source::Source;

/// Show a run's trace, or hand traces on to a collector
#[derive(Args)]
#[command(after_help = "\
Examples:
  midwatch trace order-42                                    the spans, as a tree
  midwatch trace order-42 --json | jq -r '[.name, .state] | @tsv'
  midwatch trace order-42 --otlp http://localhost:4318       sends it once more, whenever it ran
  midwatch trace --follow --otlp http://localhost:4318       an exporter beside a running engine
  OTEL_EXPORTER_OTLP_ENDPOINT=… midwatch trace --follow      as the standard variables say

A trace is computed from the journal, so it is there whether or not anything was exported at the time, and sending it twice \
changes nothing: ids are the same. Child runs are part of it. --follow keeps its place in a file beside the journal; while \
the collector is away nothing is lost.
JSON, one line a span: {\"trace_id\", \"span_id\", \"parent_id\", \"run\", \"kind\", \"name\", \"start_us\", \"end_us\", \
\"state\", \"message\", \"attributes\", …}; with --otlp {\"endpoint\", \"spans\", \"refused\", \"why\"}; with --follow first {\"following\"}, then what happens, \
last {\"stopped\"}. docs/traces.md \
lists the attributes.
Exit codes: 0 done · 1 the collector did not take it · 3 no such run · 4 the journal is unavailable")]
pub(crate) struct Trace {
    /// The run
    #[arg(value_name = "RUN", required_unless_present = "follow")]
    run: Option<String>,
    /// Without the runs that it started
    #[arg(long, conflicts_with = "follow")]
    alone: bool,
    /// Hands the trace on to this collector; without URL as the variables OTEL_EXPORTER_OTLP_… say
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "")]
    otlp: Option<String>,
    /// How to speak to the collector; as OTEL_EXPORTER_OTLP_PROTOCOL says if that is set
    #[arg(long, value_enum, value_name = "HOW")]
    protocol: Option<Protocol>,
    /// Instead of RUN: follows the journal, and hands on the spans of all runs as they become final, until Ctrl-C
    #[arg(long, conflicts_with = "run")]
    follow: bool,
    /// The first time, begins with the first run in the journal instead of what happens from now on
    #[arg(long, requires = "follow")]
    from_start: bool,
    /// Keeps its place in this file, for a second collector
    #[arg(long, value_name = "FILE", requires = "follow")]
    cursor: Option<PathBuf>,
}

impl Trace {
    /// Whether it follows all runs, and keeps its place beside the journal.
    pub(super) fn is_following(&self) -> bool {
        self.follow
    }

    pub(crate) fn run(self, global: &Global, out: &mut Out) -> anyhow::Result<Exit> {
        if self.follow {
            let otlp = collector(Signal::Traces, self.otlp.as_deref().unwrap_or_default(), self.protocol)?;
            return follow(otlp, self.cursor, self.from_start, global, out);
        }
        let source = Source::open(global)?;
        let asked = self.run.as_deref().unwrap_or_default();
        let run = find(&source, asked)?;
        let family = family(source.journal(), run.run, self.alone, source.now())?;
        if let Some(url) = &self.otlp {
            return hand_over(collector(Signal::Traces, url, self.protocol)?, family, out);
        }
        if out.is_json {
            for span in &family.spans {
                out.json(span)?;
            }
            return Ok(Exit::Done);
        }
        for line in lines(&run, &family, out.width_of_picture()) {
            out.line(line)?;
        }
        Ok(Exit::Done)
    }
}
