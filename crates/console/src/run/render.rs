//! Puts the page of a run together.

use std::sync::Arc;

use maud::{Markup, html};
use midwatch_observe::timeline::{Entry, Timeline};
use midwatch_workflow::{RunResult, Timestamp};

use super::actions::actions;
use super::bars::{bars, extent};
use super::entry::Paper;
use super::head::head;
use super::map::map;
use super::verdict::verdict;
use super::view::{Only, RunView};
use crate::app::App;
use crate::draw::{Kind, Scale, axis, patterns};
use crate::error::Trouble;
use crate::html;
use crate::page::{Item, Page, Part, Section};
use crate::payload;

/// So many entries on one page.
const ENTRIES_MAX: usize = 100;
/// With fewer entries than this the list is picture enough.
const MAP_MIN: usize = 30;

/// Renders a run.
pub(crate) fn render(app: &Arc<App>, view: &RunView) -> Result<Page, Trouble> {
    let none = || Trouble::NotFound(format!("there is no run {} in this journal", view.run));
    let told = app.shelf.told(&app.journal, view.run)?.ok_or_else(none)?;
    let (run, timeline, now) = (&told.summary, &told.timeline, app.now());
    let answer = app.why(&told)?;
    let whole = Scale { from: timeline.started.at, to: end(timeline, now) };
    let shown = Shown::of(view, timeline, whole, now);
    let paper = Paper { timeline, scale: view.scale(whole.from, whole.to), now, settings: &app.settings };
    let items =
        shown.entries.iter().map(|entry| Item::new(format!("e{}", entry.mark().event), &paper.entry(entry)));
    let items = items.collect();
    let parts = vec![
        Part::new("head", "head", head(run, timeline, &app.settings, now)),
        Part::new("verdict", "", verdict(&answer, view.run)),
        Part::new("actions", "", actions(run, timeline, app)),
        Part::new(
            "timeline",
            "",
            html! {
                (patterns())
                div.sectionhead { h2 { "Timeline" } (legend(timeline, now)) }
                @if timeline.entries.len() > MAP_MIN || view.window.is_some() { (map(view, timeline, whole, now)) }
                (tabs(view, &shown))
                div.entry.axisrow aria-hidden="true" { span {} div.line { span.what { "what happened" } span.took { "took" } span.track { (axis(paper.scale, whole.from)) } } }
            },
        ),
        Part::list("entries", "entries", items),
        Part::new("pager", "", pager(view, &shown)),
        Part::new("ends", "", ends(timeline, app, view)),
    ];
    Ok(Page { title: format!("{} {}", run.workflow, run.workflow_id), section: Section::Runs, parts })
}

/// The end of the picture. That of an open run moves in steps, so that it is not redrawn for every second.
fn end(timeline: &Timeline, now: Timestamp) -> Timestamp {
    if let Some(end) = &timeline.end {
        return end.mark.at;
    }
    let start = timeline.started.at;
    let elapsed = now.max(timeline.last.at).since(start);
    let step = (elapsed.as_micros() / 40).next_power_of_two().max(250_000);
    let steps = elapsed.as_micros().div_ceil(step).max(1);
    start + std::time::Duration::from_micros(u64::try_from(steps * step).unwrap_or(u64::MAX))
}

/// Which entries are shown.
struct Shown<'t> {
    entries: Vec<&'t Entry>,
    page: usize,
    pages: usize,
    all: usize,
    trouble: usize,
}

