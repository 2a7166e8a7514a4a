//! What runs cost: how that is spread, by whatever, what was wasted, and which runs are far beyond their like.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use midwatch_observe::cost::{By, Line, Report};
use midwatch_observe::tell::amount;
use midwatch_workflow::{Spent, Timestamp};

use crate::app::App;
use crate::draw;
use crate::error::{Trouble, blocking};
use crate::html::{self, percent, theirs};
use crate::link;
use crate::page::{Page, Part, Section};

/// Which report is shown.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct CostView {
    pub(crate) by: By,
    pub(crate) workflow: Option<String>,
    pub(crate) tenant: Option<String>,
    /// Started within so many hours.
    hours: Option<u64>,
}

impl Default for CostView {
    fn default() -> Self {
        Self { by: By::Workflow, workflow: None, tenant: None, hours: None }
    }
}

const BY: [(By, &str); 7] = [
    (By::Workflow, "workflow"),
    (By::Step, "step"),
    (By::Model, "model"),
    (By::Target, "target"),
    (By::Day, "day"),
    (By::Tenant, "tenant"),
    (By::Run, "run"),
];
const HOURS: [(&str, u64); 4] = [("1 h", 1), ("24 h", 24), ("7 days", 168), ("30 days", 720)];
/// So many lines are shown; the file has all.
const LINES_MAX: usize = 50;

impl CostView {
    pub(crate) fn parse(get: impl Fn(&str) -> Option<String>) -> Result<Self, Trouble> {
        let by = match get("by") {
            Some(word) => BY
                .iter()
                .find(|(_, name)| *name == word)
                .map(|(by, _)| *by)
                .ok_or_else(|| Trouble::Bad(format!("`{word}` is nothing to break costs down by")))?,
            None => By::Workflow,
        };
        let hours = get("hours").and_then(|hours| hours.parse().ok());
        Ok(Self { by, workflow: get("workflow"), tenant: get("tenant"), hours })
    }

    pub(crate) fn since(&self, now: Timestamp) -> Option<Timestamp> {
        let micros = self.hours?.saturating_mul(3_600_000_000);
        Some(Timestamp::from_micros(now.as_micros().saturating_sub(micros)))
    }

    fn link(&self, path: &str) -> String {
        let by = if self.by == By::Workflow { String::new() } else { word(self.by).to_owned() };
        let hours = self.hours.map(|hours| hours.to_string()).unwrap_or_default();
        let own = |text: &Option<String>| text.clone().unwrap_or_default();
        link::with(
            path,
            [("by", by), ("workflow", own(&self.workflow)), ("tenant", own(&self.tenant)), ("hours", hours)],
        )
    }
}

fn word(by: By) -> &'static str {
    BY.iter().find(|(other, _)| *other == by).map_or("workflow", |(_, name)| name)
}

