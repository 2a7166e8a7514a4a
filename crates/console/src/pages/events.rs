//! All events of a run as the journal has them: what every number on a page leads to.

use std::sync::Arc;

use maud::html;
use midwatch_observe::tell::event::{Names, words};
use midwatch_workflow::{Payload, RunId};

use crate::app::App;
use crate::error::Trouble;
use crate::html::{clock, moment, run as run_link, status, theirs, tone};
use crate::link;
use crate::page::{Page, Part, Section};
use crate::payload;

/// Which events are shown.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct EventsView {
    run: RunId,
    /// The event that is looked for.
    at: u64,
}

/// So many on a page.
const EVENTS_MAX: u64 = 100;
/// So much of an event's JSON is shown, in bytes; the one that is looked for is shown as far as it goes.
const JSON_MAX: usize = 600;

impl EventsView {
    pub(crate) fn parse(run: RunId, get: impl Fn(&str) -> Option<String>) -> Self {
        Self { run, at: get("at").and_then(|at| at.parse().ok()).unwrap_or(0) }
    }
}

/// Renders events around the one that is looked for.
pub(crate) fn render(app: &Arc<App>, view: &EventsView) -> Result<Page, Trouble> {
    let none = || Trouble::NotFound(format!("there is no run {} in this journal", view.run));
    let told = app.shelf.told(&app.journal, view.run)?.ok_or_else(none)?;
    let all = told.events.len() as u64;
    let first = (view.at.clamp(1, all) - 1) / EVENTS_MAX * EVENTS_MAX;
    let mut names = Names::default();
    let mut rows = Vec::new();
    for (event, number) in told.events.iter().zip(1u64..) {
        names.learn(event);
        if number > first + EVENTS_MAX {
            break;
        }
        if number > first {
            let (what, how) = words(event, &names, clock);
            let bytes_max = if number == view.at { payload::LONG_MAX } else { JSON_MAX };
            let json = Payload::of(&event.kind).map(|json| payload::text(&json, &app.settings, bytes_max));
            rows.push((number, event.at, what, how, json.unwrap_or_default()));
        }
    }
    let page = |at: u64, words: &str| html! { a href=(link::with(&format!("{}/events", link::run(view.run)), [("at", at.to_string())])) { (words) } };
    let summary = &told.summary;
    let body = html! {
        p.crumbs { a href="/runs" { "Runs" } " / " (run_link(summary)) " / events" }
        h1 { "Events of " (theirs(summary.workflow_id.as_str())) " " (status(summary.status)) }
        p.faint { "As the journal has them; what is under a secret's name is hidden, and long ones are cut. " code { "midwatch show " (view.run.short()) " --events" } " has all of it." }
        div.scroll tabindex="0" role="region" aria-label="Events" { table.events {
            thead { tr { th.right { "Event" } th { "At" } th { "What" } } }
            tbody {
                @for (number, at, what, how, json) in &rows {
                    tr id={"n" (number)} .target[*number == view.at] {
                        td.right.num { (number) }
                        td.nowrap { (moment(*at)) }
                        td {
                            div class=(tone(*how)) { (theirs(what)) }
                            details open[*number == view.at] { summary { "JSON" } pre tabindex="0" { (json) } }
                        }
                    }
                }
            }
        } }
        @if all > EVENTS_MAX {
            nav.pager aria-label="Pages of events" {
                @if first > 0 { (page(1, "« first")) (page(first, "‹ earlier")) }
                span.num { (first + 1) "–" (all.min(first + EVENTS_MAX)) " of " (all) }
                @if first + EVENTS_MAX < all { (page(first + EVENTS_MAX + 1, "later ›")) (page(all, "last »")) }
            }
        }
    };
    let title = format!("Events of {}", summary.workflow_id);
    Ok(Page { title, section: Section::Runs, parts: vec![Part::new("events", "", body)] })
}