impl<'t> Shown<'t> {
    fn of(view: &RunView, timeline: &'t Timeline, whole: Scale, now: Timestamp) -> Self {
        let window = view.window.map(|_| view.scale(whole.from, whole.to));
        let is_seen = |entry: &&Entry| {
            window.is_none_or(|window| {
                let (from, to) = extent(entry, now);
                window.shows(from, to)
            })
        };
        let seen: Vec<&Entry> = timeline.entries.iter().filter(is_seen).collect();
        let trouble = seen.iter().filter(|entry| is_trouble(entry)).count();
        let all = seen.len();
        let fitting: Vec<&Entry> = match view.only {
            Only::All => seen,
            Only::Trouble => seen.into_iter().filter(|entry| is_trouble(entry)).collect(),
        };
        let pages = fitting.len().div_ceil(ENTRIES_MAX).max(1);
        // What goes on is at the end; how it went begins at the beginning.
        let usual = if timeline.end.is_none() { pages } else { 1 };
        let page = view.page.unwrap_or(usual).clamp(1, pages);
        let entries = fitting.into_iter().skip((page - 1) * ENTRIES_MAX).take(ENTRIES_MAX).collect();
        Self { entries, page, pages, all, trouble }
    }
}

fn is_trouble(entry: &Entry) -> bool {
    match entry {
        Entry::Step(step) => {
            step.undoes.is_some() || step.attempts.iter().any(|attempt| attempt.failure().is_some())
        }
        Entry::Person(_) => true,
        Entry::Signal(signal) => signal.limit.is_some_and(|limit| limit.fired.is_some()),
        _ => false,
    }
}

fn tabs(view: &RunView, shown: &Shown<'_>) -> Markup {
    let tab = |only: Only, name: &str, count: usize| {
        let link = RunView { only, page: None, ..view.clone() }.link() + "#timeline";
        html! { a href=(link) aria-current=[(view.only == only).then_some("true")] { (name) " " span.num { (count) } } }
    };
    html! {
        div.tabs role="navigation" aria-label="What is listed" {
            (tab(Only::All, "everything", shown.all))
            (tab(Only::Trouble, "only trouble", shown.trouble))
            @if shown.pages > 1 { span.faint { "page " (shown.page) " of " (shown.pages) } }
        }
    }
}

fn pager(view: &RunView, shown: &Shown<'_>) -> Markup {
    let link = |page: usize| RunView { page: Some(page), ..view.clone() }.link() + "#timeline";
    html! {
        @if shown.pages > 1 {
            nav.pager aria-label="Pages of the timeline" {
                @if shown.page > 1 { a href=(link(1)) { "« first" } a href=(link(shown.page - 1)) rel="prev" { "‹ earlier" } }
                span.num { (shown.page) " / " (shown.pages) }
                @if shown.page < shown.pages { a href=(link(shown.page + 1)) rel="next" { "later ›" } a href=(link(shown.pages)) { "last »" } }
            }
        }
    }
}

/// The kinds that occur, at most so many entries looked at.
fn legend(timeline: &Timeline, now: Timestamp) -> Markup {
    const LOOKED_AT: usize = 2_000;
    let mut kinds: Vec<Kind> = timeline
        .entries
        .iter()
        .take(LOOKED_AT)
        .flat_map(|entry| bars(entry, now))
        .map(|bar| bar.kind)
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    html! {
        ul.legend {
            @for kind in kinds { li {
                span.swatch { svg width="14" height="10" aria-hidden="true" { rect class=(kind.class()) width="14" height="10" rx="2" {} } }
                (kind.words())
            } }
        }
    }
}

/// What came in and what came out.
fn ends(timeline: &Timeline, app: &App, view: &RunView) -> Markup {
    let event = |number: u64| (view.run, number);
    html! {
        section.panel aria-labelledby="ends-title" {
            h2 #ends-title { "Input and output" }
            (payload::shown("input", &timeline.start.input, &app.settings, event(1)))
            @if let Some(end) = &timeline.end {
                @match &end.result {
                    RunResult::Completed(output) => (payload::shown("output", output, &app.settings, event(end.mark.event))),
                    RunResult::Failed { failure, compensated, resolved } => {
                        p.failure { span.bad { "✕ " (failure.class) } " " (html::theirs(&failure.message)) " " (html::event(view.run, end.mark.event)) }
                        @if let Some(source) = &failure.source { p.faint { (html::theirs(source)) } }
                        @if *compensated > 0 { p { (compensated) " steps undone" @if *resolved > 0 { ", " (resolved) " of them by hand" } } }
                    },
                }
            } @else { p.faint { "It has not ended." } }
        }
    }
}
