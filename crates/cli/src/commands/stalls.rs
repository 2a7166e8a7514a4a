//! `midwatch stalls`.

use std::time::Duration;

use clap::Args;
use midwatch_inspect::stalls;
use midwatch_observe::stall::{Stall, StallKind};
use midwatch_observe::why::{Owner, Verdict};
use serde_json::json;

use crate::config::{Global, duration};
use crate::error::Exit;
use crate::output::look::{BAD, FAINT, PLAIN, WARN};
use crate::output::table::{Cell, Column, lines};
use crate::output::{Out, amount, time};
use crate::source::Source;

/// List runs that make no progress although nothing holds them back
#[derive(Args)]
#[command(after_help = "\
Examples:
  midwatch stalls
  midwatch stalls --limit 2m --json | jq -r .run.run

A timer that is not due, a signal, a person, a child, a closed gate, a full queue and a pause are no stalls.
JSON, one line a run: {\"run\", \"kind\": \"silent\"|\"overdue\", \"since_us\", \"verdict\", \"cause\", \"headline\"}.")]
pub(crate) struct Stalls {
    /// How long a run may say nothing
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
    limit: Duration,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=2_000))]
    most: u32,
}

/// So many stalls are asked for their cause; the others are only listed.
const ASKED_MAX: usize = 20;

impl Stalls {
    pub(crate) fn run(self, global: &Global, out: &mut Out) -> anyhow::Result<Exit> {
        let source = Source::open(global)?;
        let (owner, inspector) = (source.owner(), source.inspector());
        let found = stalls(source.journal(), source.now(), self.limit)?;
        let shown = found.stalls.iter().take(self.most as usize);
        let mut rows = Vec::new();
        for (n, stall) in shown.enumerate() {
            let answer = if n < ASKED_MAX { Some(inspector.why(stall.run.run)?) } else { None };
            if out.is_json {
                let mut line = serde_json::to_value(stall)?;
                if let (Some(answer), Some(line)) = (&answer, line.as_object_mut()) {
                    line.insert("verdict".to_owned(), json!(answer.verdict));
                    line.insert("cause".to_owned(), json!(answer.cause));
                    line.insert("headline".to_owned(), json!(answer.headline));
                }
                out.json(&line)?;
                continue;
            }
            rows.push(row(
                stall,
                answer.map(|answer| (answer.verdict, answer.cause.as_str(), answer.headline)),
            ));
        }
        if out.is_json {
            return Ok(Exit::Done);
        }
        if owner == Owner::Nobody {
            out.line(format_args!("{BAD}no process owns the journal: no run goes on{BAD:#}"))?;
        }
        if rows.is_empty() {
            out.line(format_args!("no run has stalled (limit {})", time::span(self.limit)))?;
            return Ok(Exit::Done);
        }
        let columns = [
            Column::left("RUN"),
            Column::patient("WORKFLOW", 8),
            Column::right("SILENT"),
            Column::left("CAUSE"),
            Column::patient("WHY", 20),
        ];
        for line in lines(&columns, &rows, out.width()) {
            out.line(line)?;
        }
        let more = if found.is_bounded { ", of the first open runs looked at" } else { "" };
        let count = amount::counted(found.stalls.len() as u64, "run");
        out.line(format_args!(
            "{FAINT}{count} without progress for {}{more} · midwatch why RUN{FAINT:#}",
            time::span(self.limit)
        ))?;
        Ok(Exit::Done)
    }
}

fn row(stall: &Stall, answer: Option<(Verdict, &'static str, String)>) -> Vec<Cell> {
    let (cause, headline, style) = match answer {
        Some((verdict, cause, headline)) => {
            (cause, headline, if verdict == Verdict::Stuck { WARN } else { PLAIN })
        }
        None => ("", stall.run.doing.clone(), PLAIN),
    };
    let since = match stall.kind {
        StallKind::Silent => time::span(stall.since),
        StallKind::Overdue => format!("{} late", time::span(stall.since)),
    };
    vec![
        Cell::new(stall.run.run.short()),
        Cell::new(&stall.run.workflow),
        Cell::styled(since, style),
        Cell::styled(cause, style),
        Cell::new(headline),
    ]
}
