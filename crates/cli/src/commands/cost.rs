//! `midwatch cost`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use midwatch_inspect::{CostQuery, cost};
use midwatch_observe::cost::{By, Distribution, Line, Report};
use midwatch_workflow::{Money, Spent, Timestamp};

use crate::config::{Global, duration};
use crate::error::Exit;
use crate::output::look::{BAD, FAINT, PLAIN, STRONG, WARN};
use crate::output::table::{Cell, Column, lines};
use crate::output::{Out, amount};
use crate::source::Source;

/// Report what runs cost, what of it was wasted, and which runs cost far more than their like
#[derive(Args)]
#[command(after_help = "\
Examples:
  midwatch cost
  midwatch cost --by model --since 24h
  midwatch cost --workflow research --by step --csv > steps.csv
  midwatch cost --workflow research --svg cost.svg

WASTED is what failed attempts cost. A cost with `?` has parts without a known price. The newest runs are read (--runs);
what steps cost is read from the events of the costliest of them, and the report says which share of the cost that is.
JSON: one object; money is pico-dollars (10⁻¹² USD). A red bar lies beyond three times the median.")]
pub(crate) struct Cost {
    /// What it is broken down by
    #[arg(long, value_enum, default_value_t = Key::Workflow, value_name = "WHAT")]
    by: Key,
    /// Only runs that started within this time, e.g. 24h
    #[arg(long, value_name = "TIME", value_parser = duration)]
    since: Option<Duration>,
    /// Only this workflow
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// Only this tenant
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// The newest so many runs
    #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    runs: u32,
    /// Prints comma-separated values: dollars with all decimals
    #[arg(long, conflicts_with = "svg")]
    csv: bool,
    /// Draws the distribution into a file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// What a report is broken down by.
#[derive(Clone, Copy, ValueEnum)]
enum Key {
    Workflow,
    Run,
    Step,
    Model,
    Target,
    Tenant,
    Day,
}

impl From<Key> for By {
    fn from(key: Key) -> Self {
        match key {
            Key::Workflow => By::Workflow,
            Key::Run => By::Run,
            Key::Step => By::Step,
            Key::Model => By::Model,
            Key::Target => By::Target,
            Key::Tenant => By::Tenant,
            Key::Day => By::Day,
        }
    }
}

/// So many lines are printed for people.
const LINES_MAX: usize = 30;

impl Cost {
    pub(crate) fn run(self, global: &Global, out: &mut Out) -> anyhow::Result<Exit> {
        let source = Source::open(global)?;
        let since = self.since.map(|age| {
            let age = u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
            Timestamp::from_micros(source.now().as_micros().saturating_sub(age))
        });
        let query = CostQuery {
            workflow: self.workflow.clone(),
            tenant: self.tenant.clone(),
            since,
            runs_max: self.runs as usize,
            ..CostQuery::default()
        };
        let (report, has_more) = cost(source.journal(), &query, self.by.into())?;
        if let Some(file) = &self.svg {
            let spread =
                report.distribution.as_ref().context("no run has cost anything: there is nothing to draw")?;
            let title = format!(
                "cost of a run{}",
                self.workflow.as_ref().map(|name| format!(" of {name}")).unwrap_or_default()
            );
            std::fs::write(file, spread.svg(&title)).with_context(|| format!("write {}", file.display()))?;
        }
        if out.is_json {
            let mut value = serde_json::to_value(&report)?;
            if let Some(value) = value.as_object_mut() {
                value.insert("has_more".to_owned(), has_more.into());
            }
            out.json(&value)?;
        } else if self.csv {
            out.raw(report.csv().as_bytes())?;
        } else {
            print(&report, has_more, out)?;
        }
        Ok(Exit::Done)
    }
}

fn print(report: &Report, has_more: bool, out: &mut Out) -> anyhow::Result<()> {
    let total = &report.total;
    let more = if has_more { ", the newest (there are more: --runs)" } else { "" };
    let wasted = share(total.wasted, total.cost);
    out.line(format_args!(
        "{STRONG}{}{STRONG:#} by {}{more} · {} calls · {} tokens · wasted {} ({wasted})",
        priced(total),
        amount::counted(report.runs, "run"),
        amount::count(total.calls),
        amount::count(total.input + total.output),
        amount::money(total.wasted),
    ))?;
    if total.input > 0 {
        out.line(format_args!(
            "{FAINT}cache  {FAINT:#}{} of the input tokens came from a cache",
            percent(total.cached, total.input)
        ))?;
    }
    if total.unpriced > 0 {
        let count = amount::counted(total.unpriced, "charge");
        out.line(format_args!("{WARN}unpriced{WARN:#} {count} without a known price are not in the sums"))?;
    }
    if let Some(spread) = &report.distribution {
        out.line("")?;
        for line in histogram(spread, out.width_of_picture()) {
            out.line(line)?;
        }
    }
    out.line("")?;
    print_lines(report, out)?;
    if !report.outliers.is_empty() {
        out.line("")?;
        out.line(format_args!("{STRONG}beyond three medians of their workflow{STRONG:#}"))?;
        for outlier in &report.outliers {
            let times = outlier.cost.as_usd() / outlier.median.as_usd();
            out.line(format_args!(
                "  {} {times:>5.1}× {} {FAINT}{}{FAINT:#}  midwatch why {}",
                outlier.run.short(),
                amount::money(outlier.median),
                crate::output::text::clean(&outlier.workflow),
                outlier.run.short()
            ))?;
        }
    }
    Ok(())
}

fn print_lines(report: &Report, out: &mut Out) -> anyhow::Result<()> {
    let by = serde_json::to_value(report.by)?;
    let title = by.as_str().unwrap_or("key").to_uppercase();
    let columns = [
        Column::patient("BY", 12),
        Column::right("RUNS"),
        Column::right("CALLS"),
        Column::right("TOKENS"),
        Column::right("CACHED"),
        Column::right("COST"),
        Column::right("WASTED"),
    ];
    let row = |line: &Line| {
        let style = if line.wasted.times(2) > line.cost { WARN } else { PLAIN };
        vec![
            Cell::new(&line.key),
            Cell::new(amount::count(line.runs)),
            Cell::new(amount::count(line.calls)),
            Cell::new(amount::count(line.input + line.output)),
            Cell::new(percent(line.cached, line.input)),
            Cell::new(priced(line)),
            Cell::styled(
                if line.wasted == Money::ZERO { String::new() } else { amount::money(line.wasted) },
                style,
            ),
        ]
    };
    let rows: Vec<Vec<Cell>> = report.lines.iter().take(LINES_MAX).map(row).collect();
    out.line(format_args!("{FAINT}by {}{FAINT:#}", title.to_lowercase()))?;
    for line in lines(&columns, &rows, out.width()) {
        out.line(line)?;
    }
    let left = report.lines.len().saturating_sub(LINES_MAX);
    if left > 0 {
        out.line(format_args!("{FAINT}… and {left} more: --csv or --json has all{FAINT:#}"))?;
    }
    if report.by.needs_bookings() {
        let known = &report.certainties;
        out.line(format_args!(
            "{FAINT}from the events of the {} costliest runs: {} of the cost · {} charges exact, {} estimated, {} bounds{FAINT:#}",
            amount::count(report.looked_at_runs),
            share(report.looked_at, report.total.cost),
            amount::count(known.exact),
            amount::count(known.estimated),
            amount::count(known.bound)
        ))?;
    }
    Ok(())
}

fn priced(line: &Line) -> String {
    amount::spent(&Spent { cost: line.cost, unpriced: line.unpriced, ..Spent::default() })
}

fn share(part: Money, whole: Money) -> String {
    percent(part.as_picos(), whole.as_picos())
}

fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { String::new() } else { format!("{:.0}%", 100.0 * part as f64 / whole as f64) }
}

