//! What needs a person first, and how it goes otherwise.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use maud::{Markup, html};
use midwatch_inspect::{Candidate, candidates, owner};
use midwatch_journal::sqlite::{Sum, SumBy};
use midwatch_journal::{Board, Journal, RunQuery, RunSummary, Status};
use midwatch_observe::cost::day;
use midwatch_observe::tell::amount;
use midwatch_observe::why::{Cause, Owner};
use midwatch_workflow::gate::GateView;
use midwatch_workflow::{Money, Timestamp};

use crate::app::App;
use crate::draw;
use crate::error::Trouble;
use crate::html::{self, age, theirs};
use crate::link;
use crate::page::{Page, Part, Section};

/// How everything stands at one moment.
pub(crate) struct Snapshot {
    pub(crate) counts: Vec<(Status, u64)>,
    owner: Owner,
    letters: usize,
    attention: Vec<Candidate>,
    /// Runs that only wait for a process: one cause, and one line.
    orphans: usize,
    gates: Vec<GateView>,
    days: Vec<Day>,
    /// Started within the last minute; the flag says that there were more.
    started: (usize, bool),
    failed: Vec<RunSummary>,
    targets: Vec<(String, usize)>,
}

struct Day {
    name: String,
    runs: u64,
    cost: Money,
}

/// So many of each sort of run that may need somebody are looked at.
const CANDIDATES_MAX: usize = 15;
/// So many are shown.
const SHOWN_MAX: usize = 25;
const COUNTED_MAX: usize = 2_000;
const FAILED_MAX: usize = 200;
const LETTERS_MAX: usize = 1_000;
/// From this share of its budget on a run is near it.
const NEAR: f64 = 0.8;
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY_MICROS: u64 = 86_400_000_000;
const DAYS: u64 = 8;
/// So many failures in an hour make a target worth a word.
const FAILING_MIN: usize = 3;

/// How everything stands, a second old at most where it is cheap to know.
pub(crate) fn snapshot(app: &Arc<App>) -> Result<Arc<Snapshot>, Trouble> {
    app.snapshot.get(app, (), |app, ()| take(app))
}

fn take(app: &Arc<App>) -> Result<Snapshot, Trouble> {
    let (journal, now) = (&app.journal, app.now());
    let ago = |age: Duration| {
        Timestamp::from_micros(
            now.as_micros().saturating_sub(u64::try_from(age.as_micros()).unwrap_or(u64::MAX)),
        )
    };
    let mut attention = candidates(journal, &app.inspector(), now, CANDIDATES_MAX)?;
    attention.retain(|found| found.urgency() > 0 || found.budget_used.is_some_and(|used| used >= NEAR));
    attention.sort_by_key(|found| (std::cmp::Reverse(found.urgency()), found.run.updated_at));
    let owner = owner(&app.path);
    let found = attention.len();
    if owner == Owner::Nobody {
        attention.retain(|found| found.answer.cause != Cause::ProcessLost);
    }
    let orphans = found - attention.len();
    let started = journal
        .runs(&RunQuery { started_from: Some(ago(MINUTE)), limit: COUNTED_MAX + 1, ..RunQuery::default() })?
        .len();
    let failed = journal.runs(&RunQuery {
        statuses: vec![Status::Failed, Status::Compensated],
        updated_from: Some(ago(HOUR)),
        limit: FAILED_MAX,
        ..RunQuery::default()
    })?;
    let today = now.as_micros() / DAY_MICROS;
    let since = Timestamp::from_micros(today.saturating_sub(DAYS - 1) * DAY_MICROS);
    let gates = Board::read(&app.path).ok().flatten().map(|board| board.gates).unwrap_or_default();
    Ok(Snapshot {
        counts: journal.counts()?,
        owner,
        orphans,
        letters: journal.letters(&[], LETTERS_MAX)?.len(),
        attention,
        gates,
        days: days(&journal.sums(SumBy::Day, since)?, today),
        started: (started.min(COUNTED_MAX), started > COUNTED_MAX),
        targets: failing(&failed),
        failed,
    })
}

fn days(sums: &[Sum], today: u64) -> Vec<Day> {
    let of = |number: u64| {
        let key = number.to_string();
        let sums = || sums.iter().filter(|sum| sum.key == key);
        Day {
            name: day(Timestamp::from_micros(number * DAY_MICROS)),
            runs: sums().map(|sum| sum.runs).sum(),
            cost: sums().map(|sum| sum.cost).sum(),
        }
    };
    (today.saturating_sub(DAYS - 1)..=today).map(of).collect()
}

/// Targets of runs that failed lately.
fn failing(failed: &[RunSummary]) -> Vec<(String, usize)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for run in failed {
        if let Some(target) = &run.target {
            *counts.entry(target).or_default() += 1;
        }
    }
    let mut counts: Vec<(String, usize)> = counts
        .into_iter()
        .filter(|(_, count)| *count >= FAILING_MIN)
        .map(|(target, count)| (target.to_owned(), count))
        .collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
}

/// Renders the page.
pub(crate) fn render(app: &Arc<App>) -> Result<Page, Trouble> {
    let (snapshot, now) = (snapshot(app)?, app.now());
    let parts = vec![
        Part::new("state", "", state(&snapshot)),
        Part::new("attention", "", attention(&snapshot, now)),
        Part::new("figures", "", figures(&snapshot)),
        Part::new("failed", "", failed(&snapshot, now)),
    ];
    Ok(Page { title: "Now".to_owned(), section: Section::Now, parts })
}

