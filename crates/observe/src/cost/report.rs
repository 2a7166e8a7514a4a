//! What many runs cost: by whatever, and spread how.
//!
//! Lists of runs say what each cost in all, and by whom was paid. What one step cost is in the events alone, so a report by
//! steps is made from the bookings of as many runs as were looked at, and says which share of the whole that is.

use std::collections::BTreeMap;

use midwatch_workflow::{Certainty, Money, RunId, Spent, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Booking, Distribution};
use crate::baseline::Spread;
use crate::run::Run;
use crate::why::MEDIANS;

/// What a report is broken down by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The workflow.
    Workflow,
    /// The single run.
    Run,
    /// The step's name.
    Step,
    /// The model, whoever serves it.
    Model,
    /// Who was paid, `provider:model`.
    Target,
    /// For whom the run was.
    Tenant,
    /// The day on which the run started (UTC).
    Day,
}

impl By {
    /// Whether lists of runs do not say it.
    pub const fn needs_bookings(self) -> bool {
        matches!(self, By::Step)
    }
}

/// One line of a report. Money is pico-dollars in JSON.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Line {
    /// What it is about.
    pub key: String,
    /// How many runs have a part in it.
    pub runs: u64,
    /// Paid calls.
    pub calls: u64,
    /// Input tokens.
    pub input: u64,
    /// Those of them that came from a cache.
    pub cached: u64,
    /// Output tokens.
    pub output: u64,
    /// What is priced of it.
    pub cost: Money,
    /// What failed attempts cost of it; not told by model and target.
    pub wasted: Money,
    /// Charges without a known price.
    pub unpriced: u64,
}

/// A run that cost far more than its like.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Outlier {
    /// The run.
    pub run: RunId,
    /// Its workflow.
    pub workflow: String,
    /// What it cost.
    pub cost: Money,
    /// The median of its workflow.
    pub median: Money,
}

/// How well the usage is known, over the bookings that were looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Certainties {
    /// The provider said so.
    pub exact: u64,
    /// Counted here.
    pub estimated: u64,
    /// Only an upper bound is known.
    pub bound: u64,
}

/// What many runs cost.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Report {
    /// What it is broken down by.
    pub by: By,
    /// How many runs it covers.
    pub runs: u64,
    /// Since when they started, the earliest of them.
    pub since: Option<Timestamp>,
    /// The sum over all runs.
    pub total: Line,
    /// Largest first.
    pub lines: Vec<Line>,
    /// What the runs that were looked at event by event cost of the total; what `lines` add up to if they need events.
    pub looked_at: Money,
    /// How many runs those are.
    pub looked_at_runs: u64,
    /// How well their usage is known.
    pub certainties: Certainties,
    /// How the cost of a run is spread.
    pub distribution: Option<Distribution>,
    /// Runs beyond three times the median of their workflow, the furthest first.
    pub outliers: Vec<Outlier>,
}

/// So many outliers are told.
const OUTLIERS_MAX: usize = 10;

impl Report {
    /// Adds up runs, and what was looked at of them.
    pub fn of(runs: &[Run], bookings: &[(RunId, Vec<Booking>)], by: By) -> Self {
        let mut total = Line { key: "total".to_owned(), ..Line::default() };
        runs.iter().for_each(|run| total.add_run(run));
        let lines = match by {
            By::Step => by_steps(bookings),
            By::Model | By::Target => by_parties(runs, by),
            By::Workflow | By::Run | By::Tenant | By::Day => by_runs(runs, by),
        };
        let mut certainties = Certainties::default();
        for booking in bookings.iter().flat_map(|(_, bookings)| bookings) {
            match booking.certainty {
                Certainty::Exact => certainties.exact += 1,
                Certainty::Estimated => certainties.estimated += 1,
                Certainty::Bound => certainties.bound += 1,
            }
        }
        Self {
            by,
            runs: runs.len() as u64,
            since: runs.iter().map(|run| run.started_at).min(),
            total,
            lines,
            looked_at: bookings
                .iter()
                .flat_map(|(_, bookings)| bookings)
                .filter_map(|booking| booking.cost)
                .sum(),
            looked_at_runs: bookings.len() as u64,
            certainties,
            distribution: Distribution::of(runs.iter().map(|run| run.spent.cost)),
            outliers: outliers(runs),
        }
    }
}

