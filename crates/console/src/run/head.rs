//! Who the run is, and where it stands.

use maud::{Markup, html};
use midwatch_journal::RunSummary;
use midwatch_observe::tell::amount;
use midwatch_observe::timeline::Timeline;
use midwatch_workflow::{Budget, OnReached, Timestamp};

use crate::html::{self, span, theirs};
use crate::link;
use crate::settings::Settings;

pub(super) fn head(run: &RunSummary, timeline: &Timeline, settings: &Settings, now: Timestamp) -> Markup {
    let id = run.run.to_string();
    html! {
        p.crumbs { a href="/runs" { "Runs" } " / " a href=(link::with("/runs", [("workflow", run.workflow.clone())])) { (theirs(&run.workflow)) } }
        h1 {
            @if run.workflow_id.as_str() == id { (run.run.short()) } @else { (theirs(run.workflow_id.as_str())) }
            " " (html::status(run.status))
        }
        @if let Some(text) = &timeline.status_text { p.saying { "“" (theirs(text)) "”" } }
        dl.facts.wide {
            dt { "run" } dd { code { (id) } }
            dt { "started" } dd { (html::moment(run.started_at)) ", " (html::age(run.started_at, now)) }
            @if let Some(end) = run.ended_at {
                dt { "took" } dd { (span(end.since(run.started_at))) }
            } @else if !run.doing.is_empty() {
                dt { "does" } dd { (theirs(&run.doing)) }
            }
            dt { "attempts" } dd { (html::count(run.attempts)) @if run.failures > 0 { ", " a href=(link::with(&link::run(run.run), [("only", "trouble".to_owned())])) { (amount::count(run.failures)) " failed" } } }
            @if timeline.spent.usage.tokens() > 0 || timeline.spent.cost.as_picos() > 0 || timeline.spent.unpriced > 0 {
                dt { "spent" }
                dd {
                    (html::spent(&timeline.spent)) " · " (amount::count(timeline.spent.usage.tokens())) " tokens"
                    @if timeline.wasted.as_picos() > 0 { " · " span.warn { (amount::money(timeline.wasted)) " wasted on failed attempts" } }
                }
            }
            @if let Some(limit) = &timeline.start.budget { dt { "budget" } dd { (budget(limit)) } }
            @if let Some(tenant) = &run.tenant { dt { "tenant" } dd { a href=(link::with("/runs", [("tenant", tenant.clone())])) { (theirs(tenant)) } } }
            @if let Some(parent) = run.parent { dt { "child of" } dd { a.run href=(link::run(parent.run)) { (parent.run.short()) } } }
            @if let Some(fork) = run.forked_from { dt { "fork of" } dd { a.run href=(link::run(fork.run)) { (fork.run.short()) } " at event " (html::event(fork.run, fork.event)) } }
            @if !run.worker.is_empty() { dt { "worker" } dd { (theirs(&run.worker)) } }
            dt { "journal" } dd { a href={(link::run(run.run)) "/events"} { (amount::counted(run.events, "event")) } }
            @if let Some(url) = trace(timeline, settings) { dt { "trace" } dd { a href=(url) rel="noreferrer" { "open the trace" } } }
        }
    }
}

fn budget(budget: &Budget) -> String {
    let usd = budget.usd.map(amount::money);
    let tokens = budget.tokens.map(|tokens| format!("{} tokens", amount::count(tokens)));
    let limits: Vec<String> = usd.into_iter().chain(tokens).collect();
    let then = match budget.on_reached {
        OnReached::Park => "parks the run",
        OnReached::Fail => "fails the step",
    };
    format!("{}, then {then}", limits.join(" and "))
}

/// Where the run's trace is. It is that of the caller's `traceparent`, or else the run's own id.
fn trace(timeline: &Timeline, settings: &Settings) -> Option<String> {
    let template = settings.trace_url.as_ref()?;
    let joined = timeline.start.traceparent.as_ref().and_then(|parent| parent.split('-').nth(1));
    let is_hex = |id: &&str| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let own = timeline.start.run.to_string();
    Some(template.replace("{trace_id}", joined.filter(is_hex).unwrap_or(&own)))
}
