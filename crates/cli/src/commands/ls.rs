//! `midwatch ls`.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::{Args, ValueEnum};
use midwatch_journal::{Order, RunQuery, RunSummary, Status};
use midwatch_workflow::{Spent, Timestamp};

use crate::config::{Global, duration};
use crate::error::Exit;
use crate::output::look::{BAD, FAINT, PLAIN, WARN};
use crate::output::table::{Cell, Column, lines};
use crate::output::{Out, amount, look, text, time};
use crate::source::Source;

/// List runs, newest first
#[derive(Args)]
#[command(after_help = "\
Examples:
  midwatch ls --status running,waiting
  midwatch ls --workflow checkout --since 1h --order costliest
  midwatch ls --status parked --json | jq -r .run

TRIES counts attempts, ✗ those that failed. A cost with `?` has parts without a known price.
JSON: one run summary a line; times are microseconds since 1970, costs are pico-dollars (10⁻¹² USD).")]
pub(crate) struct Ls {
    /// Only this workflow
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// Only these states: running, waiting, compensating, paused, parked, completed, failed, compensated, cancelled
    #[arg(long, value_name = "STATUS", value_delimiter = ',')]
    status: Vec<Status>,
    /// Only this tenant
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Only runs whose workflow id contains this, or whose run id begins with it
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// Only runs that started within this time, e.g. 1h
    #[arg(long, value_name = "TIME", value_parser = duration)]
    since: Option<Duration>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Which come first
    #[arg(long, value_enum, default_value_t = Sorted::Newest, value_name = "ORDER")]
    order: Sorted,
}

/// Which runs come first.
#[derive(Clone, Copy, ValueEnum)]
enum Sorted {
    /// Latest start
    Newest,
    /// Earliest start
    Oldest,
    /// Highest cost
    Costliest,
    /// Longest without change
    Stalest,
}

impl Ls {
    pub(crate) fn run(self, global: &Global, out: &mut Out) -> anyhow::Result<Exit> {
        let source = Source::open(global)?;
        let (now, limit) = (source.now(), self.limit as usize);
        // One more than wanted tells whether there are more.
        let query = RunQuery { limit: limit + 1, ..self.query(now) };
        let mut runs = source.journal().runs(&query)?;
        let has_more = runs.len() > limit;
        runs.truncate(limit);
        if out.is_json {
            for run in &runs {
                out.json(run)?;
            }
            return Ok(Exit::Done);
        }
        if runs.is_empty() {
            out.line(format_args!("no runs{}", if self.is_filtered() { " that fit" } else { "" }))?;
            return Ok(Exit::Done);
        }
        let rows: Vec<Vec<Cell>> = runs.iter().map(|run| row(run, now)).collect();
        let (columns, rows) = within(out.width(), columns().into(), rows);
        for line in lines(&columns, &rows, out.width()) {
            out.line(line)?;
        }
        let more = if has_more { " · there are more: --limit" } else { "" };
        out.line(format_args!("{FAINT}{}{more}{FAINT:#}", footer(&runs)))?;
        Ok(Exit::Done)
    }

    fn query(&self, now: Timestamp) -> RunQuery {
        let before = |age: Duration| {
            now.as_micros().saturating_sub(u64::try_from(age.as_micros()).unwrap_or(u64::MAX))
        };
        RunQuery {
            workflow: self.workflow.clone(),
            statuses: self.status.clone(),
            tenant: self.tenant.clone(),
            text: self.text.clone(),
            started_from: self.since.map(|age| Timestamp::from_micros(before(age))),
            order: match self.order {
                Sorted::Newest => Order::Newest,
                Sorted::Oldest => Order::Oldest,
                Sorted::Costliest => Order::Costliest,
                Sorted::Stalest => Order::Stalest,
            },
            ..RunQuery::default()
        }
    }

    fn is_filtered(&self) -> bool {
        self.workflow.is_some()
            || !self.status.is_empty()
            || self.tenant.is_some()
            || self.text.is_some()
            || self.since.is_some()
    }
}

fn columns() -> [Column; 10] {
    [
        Column::left("RUN"),
        Column::patient("WORKFLOW", 8),
        Column::patient("ID", 8),
        Column::left("STATUS"),
        Column::right("AGE"),
        Column::right("TOOK"),
        Column::right("STEPS"),
        Column::right("TRIES"),
        Column::right("COST"),
        Column::patient("DOING", 12),
    ]
}

/// Leaves out how long runs took and their steps where there is no room for a readable last column.
fn within(
    width: Option<usize>,
    mut columns: Vec<Column>,
    mut rows: Vec<Vec<Cell>>,
) -> (Vec<Column>, Vec<Vec<Cell>>) {
    const ROOMY: usize = 96;
    const SPARE: std::ops::Range<usize> = 5..7;
    if width.is_some_and(|width| width < ROOMY) {
        columns.drain(SPARE);
        rows.iter_mut().for_each(|row| drop(row.drain(SPARE)));
    }
    (columns, rows)
}

fn row(run: &RunSummary, now: Timestamp) -> Vec<Cell> {
    let has_own_id = run.workflow_id.as_str() != run.run.to_string();
    let took = run.ended_at.map(|end| time::span(end.since(run.started_at))).unwrap_or_default();
    let tries = match run.failures {
        0 => run.attempts.to_string(),
        failures => format!("{} ✗{failures}", run.attempts),
    };
    let (doing, style) = doing(run, now);
    vec![
        Cell::new(run.run.short()),
        Cell::new(&run.workflow),
        Cell::new(if has_own_id { run.workflow_id.as_str() } else { "" }),
        Cell::styled(run.status.as_str(), look::of(run.status)),
        Cell::new(time::coarse(now.since(run.started_at))),
        Cell::new(took),
        Cell::new(run.steps.to_string()),
        Cell::styled(tries, if run.failures > 0 { WARN } else { PLAIN }),
        Cell::new(amount::spent(&run.spent)),
        Cell::styled(doing, style),
    ]
}

/// What an open run does and what troubles it; what an ended run failed with.
fn doing(run: &RunSummary, now: Timestamp) -> (String, anstyle::Style) {
    let trouble = match (run.class, &run.message) {
        (Some(class), Some(message)) => format!("{class}: {message}"),
        (None, Some(message)) => message.clone(),
        (Some(class), None) => class.to_string(),
        (None, None) => String::new(),
    };
    if run.ended_at.is_some() {
        return (trouble, BAD);
    }
    if run.parked.is_some() {
        return (run.message.clone().unwrap_or_default(), WARN);
    }
    let due = run.wake_at.map(|at| format!(" {}", time::relative(at, now))).unwrap_or_default();
    let doing = format!("{}{due}", run.doing);
    let parts = [doing, run.status_text.clone().unwrap_or_default(), trouble];
    (parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · "), PLAIN)
}

/// `3 runs: 1 running, 2 completed · $1.23`.
fn footer(runs: &[RunSummary]) -> String {
    let mut counts: BTreeMap<Status, u64> = BTreeMap::new();
    let mut cost = Spent::default();
    for run in runs {
        *counts.entry(run.status).or_default() += 1;
        cost.cost += run.spent.cost;
        cost.unpriced += run.spent.unpriced;
    }
    let counts: Vec<String> = counts.iter().map(|(status, count)| format!("{count} {status}")).collect();
    let cost = match amount::spent(&cost) {
        cost if cost.is_empty() => cost,
        cost => format!(" · {cost}"),
    };
    text::clean(&format!("{}: {}{cost}", amount::counted(runs.len() as u64, "run"), counts.join(", ")))
        .into_owned()
}