impl Report {
    /// The lines as comma-separated values (RFC 4180), dollars with all decimals.
    pub fn csv(&self) -> String {
        let by = match self.by {
            By::Workflow => "workflow",
            By::Run => "run",
            By::Step => "step",
            By::Model => "model",
            By::Target => "target",
            By::Tenant => "tenant",
            By::Day => "day",
        };
        let mut csv = format!(
            "{by},runs,calls,input_tokens,cached_tokens,output_tokens,cost_usd,wasted_usd,unpriced\n"
        );
        let usd = |money: Money| money.to_string().trim_start_matches('$').to_owned();
        for line in &self.lines {
            let (key, cost, wasted) = (quoted(&line.key), usd(line.cost), usd(line.wasted));
            let Line { runs, calls, input, cached, output, unpriced, .. } = line;
            csv.push_str(&format!(
                "{key},{runs},{calls},{input},{cached},{output},{cost},{wasted},{unpriced}\n"
            ));
        }
        csv
    }
}

/// A field of comma-separated values. One that a spreadsheet would take for a formula is disarmed.
fn quoted(text: &str) -> String {
    let text =
        if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

impl Line {
    fn add_run(&mut self, run: &Run) {
        self.add_spent(&run.spent);
        self.wasted += run.wasted;
    }

    fn add_spent(&mut self, spent: &Spent) {
        self.runs += 1;
        self.calls = self.calls.saturating_add(spent.usage.calls);
        self.input = self.input.saturating_add(spent.usage.input);
        self.cached = self.cached.saturating_add(spent.usage.cached);
        self.output = self.output.saturating_add(spent.usage.output);
        self.cost += spent.cost;
        self.unpriced += spent.unpriced;
    }

    fn add_booking(&mut self, booking: &Booking) {
        self.calls = self.calls.saturating_add(booking.usage.calls);
        self.input = self.input.saturating_add(booking.usage.input);
        self.cached = self.cached.saturating_add(booking.usage.cached);
        self.output = self.output.saturating_add(booking.usage.output);
        match booking.cost {
            Some(cost) => {
                self.cost += cost;
                self.wasted += if booking.failed.is_some() { cost } else { Money::ZERO };
            }
            None => self.unpriced += 1,
        }
    }
}

fn by_runs(runs: &[Run], by: By) -> Vec<Line> {
    let mut lines: BTreeMap<String, Line> = BTreeMap::new();
    for run in runs {
        let key = match by {
            By::Workflow => run.workflow.clone(),
            By::Run => run.run.to_string(),
            By::Tenant => run.tenant.clone().unwrap_or_else(|| "(none)".to_owned()),
            By::Day => day(run.started_at),
            By::Step | By::Model | By::Target => continue,
        };
        lines.entry(key).or_default().add_run(run);
    }
    sorted(lines)
}

fn by_steps(bookings: &[(RunId, Vec<Booking>)]) -> Vec<Line> {
    let mut lines: BTreeMap<String, Line> = BTreeMap::new();
    for (_, bookings) in bookings {
        let mut seen: Vec<&str> = Vec::new();
        for booking in bookings {
            let line = lines.entry(booking.step.clone()).or_default();
            line.add_booking(booking);
            if !seen.contains(&booking.step.as_str()) {
                seen.push(&booking.step);
                line.runs += 1;
            }
        }
    }
    sorted(lines)
}

/// By whom was paid. Lists do not say what of that was wasted.
fn by_parties(runs: &[Run], by: By) -> Vec<Line> {
    let mut lines: BTreeMap<String, Line> = BTreeMap::new();
    for run in runs {
        for (target, spent) in &run.spent_by {
            let model = target.split_once(':').map_or(target.as_str(), |(_, model)| model);
            let key = if by == By::Model { model } else { target };
            lines.entry(key.to_owned()).or_default().add_spent(spent);
        }
    }
    sorted(lines)
}

fn sorted(lines: BTreeMap<String, Line>) -> Vec<Line> {
    let mut lines: Vec<Line> = lines.into_iter().map(|(key, line)| Line { key, ..line }).collect();
    lines.sort_by(|a, b| b.cost.cmp(&a.cost).then_with(|| a.key.cmp(&b.key)));
    lines
}

fn outliers(runs: &[Run]) -> Vec<Outlier> {
    let mut costs: BTreeMap<&str, Vec<Money>> = BTreeMap::new();
    for run in runs.iter().filter(|run| run.spent.cost > Money::ZERO) {
        costs.entry(run.workflow.as_str()).or_default().push(run.spent.cost);
    }
    let medians: BTreeMap<&str, Money> = costs
        .into_iter()
        .filter_map(|(workflow, costs)| Some((workflow, Spread::of(costs)?.if_enough()?.median)))
        .collect();
    let outlier = |run: &Run| {
        let median = *medians.get(run.workflow.as_str())?;
        let (id, workflow, cost) = (run.run, run.workflow.clone(), run.spent.cost);
        (cost > median.times(MEDIANS)).then_some(Outlier { run: id, workflow, cost, median })
    };
    let mut outliers: Vec<Outlier> = runs.iter().filter_map(outlier).collect();
    let times = |outlier: &Outlier| outlier.cost.as_usd() / outlier.median.as_usd();
    outliers.sort_by(|a, b| times(b).total_cmp(&times(a)));
    outliers.truncate(OUTLIERS_MAX);
    outliers
}

/// The day of a time, `2026-11-24`, in UTC. By the proleptic Gregorian calendar, counted from 1 March of year 0.
pub fn day(at: Timestamp) -> String {
    const DAY: u64 = 86_400_000_000;
    let days = at.as_micros() / DAY + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::{Tale, World};
    use crate::{Status, Timeline, cost::bookings};

    #[test]
    fn days_are_those_of_the_calendar() {
        for (seconds, expected) in
            [(0, "1970-01-01"), (951_782_400, "2000-02-29"), (1_795_503_600, "2026-11-24")]
        {
            assert_eq!(day(Timestamp::from_micros(seconds * 1_000_000)), expected);
        }
    }

    #[test]
    fn every_breakdown_adds_up_to_the_same_total() {
        let tales: Vec<Tale> = (0..12)
            .map(|n| {
                let mut tale = Tale::begin(World::of(n), n);
                tale.usual_work(n);
                tale.complete();
                tale
            })
            .collect();
        let runs: Vec<Run> = tales.iter().map(|tale| tale.row(Status::Completed)).collect();
        let booked: Vec<(RunId, Vec<Booking>)> = tales
            .iter()
            .zip(&runs)
            .map(|(tale, run)| (run.run, bookings(&Timeline::of(&tale.events).unwrap())))
            .collect();
        let total = Report::of(&runs, &booked, By::Workflow).total;
        for by in [By::Workflow, By::Run, By::Step, By::Model, By::Target, By::Tenant, By::Day] {
            let report = Report::of(&runs, &booked, by);
            let sum: Money = report.lines.iter().map(|line| line.cost).sum();
            assert_eq!(sum, total.cost, "{by:?}");
            assert_eq!(report.looked_at, total.cost);
        }
    }

    #[test]
    fn only_runs_beyond_three_medians_of_their_own_workflow_are_outliers() {
        let world = World::of(1);
        let mut runs: Vec<Run> = (0..9).map(|n| Tale::begin(world, n).row(Status::Completed)).collect();
        for (run, cents) in runs.iter_mut().zip([10, 11, 9, 10, 12, 10, 29, 31, 90]) {
            run.spent.cost = Money::from_cents(cents);
        }
        // Another workflow where this is usual.
        runs.extend((0..9).map(|n| {
            let mut run = Tale::begin(World::of(2), n).row(Status::Completed);
            run.spent.cost = Money::from_cents(80);
            run
        }));
        let outliers = Report::of(&runs, &[], By::Workflow).outliers;
        let cents: Vec<Money> = outliers.iter().map(|outlier| outlier.cost).collect();
        assert_eq!(cents, [Money::from_cents(90)]);
    }
}
