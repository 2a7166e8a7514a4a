//! The small pieces that all pages are made of: statuses, verdicts, ages, amounts, links to runs and events.
//!
//! A status is told by a shape and a word; its colour only repeats that.

use std::time::Duration;

use maud::{Markup, html};
use midwatch_journal::{RunSummary, Status};
use midwatch_observe::tell::text::clean;
use midwatch_observe::tell::{Tone, amount, time};
use midwatch_observe::why::Verdict;
use midwatch_workflow::{Money, RunId, Spent, Timestamp};

use crate::link;

/// The class of a tone in the style sheet.
pub(crate) const fn tone(tone: Tone) -> &'static str {
    match tone {
        Tone::Plain => "plain",
        Tone::Faint => "faint",
        Tone::Good => "good",
        Tone::Active => "active",
        Tone::Warn => "warn",
        Tone::Bad => "bad",
    }
}

/// The tone of a status.
pub(crate) const fn of(status: Status) -> Tone {
    match status {
        Status::Running | Status::Compensating => Tone::Active,
        Status::Waiting => Tone::Plain,
        Status::Paused | Status::Parked => Tone::Warn,
        Status::Completed => Tone::Good,
        Status::Failed | Status::Compensated | Status::Cancelled => Tone::Bad,
    }
}

const fn shape(status: Status) -> &'static str {
    match status {
        Status::Running => "▸",
        Status::Waiting => "◷",
        Status::Compensating => "↶",
        Status::Paused => "‖",
        Status::Parked => "◆",
        Status::Completed => "✓",
        Status::Failed => "✕",
        Status::Compensated => "↺",
        Status::Cancelled => "⊘",
    }
}

/// A status.
pub(crate) fn status(status: Status) -> Markup {
    html! { span class={"status " (tone(of(status)))} { span.shape aria-hidden="true" { (shape(status)) } (status) } }
}

/// The tone of a verdict.
pub(crate) const fn of_verdict(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Slow | Verdict::Parked | Verdict::Expensive => Tone::Warn,
        Verdict::Stuck | Verdict::Failed => Tone::Bad,
        Verdict::Waiting => Tone::Active,
        Verdict::Healthy => Tone::Good,
        Verdict::Unknown => Tone::Faint,
    }
}

/// A verdict.
pub(crate) fn verdict(verdict: Verdict) -> Markup {
    let shape = match verdict {
        Verdict::Stuck => "■",
        Verdict::Parked => "◆",
        Verdict::Slow => "◔",
        Verdict::Expensive => "$",
        Verdict::Failed => "✕",
        Verdict::Waiting => "◷",
        Verdict::Healthy => "✓",
        Verdict::Unknown => "?",
    };
    html! {
        span class={"verdict " (tone(of_verdict(verdict)))} title=(verdict.meaning()) {
            span.shape aria-hidden="true" { (shape) } (verdict)
        }
    }
}

/// How far a time is away; the reader's browser counts it on.
pub(crate) fn age(at: Timestamp, now: Timestamp) -> Markup {
    html! { time data-at=(at.as_micros()) datetime=(iso(at)) title=(date(at)) { (time::relative(at, now)) } }
}

/// A point in time; the reader's browser says it in their zone.
pub(crate) fn moment(at: Timestamp) -> Markup {
    html! { time data-moment=(at.as_micros()) datetime=(iso(at)) { (date(at)) } }
}

/// `2026-11-24 07:00:03 UTC`.
pub(crate) fn date(at: Timestamp) -> String {
    format(at, "%Y-%m-%d %H:%M:%S UTC")
}

/// `07:00:03.120`, in UTC.
pub(crate) fn clock(at: Timestamp) -> String {
    format(at, "%H:%M:%S%.3f")
}

fn iso(at: Timestamp) -> String {
    format(at, "%Y-%m-%dT%H:%M:%S%.3fZ")
}

fn format(at: Timestamp, pattern: &str) -> String {
    let micros = i64::try_from(at.as_micros()).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_microsecond(micros) {
        Ok(time) => time.strftime(pattern).to_string(),
        Err(_) => format!("{at} s"),
    }
}

/// A duration.
pub(crate) fn span(duration: Duration) -> String {
    time::span(duration)
}

/// An amount; the exact one is its title.
pub(crate) fn money(money: Money) -> Markup {
    html! { span.num title=(money) { (amount::money(money)) } }
}

/// What was spent; a `?` for what has no price.
pub(crate) fn spent(spent: &Spent) -> Markup {
    let text = amount::spent(spent);
    let title = match spent.unpriced {
        0 => spent.cost.to_string(),
        unpriced => {
            format!("{}, and {} without a known price", spent.cost, amount::counted(unpriced, "charge"))
        }
    };
    html! { @if !text.is_empty() { span.num title=(title) { (text) } } }
}

/// A count.
pub(crate) fn count(count: u64) -> Markup {
    html! { span.num { (amount::count(count)) } }
}

/// Text that somebody else wrote.
pub(crate) fn theirs(text: &str) -> Markup {
    html! { bdi { (clean(text)) } }
}

/// A run's name, leading to its page.
pub(crate) fn run(run: &RunSummary) -> Markup {
    let id = run.run.to_string();
    html! {
        a.run href=(link::run(run.run)) {
            @if run.workflow_id.as_str() == id { (run.run.short()) } @else { (theirs(run.workflow_id.as_str())) }
        }
    }
}

/// Numbers of events, each leading to the event.
pub(crate) fn events(run: RunId, events: &[u64]) -> Markup {
    const SHOWN: usize = 8;
    html! {
        @if !events.is_empty() {
            span.events {
                @for number in events.iter().take(SHOWN) { a.ev href=(link::event(run, *number)) { (number) } " " }
                @if events.len() > SHOWN { "…" }
            }
        }
    }
}

/// The number of an event, leading to it.
pub(crate) fn event(run: RunId, number: u64) -> Markup {
    html! { a.ev href=(link::event(run, number)) title={"event " (number)} { (number) } }
}

/// A command as it would be typed, to be copied.
pub(crate) fn command(command: &str) -> Markup {
    html! { span.cmd { code { (clean(command)) } button.copy.quiet type="button" data-copy=(clean(command)) aria-label={"Copy " (clean(command))} { "copy" } } }
}

/// A share of a whole, in whole percent.
#[allow(clippy::cast_precision_loss)] // a share needs no more
pub(crate) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { "–".to_owned() } else { format!("{:.0}%", 100.0 * part as f64 / whole as f64) }
}
