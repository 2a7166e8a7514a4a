//! The list of runs: millions of them, by whatever filter; the address is the state.

use std::sync::Arc;

use maud::{Markup, html};
use midwatch_journal::{Cursor, Journal, Order, RunQuery, RunSummary, Status};
use midwatch_observe::tell::amount;
use midwatch_observe::why::Verdict;
use midwatch_workflow::{Money, Timestamp};

use crate::app::App;
use crate::error::Trouble;
use crate::html::{self, age, span, theirs};
use crate::link;
use crate::page::{Page, Part, Section};
use crate::verdicts;

/// Which runs are listed.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct RunsView {
    pub(crate) workflow: Option<String>,
    pub(crate) statuses: Vec<Status>,
    pub(crate) tenant: Option<String>,
    pub(crate) text: Option<String>,
    /// In pico-dollars.
    cost_from: Option<u64>,
    /// Started within so many seconds.
    within: Option<u64>,
    verdict: Option<Verdict>,
    order: Sorted,
    cursor: Option<Cursor>,
}

/// Which come first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
enum Sorted {
    #[default]
    Newest,
    Oldest,
    Costliest,
    Stalest,
}

const ORDERS: [(Sorted, &str, Order); 4] = [
    (Sorted::Newest, "newest", Order::Newest),
    (Sorted::Oldest, "oldest", Order::Oldest),
    (Sorted::Costliest, "costliest", Order::Costliest),
    (Sorted::Stalest, "stalest", Order::Stalest),
];

/// So many on a page.
const ROWS_MAX: usize = 50;
const AGES: [(&str, u64); 6] = [
    ("15 min", 900),
    ("1 h", 3_600),
    ("6 h", 21_600),
    ("1 day", 86_400),
    ("7 days", 604_800),
    ("30 days", 2_592_000),
];

impl RunsView {
    pub(crate) fn parse(get: impl Fn(&str) -> Option<String>) -> Result<Self, Trouble> {
        let bad = |what: String| Trouble::Bad(what);
        let statuses = get("status").unwrap_or_default();
        let statuses = statuses.split(',').filter(|status| !status.is_empty());
        let statuses: Vec<Status> = statuses.map(str::parse).collect::<Result<_, _>>().map_err(bad)?;
        let cost =
            get("cost").map(|cost| cost.parse::<Money>().map_err(|error| Trouble::Bad(error.to_string())));
        let verdict = match get("verdict") {
            Some(word) => {
                let found = Verdict::ALL.iter().find(|verdict| verdict.as_str() == word);
                Some(*found.ok_or_else(|| bad(format!("`{word}` is no verdict")))?)
            }
            None => None,
        };
        let order = match get("order") {
            Some(word) => {
                let found = ORDERS.iter().find(|(_, name, _)| *name == word);
                found
                    .ok_or_else(|| {
                        bad(format!("`{word}` is no order: newest, oldest, costliest or stalest"))
                    })?
                    .0
            }
            None => Sorted::Newest,
        };
        let cursor = get("after").map(|cursor| cursor.parse()).transpose().map_err(bad)?;
        Ok(Self {
            workflow: get("workflow"),
            statuses,
            tenant: get("tenant"),
            text: get("text").map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()),
            cost_from: cost.transpose()?.map(Money::as_picos),
            within: get("within").and_then(|within| within.parse().ok()),
            verdict,
            order,
            cursor,
        })
    }

    /// The parameters of its address, without the place in the list.
    pub(crate) fn parameters(&self) -> Vec<(&'static str, String)> {
        let statuses: Vec<&str> = self.statuses.iter().map(|status| status.as_str()).collect();
        let own = |text: &Option<String>| text.clone().unwrap_or_default();
        let cost =
            self.cost_from.map(|cost| Money::from_picos(cost).to_string().trim_start_matches('$').to_owned());
        let order = ORDERS.iter().find(|(order, ..)| *order == self.order && self.order != Sorted::Newest);
        vec![
            ("status", statuses.join(",")),
            ("workflow", own(&self.workflow)),
            ("tenant", own(&self.tenant)),
            ("text", own(&self.text)),
            ("cost", cost.unwrap_or_default()),
            ("within", self.within.map(|within| within.to_string()).unwrap_or_default()),
            ("verdict", self.verdict.map(|verdict| verdict.as_str().to_owned()).unwrap_or_default()),
            ("order", order.map(|(_, name, _)| (*name).to_owned()).unwrap_or_default()),
        ]
    }

    fn link(&self) -> String {
        let cursor = self.cursor.map(|cursor| cursor.to_string());
        link::with("/runs", self.parameters().into_iter().chain([("after", cursor.unwrap_or_default())]))
    }

    /// Whether anything but the order is chosen.
    pub(crate) fn is_filtered(&self) -> bool {
        *self != Self { order: self.order, cursor: self.cursor, ..Self::default() }
    }

    /// Whether nothing is chosen that the journal itself does not filter by.
    pub(crate) fn is_steerable(&self) -> bool {
        self.verdict.is_none() && self.is_filtered()
    }

    /// What is asked of the journal.
    pub(crate) fn query(&self, now: Timestamp) -> RunQuery {
        let before = |seconds: u64| {
            Timestamp::from_micros(now.as_micros().saturating_sub(seconds.saturating_mul(1_000_000)))
        };
        RunQuery {
            workflow: self.workflow.clone(),
            statuses: self.statuses.clone(),
            tenant: self.tenant.clone(),
            text: self.text.clone(),
            started_from: self.within.map(before),
            cost_from: self.cost_from.map(Money::from_picos),
            order: self.journal_order(),
            ..RunQuery::default()
        }
    }

    fn journal_order(&self) -> Order {
        ORDERS.iter().find(|(order, ..)| *order == self.order).map_or(Order::Newest, |(.., order)| *order)
    }
}