/// The spread as bars that stand upright, with marks below.
fn histogram(spread: &Distribution, width: usize) -> Vec<String> {
    const ROWS: u64 = 6;
    const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let each = (width.saturating_sub(2) / spread.bars.len()).clamp(1, 3);
    let most = spread.bars.iter().copied().max().unwrap_or(1).max(1);
    let columns = spread.bars.len() * each;
    let line_at = spread.place(spread.line);
    let mut lines = Vec::new();
    for row in (0..ROWS).rev() {
        let mut line = String::from("  ");
        for (n, count) in spread.bars.iter().enumerate() {
            // A single run is still seen.
            let height = (count * ROWS * 8).div_ceil(most);
            let glyph = EIGHTHS[usize::try_from(height.saturating_sub(row * 8).min(8)).unwrap_or(8)];
            let is_beyond = n as f64 / spread.bars.len() as f64 >= line_at;
            let style = if is_beyond { BAD } else { PLAIN };
            line.push_str(&format!("{style}{}{style:#}", glyph.to_string().repeat(each)));
        }
        lines.push(line);
    }
    let mut axis: Vec<char> = "─".repeat(columns).chars().collect();
    for (amount, mark) in [(spread.spread.median, '┬'), (spread.spread.p95, '┴'), (spread.line, '┼')] {
        let place = (spread.place(amount) * columns as f64) as usize;
        if let Some(cell) = axis.get_mut(place) {
            *cell = mark;
        }
    }
    lines.push(format!("  {FAINT}{}{FAINT:#}", axis.iter().collect::<String>()));
    lines.push(format!(
        "  ┬ median {} · ┴ p95 {} · ┼ 3× median {} ({} beyond) · max {} · n={}",
        amount::money(spread.spread.median),
        amount::money(spread.spread.p95),
        amount::money(spread.line),
        amount::counted(spread.beyond, "run"),
        amount::money(spread.max),
        spread.spread.n
    ));
    lines
}