fn state(snapshot: &Snapshot) -> Markup {
    let needed = snapshot.attention.len() + snapshot.orphans;
    html! {
        h1 { @if needed == 0 { "All is quiet" } @else { (amount::counted(needed as u64, "run")) @if needed == 1 { " needs" } @else { " need" } " a person" } }
        @match &snapshot.owner {
            Owner::Nobody => p.alarm role="status" { "✕ No process owns the journal: no run goes on" @if snapshot.orphans > 0 { ", " (amount::counted(snapshot.orphans as u64, "run")) " of those looked at for no other reason" } ". Start a process with their workflows, it takes them up by itself. " code { "midwatch doctor" } },
            Owner::Process { name, .. } => p.faint { "✓ " (theirs(name)) " carries runs out" @if snapshot.letters > 0 { ", " (amount::counted(snapshot.letters as u64, "letter")) " in its inbox" } "." },
            _ => p.faint { "It is not known who owns the journal." },
        }
    }
}

fn attention(snapshot: &Snapshot, now: Timestamp) -> Markup {
    html! {
        @if needs_nobody(snapshot) && snapshot.targets.is_empty() && snapshot.gates.iter().all(|gate| gate.state.closed.is_none()) {
            p.panel.empty { "✓ No open run is stuck, parked, slow or dear, and no target is down." }
        } @else {
            ol.attention {
                @for gate in snapshot.gates.iter().filter(|gate| gate.state.closed.is_some()) {
                    @if let Some(closed) = gate.state.closed { li.item.warn {
                        span.verdict.warn { span.shape aria-hidden="true" { "▮" } "gate" }
                        div { b { (theirs(&gate.target)) } " is closed, opens " (age(closed.until, now)) ", " (amount::counted(gate.waiting as u64, "attempt")) " waiting" }
                        a.act href="/stalls" { "look" }
                    } }
                }
                @for (target, count) in &snapshot.targets { li.item.bad {
                    span.verdict.bad { span.shape aria-hidden="true" { "✕" } "failing" }
                    div { b { (theirs(target)) } ": " (amount::counted(*count as u64, "run")) " failed in the last hour" }
                    a.act href="/stalls" { "look" }
                } }
                @for found in snapshot.attention.iter().take(SHOWN_MAX) { (needs(found, now)) }
            }
            @if snapshot.attention.len() > SHOWN_MAX { p.faint { "and " (snapshot.attention.len() - SHOWN_MAX) " more" } }
        }
    }
}

fn needs_nobody(snapshot: &Snapshot) -> bool {
    snapshot.attention.is_empty() && snapshot.orphans == 0
}

fn needs(found: &Candidate, now: Timestamp) -> Markup {
    let (run, answer) = (&found.run, &found.answer);
    let tone = html::tone(html::of_verdict(answer.verdict));
    html! {
        li class={"item " (tone)} {
            (html::verdict(answer.verdict))
            div {
                div.who { (html::run(run)) " " span.faint { (theirs(&run.workflow)) " · " (html::status(run.status)) " · started " (age(run.started_at, now)) } }
                div.headline { (theirs(&answer.headline)) }
                @if let Some(used) = found.budget_used.filter(|used| *used >= NEAR) { div.warn { "◔ " (format!("{:.0}%", used * 100.0)) " of its budget is spent" } }
                @if let Some(next) = answer.next.first() { div.nextline { (html::command(&next.command)) span.faint { (theirs(&next.does)) } } }
            }
            a.act href={(link::run(run.run)) "#actions"} { "act" }
        }
    }
}

fn figures(snapshot: &Snapshot) -> Markup {
    let open: u64 =
        snapshot.counts.iter().filter(|(status, _)| !status.is_ended()).map(|(_, count)| count).sum();
    let (started, more) = snapshot.started;
    html! {
        section.figures aria-label="How it goes" {
            div.panel {
                h2 { "Runs" }
                p.big { span.num { (amount::count(open)) } span.faint { " open" } }
                ul.counts { @for (status, count) in &snapshot.counts { @if *count > 0 { li { a href=(link::with("/runs", [("status", status.to_string())])) { (html::status(*status)) span.num { (amount::count(*count)) } } } } } }
                p.faint { (amount::count(started as u64)) @if more { "+" } " started in the last minute" }
            }
            (cost(&snapshot.days))
        }
    }
}

fn cost(days: &[Day]) -> Markup {
    let Some((today, before)) = days.split_last() else { return html! {} };
    let mut usual: Vec<Money> = before.iter().filter(|day| day.runs > 0).map(|day| day.cost).collect();
    usual.sort_unstable();
    let usual = usual.get(usual.len() / 2).copied();
    let columns: Vec<(String, f64, String)> = days
        .iter()
        .map(|day| {
            let title =
                format!("{}: {}, {}", day.name, amount::money(day.cost), amount::counted(day.runs, "run"));
            (day.name.get(8..).unwrap_or_default().to_owned(), day.cost.as_usd(), title)
        })
        .collect();
    let label = format!(
        "Cost of runs by the day on which they started, {} to today",
        days.first().map_or("", |day| &day.name)
    );
    html! {
        div.panel {
            h2 { a href="/cost" { "Cost today" } }
            p.big { (html::money(today.cost)) @if let Some(usual) = usual { span.faint { " of usually " (amount::money(usual)) " a day" } } }
            (draw::columns(&columns, usual.map(Money::as_usd), &label))
            p.faint { "By the day on which runs started (UTC); the line is the median of the days before." }
        }
    }
}

fn failed(snapshot: &Snapshot, now: Timestamp) -> Markup {
    const ROWS_MAX: usize = 10;
    html! {
        @if !snapshot.failed.is_empty() {
            section aria-labelledby="failed-title" {
                h2 #failed-title { "Failed in the last hour" span.faint { " · " (snapshot.failed.len()) @if snapshot.failed.len() == FAILED_MAX { "+" } } }
                (super::runs::table(&snapshot.failed[..snapshot.failed.len().min(ROWS_MAX)], now))
            }
        }
    }
}