/// Renders a page of the list.
pub(crate) fn render(app: &Arc<App>, view: &RunsView) -> Result<Page, Trouble> {
    let now = app.now();
    let (runs, next, found) = match view.verdict {
        None => {
            let query = RunQuery { limit: ROWS_MAX + 1, ..view.query(now) };
            let query = view.cursor.map_or(query.clone(), |cursor| query.from_cursor(cursor));
            let mut runs = app.journal.runs(&query)?;
            let has_more = runs.len() > ROWS_MAX;
            runs.truncate(ROWS_MAX);
            let next = if has_more { Cursor::after(view.journal_order(), view.cursor, &runs) } else { None };
            (runs, next, None)
        }
        Some(verdict) => {
            let mut found = verdicts::search(app, &view.query(now), view.cursor, verdict, ROWS_MAX)?;
            (std::mem::take(&mut found.runs), found.next, Some(found))
        }
    };
    let parts = vec![
        Part::new("filters", "", filters(app, view)?),
        Part::new(
            "runs",
            "",
            html! {
                @if runs.is_empty() { p.panel.empty { "No runs" @if view.is_filtered() { " that fit" } @if found.is_some() && next.is_some() { " so far" } "." } }
                @else { (table(&runs, now)) }
                @if let Some(found) = &found { (looked(found, view)) }
                (pager(view, next, found.is_some() && runs.len() < ROWS_MAX))
                @if !runs.is_empty() && !app.door.is_read_only() { (bulk(view)) }
            },
        ),
    ];
    Ok(Page { title: "Runs".to_owned(), section: Section::Runs, parts })
}

/// How far a search for a verdict went.
fn looked(found: &verdicts::Found, view: &RunsView) -> Markup {
    let order = view.journal_order();
    let upto = if order == Order::Newest { "back to " } else { "up to " };
    html! {
        p.faint {
            @match &found.last {
                None => "No run that fits otherwise may have this verdict.",
                Some(last) => {
                    "Asked " (amount::counted(found.looked as u64, "run")) " that may have this verdict"
                    @if found.next.is_none() { ": all that " @if view.cursor.is_some() { "were left." } @else { "there are." } }
                    @else if order == Order::Costliest { ", down to " (html::money(last.spent.cost)) "." }
                    @else { ", " (upto) (html::moment(verdicts::reached(last, order))) "." }
                }
            }
        }
    }
}

