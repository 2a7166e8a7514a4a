//! Each workflow: how its runs end, how long they take, what they cost, and what the last failures were.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use maud::{Markup, html};
use midwatch_journal::sqlite::SumBy;
use midwatch_journal::{Journal, RunQuery, RunSummary, Status};
use midwatch_observe::baseline::Spread;
use midwatch_observe::tell::amount;
use midwatch_workflow::{Money, Timestamp};

use crate::app::App;
use crate::error::Trouble;
use crate::html::{self, age, percent, span, theirs};
use crate::link;
use crate::page::{Page, Part, Section};

/// All workflows of the journal, the busiest first.
pub(crate) struct Workflows {
    rows: Vec<Workflow>,
    left: usize,
}

struct Workflow {
    name: String,
    counts: BTreeMap<Status, u64>,
    cost: Money,
    elapsed: Option<Spread<Duration>>,
    spread: Option<Spread<Money>>,
    /// Of the newest runs.
    attempts: u64,
    failures: u64,
    failed: Vec<RunSummary>,
}

impl Workflow {
    fn count(&self, is: impl Fn(Status) -> bool) -> u64 {
        self.counts.iter().filter(|(status, _)| is(**status)).map(|(_, count)| count).sum()
    }
}

/// So many are looked at closely.
const WORKFLOWS_MAX: usize = 40;
/// So many of their newest runs are read for retries.
const NEWEST_MAX: usize = 100;
const FAILED_MAX: usize = 3;

fn take(app: &Arc<App>) -> Result<Workflows, Trouble> {
    let mut sums: BTreeMap<String, (BTreeMap<Status, u64>, Money)> = BTreeMap::new();
    for sum in app.journal.sums(SumBy::Workflow, Timestamp::from_micros(0))? {
        let (counts, cost) = sums.entry(sum.key).or_default();
        counts.insert(sum.status, sum.runs);
        *cost += sum.cost;
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by_key(|(_, (counts, _))| std::cmp::Reverse(counts.values().sum::<u64>()));
    let left = sums.len().saturating_sub(WORKFLOWS_MAX);
    let rows =
        sums.into_iter().take(WORKFLOWS_MAX).map(|(name, (counts, cost))| row(app, name, counts, cost));
    Ok(Workflows { rows: rows.collect::<Result<_, _>>()?, left })
}

fn row(
    app: &Arc<App>,
    name: String,
    counts: BTreeMap<Status, u64>,
    cost: Money,
) -> Result<Workflow, Trouble> {
    let usual = app.inspector().usual(&name)?;
    let query = |statuses: Vec<Status>, limit: usize| RunQuery {
        workflow: Some(name.clone()),
        statuses,
        limit,
        ..RunQuery::default()
    };
    let newest = app.journal.runs(&query(Vec::new(), NEWEST_MAX))?;
    let failed = app.journal.runs(&query(vec![Status::Failed, Status::Compensated], FAILED_MAX))?;
    Ok(Workflow {
        counts,
        cost,
        elapsed: usual.elapsed,
        spread: usual.cost,
        attempts: newest.iter().map(|run| run.attempts).sum(),
        failures: newest.iter().map(|run| run.failures).sum(),
        failed,
        name,
    })
}

/// Renders the page.
pub(crate) fn render(app: &Arc<App>) -> Result<Page, Trouble> {
    let (workflows, now) = (app.workflows.get(app, (), |app, ()| take(app))?, app.now());
    let body = html! {
        h1 { "Workflows" }
        @if workflows.rows.is_empty() { p.panel.empty { "No run has been started." } }
        @for workflow in &workflows.rows { (shown(workflow, now)) }
        @if workflows.left > 0 { p.faint { "and " (workflows.left) " with fewer runs" } }
    };
    Ok(Page {
        title: "Workflows".to_owned(),
        section: Section::Workflows,
        parts: vec![Part::new("workflows", "", body)],
    })
}

fn shown(workflow: &Workflow, now: Timestamp) -> Markup {
    let ended = workflow.count(Status::is_ended);
    let completed = workflow.count(|status| status == Status::Completed);
    html! {
        section.panel.workflow {
            h2 { a href=(link::with("/runs", [("workflow", workflow.name.clone())])) { (theirs(&workflow.name)) } }
            div.stats {
                (stat("success", html! { (percent(completed, ended)) }, &format!("{} of {} ended", amount::count(completed), amount::count(ended))))
                (stat("took, half within", html! { @if let Some(usual) = workflow.elapsed { (span(usual.median)) } @else { "–" } }, &workflow.elapsed.map(|usual| format!("95% within {}", span(usual.p95))).unwrap_or_default()))
                (stat("cost, half within", html! { @if let Some(usual) = workflow.spread { (html::money(usual.median)) } @else { "–" } }, &workflow.spread.map(|usual| format!("95% within {}", amount::money(usual.p95))).unwrap_or_default()))
                (stat("attempts that fail", html! { (percent(workflow.failures, workflow.attempts)) }, &format!("{} of the newest {}", amount::count(workflow.failures), amount::count(workflow.attempts))))
                (stat("in all", html! { a href=(link::with("/cost", [("by", "step".to_owned()), ("workflow", workflow.name.clone())])) { (html::money(workflow.cost)) } }, &amount::counted(workflow.count(|_| true), "run")))
            }
            ul.counts { @for (status, count) in &workflow.counts { li { a href=(link::with("/runs", [("status", status.to_string()), ("workflow", workflow.name.clone())])) { (html::status(*status)) span.num { (amount::count(*count)) } } } } }
            @if !workflow.failed.is_empty() {
                ul.lastfailed { @for run in &workflow.failed { li {
                    span.bad aria-hidden="true" { "✕" } " " (html::run(run)) " " span.faint { (age(run.updated_at, now)) } " "
                    @if let Some(class) = run.class { b { (class) } ": " }
                    (theirs(run.message.as_deref().unwrap_or_default()))
                } } }
            }
        }
    }
}

fn stat(name: &str, value: Markup, more: &str) -> Markup {
    html! { div.stat { span.label { (name) } span.value.num { (value) } span.faint { (more) } } }
}
