//! The whole run on a few lines, whatever its size: a line for each step name. In each place of it stands what took most of
//! the time there; below that, what failed there, so that one failure among a thousand is still seen.

use std::collections::HashMap;

use maud::{Markup, html};
use midwatch_observe::timeline::{Entry, Timeline};
use midwatch_workflow::Timestamp;

use super::bars::bars;
use super::view::RunView;
use crate::draw::{Bar, Kind, Scale, axis};

/// Into how many places a line is divided.
const PLACES: usize = 500;
/// So many lines; further names share the last one.
const LANES_MAX: usize = 9;

struct Lane {
    name: String,
    count: usize,
    places: Vec<Place>,
}

/// What a place of a line stands for.
#[derive(Clone, Default)]
struct Place {
    /// By kind, the time that was spent with it.
    spent: Vec<(Kind, f64)>,
}

impl Place {
    fn add(&mut self, kind: Kind, share: f64) {
        match self.spent.iter_mut().find(|(other, _)| *other == kind) {
            Some((_, sum)) => *sum += share,
            None => self.spent.push((kind, share)),
        }
    }

    /// What took most of the time.
    fn most(&self) -> Option<Kind> {
        self.spent.iter().max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(kind, _)| *kind)
    }

    /// The worst failure.
    fn worst(&self) -> Option<Kind> {
        self.spent.iter().map(|(kind, _)| *kind).filter(|kind| kind.is_failure()).max()
    }
}

/// Draws the map, and the window on it.
pub(super) fn map(view: &RunView, timeline: &Timeline, whole: Scale, now: Timestamp) -> Markup {
    let window = view.scale(whole.from, whole.to);
    let lanes = lanes(timeline, window, now);
    html! {
        div.map #map data-from=(window.from.since(whole.from).as_micros()) data-to=(window.to.since(whole.from).as_micros()) data-whole=(whole.length().as_micros()) data-base=(view.with_window(None).link()) {
            div.maprow { span.lane.faint { (zoom(view, whole)) } (axis(window, whole.from)) }
            @for lane in &lanes {
                div.maprow {
                    span.lane title=(lane.name) { (crate::html::theirs(&lane.name)) @if lane.count > 1 { span.faint { " ×" (lane.count) } } }
                    (line(lane))
                }
            }
        }
    }
}

fn lanes(timeline: &Timeline, scale: Scale, now: Timestamp) -> Vec<Lane> {
    let mut lanes: Vec<Lane> = Vec::new();
    let mut by_name: HashMap<&str, usize> = HashMap::new();
    for entry in &timeline.entries {
        let Some(name) = name(entry) else { continue };
        let at = *by_name.entry(name).or_insert_with(|| {
            if lanes.len() < LANES_MAX {
                lanes.push(Lane { name: name.to_owned(), count: 0, places: vec![Place::default(); PLACES] });
            } else if let Some(last) = lanes.last_mut() {
                last.name = "others".to_owned();
            }
            lanes.len() - 1
        });
        let lane = &mut lanes[at];
        lane.count += 1;
        for bar in bars(entry, now).iter().filter(|bar| scale.shows(bar.from, bar.to)) {
            lane.mark(bar, scale);
        }
    }
    lanes
}

/// What an entry is counted under.
fn name(entry: &Entry) -> Option<&str> {
    match entry {
        Entry::Step(step) => Some(&step.name),
        Entry::Sleep(_) => Some("sleeps"),
        Entry::Signal(_) => Some("signals"),
        Entry::Child(_) => Some("children"),
        Entry::Person(_) => Some("people"),
        Entry::Unclaimed(_) | Entry::Happening(_) => None,
    }
}

impl Lane {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)] // places on paper
    fn mark(&mut self, bar: &Bar, scale: Scale) {
        let place = |at| scale.place(at) / 100.0 * PLACES as f64;
        let (from, to) = (place(bar.from), place(bar.to));
        let (first, last) = ((from as usize).min(PLACES - 1), (to as usize).min(PLACES - 1));
        for (n, place) in self.places.iter_mut().enumerate().take(last + 1).skip(first) {
            let share = (to.min(n as f64 + 1.0) - from.max(n as f64)).max(1e-6);
            place.add(bar.kind, share);
        }
    }
}

/// Draws a line: neighbouring places of one kind are one piece.
#[allow(clippy::cast_precision_loss)] // places on paper
fn line(lane: &Lane) -> Markup {
    let pieces = |of: fn(&Place) -> Option<Kind>| {
        let mut pieces: Vec<(f64, f64, Kind)> = Vec::new();
        let mut at = 0;
        for run in lane.places.chunk_by(|a, b| of(a) == of(b)) {
            let (x, width) = (at as f64 / PLACES as f64 * 100.0, run.len() as f64 / PLACES as f64 * 100.0);
            pieces.extend(run.first().and_then(of).map(|kind| (x, width, kind)));
            at += run.len();
        }
        pieces
    };
    html! {
        svg.bar width="100%" height="14" aria-hidden="true" {
            @for (x, width, kind) in pieces(Place::most) {
                rect class=(kind.class()) x={(format!("{x:.1}")) "%"} width={(format!("{width:.1}")) "%"} y=(if kind.is_thin() { 5 } else { 1 }) height=(if kind.is_thin() { 3 } else { 8 }) {}
            }
            @for (x, width, kind) in pieces(Place::worst) {
                rect class=(kind.class()) x={(format!("{x:.1}")) "%"} width={(format!("{width:.1}")) "%"} y="10" height="3" {}
            }
        }
    }
}

/// Links that zoom and move.
fn zoom(view: &RunView, whole: Scale) -> Markup {
    let all = u64::try_from(whole.length().as_micros()).unwrap_or(u64::MAX);
    let (from, to) = view.window.unwrap_or((0, all));
    let (middle, half) = (from + (to - from) / 2, ((to - from) / 4).max(1));
    let length = to - from;
    let link = |from: u64, to: u64| view.with_window(Some((from, to))).link() + "#timeline";
    html! {
        span.zoom {
            a href=(link(middle.saturating_sub(half), middle + half)) id="zoom-in" aria-label="Zoom in" { "+" }
            @if view.window.is_some() {
                a href=(link(from.saturating_sub(length / 2), (to + length / 2).min(all))) id="zoom-out" aria-label="Zoom out" { "−" }
                a href=(link(from.saturating_sub(length / 2), from.saturating_sub(length / 2) + length)) id="zoom-left" aria-label="Earlier" { "‹" }
                a href=(link(from + length / 2, from + length / 2 + length)) id="zoom-right" aria-label="Later" { "›" }
                a href=(view.with_window(None).link() + "#timeline") id="zoom-all" { "all" }
            }
        }
    }
}