fn filters(app: &Arc<App>, view: &RunsView) -> Result<Markup, Trouble> {
    let counts = &super::now::snapshot(app)?.counts;
    let all: u64 = counts.iter().map(|(_, count)| count).sum();
    let with = |statuses: Vec<Status>| RunsView { statuses, cursor: None, ..view.clone() }.link();
    Ok(html! {
        h1 { "Runs" }
        nav.tabs.statuses aria-label="By status" {
            a href=(with(Vec::new())) aria-current=[view.statuses.is_empty().then_some("true")] { "all " span.num { (amount::count(all)) } }
            @for (status, count) in counts {
                a href=(with(vec![*status])) aria-current=[(view.statuses == [*status]).then_some("true")] class=[(*count == 0).then_some("none")] {
                    (html::status(*status)) " " span.num { (amount::count(*count)) }
                }
            }
        }
        form.filters action="/runs" {
            @if !view.statuses.is_empty() { input type="hidden" name="status" value=(view.parameters()[0].1); }
            label { "Id" input type="search" name="text" value=[view.text.as_deref()] placeholder="any part"; }
            label { "Workflow" input name="workflow" value=[view.workflow.as_deref()] placeholder="any"; }
            label { "Tenant" input name="tenant" value=[view.tenant.as_deref()] placeholder="any"; }
            label { "Cost from $" input name="cost" inputmode="decimal" size="6" value=(view.parameters()[4].1); }
            label { "Started within" select name="within" {
                option value="" { "ever" }
                @for (name, seconds) in AGES { option value=(seconds) selected[view.within == Some(seconds)] { (name) } }
            } }
            label { "Verdict" select name="verdict" {
                option value="" { "any" }
                @for verdict in Verdict::ALL { option value=(verdict) selected[view.verdict == Some(*verdict)] { (verdict) } }
            } }
            label { "Order" select name="order" {
                @for (order, name, _) in ORDERS { option value=(name) selected[view.order == order] { (name) } }
            } }
            button { "Filter" }
            @if view.is_filtered() { a.clear href="/runs" { "clear" } }
        }
    })
}

/// The list.
pub(crate) fn table(runs: &[RunSummary], now: Timestamp) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Runs" { table.runs {
            thead { tr {
                th { "Run" } th { "Workflow" } th { "Status" } th.right { "Started" } th.right { "Took" } th.right { "Steps" }
                th.right { "Attempts" } th.right { "Cost" } th { "Doing, or what went wrong" }
            } }
            tbody { @for run in runs { (row(run, now)) } }
        } }
    }
}

fn row(run: &RunSummary, now: Timestamp) -> Markup {
    html! {
        tr id={"r" (run.run)} {
            td { (html::run(run)) }
            td { (theirs(&run.workflow)) @if let Some(tenant) = &run.tenant { span.faint { " · " (theirs(tenant)) } } }
            td { (html::status(run.status)) }
            td.right.nowrap { (age(run.started_at, now)) }
            td.right.num { @if let Some(end) = run.ended_at { (span(end.since(run.started_at))) } }
            td.right.num { (run.steps) }
            td.right.num { (run.attempts) @if run.failures > 0 { span.warn { " ✕" (run.failures) } } }
            td.right { (html::spent(&run.spent)) }
            td.doing { (doing(run, now)) }
        }
    }
}

/// What an open run does and what troubles it; what an ended run failed with.
fn doing(run: &RunSummary, now: Timestamp) -> Markup {
    let trouble = match (run.class, &run.message) {
        (Some(class), Some(message)) => format!("{class}: {message}"),
        (None, Some(message)) => message.clone(),
        (Some(class), None) => class.to_string(),
        (None, None) => String::new(),
    };
    html! {
        @if run.ended_at.is_none() && run.parked.is_none() {
            (theirs(&run.doing))
            @if let Some(due) = run.wake_at { span.faint { " " (age(due, now)) } }
            @if let Some(text) = &run.status_text { span.faint { " · " (theirs(text)) } }
            @if !trouble.is_empty() { span.faint { " · " } }
        }
        @if !trouble.is_empty() { span.warn { (theirs(&trouble)) } }
    }
}

/// `is_cut` says that the page is not full because the search for it took its time.
fn pager(view: &RunsView, next: Option<Cursor>, is_cut: bool) -> Markup {
    let further = if is_cut { "look further ›" } else { "next ›" };
    let first = RunsView { cursor: None, ..view.clone() }.link();
    html! {
        @if view.cursor.is_some() || next.is_some() {
            nav.pager aria-label="Pages of runs" {
                @if view.cursor.is_some() { a href=(first) { "« first" } }
                @if let Some(cursor) = next { a href=(RunsView { cursor: Some(cursor), ..view.clone() }.link()) rel="next" { (further) } }
            }
        }
    }
}

fn bulk(view: &RunsView) -> Markup {
    html! {
        @if view.is_steerable() {
            p.bulk {
                "All that fit: "
                @for action in ["cancel", "pause", "resume", "retry"] {
                    a href=(link::with(&format!("/bulk/{action}"), view.parameters())) { (action) "…" } " "
                }
                span.faint { "You will see how many before anything is done." }
            }
        }
    }
}