/// `GET /cost.csv`.
pub(crate) async fn csv(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Result<Response, Trouble> {
    let query = query.unwrap_or_default();
    let view = CostView::parse(|name| super::value(&query, name))?;
    let report = blocking(move || app.cost(&view)).await?;
    let name = format!("attachment; filename=\"cost-by-{}.csv\"", word(report.0.by));
    let kind = "text/csv; charset=utf-8".to_owned();
    Ok(([(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, name)], report.0.csv()).into_response())
}

/// Renders the page.
pub(crate) fn render(app: &Arc<App>, view: &CostView) -> Result<Page, Trouble> {
    let kept = app.cost(view)?;
    let (report, has_more) = (&kept.0, kept.1);
    let parts = vec![
        Part::new("filters", "", filters(view)),
        Part::new("total", "", total(report, has_more)),
        Part::new("lines", "", lines(view, report)),
        Part::new("outliers", "", outliers(report)),
    ];
    Ok(Page { title: "Cost".to_owned(), section: Section::Cost, parts })
}

fn filters(view: &CostView) -> Markup {
    html! {
        h1 { "Cost" @if let Some(workflow) = &view.workflow { " of " (theirs(workflow)) } }
        nav.tabs aria-label="Broken down by" {
            @for (by, name) in BY { a href=(CostView { by, ..view.clone() }.link("/cost")) aria-current=[(by == view.by).then_some("true")] { "by " (name) } }
        }
        nav.tabs.small aria-label="Started within" {
            a href=(CostView { hours: None, ..view.clone() }.link("/cost")) aria-current=[view.hours.is_none().then_some("true")] { "ever" }
            @for (name, hours) in HOURS { a href=(CostView { hours: Some(hours), ..view.clone() }.link("/cost")) aria-current=[(view.hours == Some(hours)).then_some("true")] { (name) } }
            @if view.workflow.is_some() || view.tenant.is_some() { a href=(CostView { workflow: None, tenant: None, ..view.clone() }.link("/cost")) { "all workflows" } }
            a href=(view.link("/cost.csv")) { "CSV" }
        }
    }
}

fn total(report: &Report, has_more: bool) -> Markup {
    let total = &report.total;
    html! {
        section.figures aria-label="In all" {
            div.panel {
                h2 { "In all" }
                p.big { (priced(total)) span.faint { " for " (amount::counted(report.runs, "run")) @if has_more { ", the newest" } } }
                dl.facts {
                    dt { "wasted" } dd { (html::money(total.wasted)) " " span.faint { "on failed attempts, " (percent(total.wasted.as_picos(), total.cost.as_picos())) } }
                    dt { "calls" } dd { (html::count(total.calls)) }
                    dt { "tokens" } dd { (html::count(total.input)) " in, " (html::count(total.output)) " out" }
                    dt { "from a cache" } dd { (percent(total.cached, total.input)) " of the input" }
                    @if total.unpriced > 0 { dt { "unpriced" } dd.warn { (amount::counted(total.unpriced, "charge")) " without a known price: not in the sums" } }
                }
            }
            div.panel {
                h2 { "How the cost of a run is spread" }
                @match &report.distribution {
                    Some(spread) => {
                        (draw::histogram(spread))
                        p.faint { (amount::counted(spread.beyond, "run")) " beyond three medians; the most is " (amount::money(spread.max)) "." }
                    },
                    None => p.faint { "No run has cost anything." },
                }
            }
        }
    }
}

fn lines(view: &CostView, report: &Report) -> Markup {
    let most = report.lines.iter().map(|line| line.cost.as_picos()).max().unwrap_or(1).max(1);
    html! {
        section aria-labelledby="lines-title" {
            h2 #lines-title { "By " (word(report.by)) }
            div.scroll tabindex="0" role="region" aria-label="Cost" { table {
                thead { tr { th { (word(report.by)) } th.right { "Cost" } th.wide { span.hidden { "Share" } } th.right { "Wasted" } th.right { "Runs" } th.right { "Calls" } th.right { "Tokens" } th.right { "Cached" } } }
                tbody { @for line in report.lines.iter().take(LINES_MAX) { tr {
                    td { (key(view, line)) }
                    td.right { (priced(line)) }
                    td.wide { svg.meter width="100%" height="8" aria-hidden="true" { (meter(line, most)) } }
                    td.right { @if line.wasted.as_picos() > 0 { span.warn { (html::money(line.wasted)) } } }
                    td.right { (html::count(line.runs)) }
                    td.right { (html::count(line.calls)) }
                    td.right { (html::count(line.input.saturating_add(line.output))) }
                    td.right.num { (percent(line.cached, line.input)) }
                } } }
            } }
            @if report.lines.len() > LINES_MAX { p.faint { "and " (amount::count((report.lines.len() - LINES_MAX) as u64)) " more: the CSV has all" } }
            @if report.by.needs_bookings() {
                p.faint { "From the events of the " (amount::count(report.looked_at_runs)) " costliest runs: " (percent(report.looked_at.as_picos(), report.total.cost.as_picos())) " of the cost." }
            }
        }
    }
}

#[allow(clippy::cast_precision_loss)] // places on paper
fn meter(line: &Line, most: u64) -> Markup {
    let share = |picos: u64| format!("{:.2}%", picos as f64 / most as f64 * 100.0);
    html! {
        rect.cost width=(share(line.cost.as_picos())) height="8" rx="2" {}
        rect.waste width=(share(line.wasted.as_picos())) height="8" rx="2" {}
    }
}

fn key(view: &CostView, line: &Line) -> Markup {
    let deeper = |by: By, view: CostView| CostView { by, ..view }.link("/cost");
    html! {
        @match view.by {
            By::Workflow => a href=(deeper(By::Step, CostView { workflow: Some(line.key.clone()), ..view.clone() })) { (theirs(&line.key)) },
            By::Run => a.run href={"/runs/" (line.key)} { (theirs(&line.key)) },
            By::Tenant if line.key != "(none)" => a href=(deeper(By::Workflow, CostView { tenant: Some(line.key.clone()), ..view.clone() })) { (theirs(&line.key)) },
            _ => (theirs(&line.key)),
        }
    }
}

fn priced(line: &Line) -> Markup {
    html::spent(&Spent { cost: line.cost, unpriced: line.unpriced, ..Spent::default() })
}

fn outliers(report: &Report) -> Markup {
    html! {
        @if !report.outliers.is_empty() {
            section aria-labelledby="outliers-title" {
                h2 #outliers-title { "Beyond three medians of their workflow" }
                div.scroll tabindex="0" role="region" aria-label="Outliers" {
                table { thead { tr { th { "Run" } th { "Workflow" } th.right { "Cost" } th.right { "Times the median" } } }
                tbody { @for outlier in &report.outliers { tr {
                    td { a.run href=(link::run(outlier.run)) { (outlier.run.short()) } }
                    td { (theirs(&outlier.workflow)) }
                    td.right { (html::money(outlier.cost)) }
                    td.right.num { (format!("{:.1}×", outlier.cost.as_usd() / outlier.median.as_usd().max(f64::MIN_POSITIVE))) }
                } } } }
                }
            }
        }
    }
}
