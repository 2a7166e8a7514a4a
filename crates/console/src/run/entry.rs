//! One thing that happened in a run: a line with its bar, and what is under it.

use maud::{Markup, html};
use midwatch_observe::tell::{Tone, amount, event, time};
use midwatch_observe::timeline::{Child, Entry, Person, Signal, Sleep, Step, Timeline, What};
use midwatch_workflow::{Ended, RunId, Timestamp};

use super::attempt;
use super::bars::{bars, extent};
use crate::draw::{Scale, bars as draw};
use crate::html::{self, span, theirs, tone};
use crate::link;
use crate::payload;
use crate::settings::Settings;

/// What entries are shown with.
pub(super) struct Paper<'p> {
    pub(super) timeline: &'p Timeline,
    pub(super) scale: Scale,
    pub(super) now: Timestamp,
    pub(super) settings: &'p Settings,
}

/// What a line says, and what is under it.
struct Line {
    title: Markup,
    says: Markup,
    tone: Tone,
    under: Option<Markup>,
    is_open: bool,
}

impl Line {
    fn plain(title: Markup, says: Markup, tone: Tone) -> Self {
        Self { title, says, tone, under: None, is_open: false }
    }
}

impl Paper<'_> {
    fn run(&self) -> RunId {
        self.timeline.start.run
    }

    /// Shows an entry.
    pub(super) fn entry(&self, entry: &Entry) -> Markup {
        let mut line = match entry {
            Entry::Step(step) => self.step(step),
            Entry::Sleep(sleep) => self.sleep(sleep),
            Entry::Signal(signal) => self.signal(signal),
            Entry::Unclaimed(received) => Line {
                under: Some(payload::shown(
                    "payload",
                    &received.payload,
                    self.settings,
                    (self.run(), received.mark.event),
                )),
                ..Line::plain(
                    html! { "signal " (theirs(&received.name)) },
                    html! { "came; nothing waits for it" },
                    Tone::Plain,
                )
            },
            Entry::Child(child) => self.child(child),
            Entry::Person(person) => self.person(person),
            Entry::Happening(happening) => happened(&happening.what),
        };
        if let Some(void) = entry.void() {
            line.tone = Tone::Faint;
            line.says = html! { (line.says) " (taken back by event " (void) ")" };
        }
        let (from, to) = extent(entry, self.now);
        let took = if from == to { String::new() } else { span(to.since(from)) };
        self.lay_out(entry.mark().event, &line, &took, &draw(&bars(entry, self.now), self.scale))
    }

    fn lay_out(&self, number: u64, line: &Line, took: &str, bar: &Markup) -> Markup {
        let words = html! {
            span.what { span.title { (line.title) } " " span class={"says " (tone(line.tone))} { (line.says) } }
            span.took.num { (took) }
            span.track { (bar) }
        };
        html! {
            div.entry {
                (html::event(self.run(), number))
                @match &line.under {
                    Some(under) => details id={"d" (number)} open[line.is_open] {
                        summary.line { (words) }
                        div.under { (under) }
                    },
                    None => div.line { (words) },
                }
            }
        }
    }

    fn step(&self, step: &Step) -> Line {
        let (what, how) = step.last().map_or(("taken back".to_owned(), Tone::Faint), attempt::outcome);
        let failed = step.attempts.iter().filter(|attempt| attempt.failure().is_some()).count();
        let spent = step.spent();
        let title = html! {
            (theirs(&step.title()))
            @if let Some(undoes) = &step.undoes {
                span.tag { "undoes " (theirs(undoes.step.as_deref().unwrap_or("an effect of the workflow's own"))) }
            }
            @if step.undone_at.is_some() { span.tag { "undone" } }
        };
        let says = html! {
            (shape(how)) " " (what)
            @if step.attempts.len() > 1 { span.faint { " · " (step.attempts.len()) " attempts, " (failed) " failed" } }
            @if let Some(gave_up) = &step.gave_up { span.bad { " · gave up: " (event::gave_up(gave_up.because)) } }
            @if spent.usage.tokens() > 0 { span.faint { " · " (amount::count(spent.usage.tokens())) " tokens" } }
            @if spent.cost.as_picos() > 0 || spent.unpriced > 0 { span.faint { " · " (html::spent(&spent)) } }
        };
        let under = html! {
            dl.facts {
                dt { "key" } dd { code { (theirs(&self.timeline.key(step))) } }
                @if let Some(target) = &step.target { dt { "target" } dd { (theirs(target)) } }
                @if let Some(queue) = &step.queue { dt { "queue" } dd { (theirs(queue)) } }
                @if let Some(undo) = &step.undo { dt { "undone by" } dd { (theirs(undo)) } }
            }
            @if let Some(input) = &step.input { (payload::shown("input", input, self.settings, (self.run(), step.asked.event))) }
            @for attempt in shown(&step.attempts) { (attempt::shown(self.run(), attempt, self.now, self.settings)) }
            @if step.attempts.len() > ATTEMPTS_MAX {
                p.faint { "and " (step.attempts.len() - ATTEMPTS_MAX) " attempts between: see the events" }
            }
            @if let Some(gave_up) = &step.gave_up {
                p.bad { "gave up after " (amount::counted(u64::from(gave_up.attempts), "attempt")) ": " (event::gave_up(gave_up.because)) " " (html::event(self.run(), gave_up.mark.event)) }
            }
        };
        let is_open = step.void.is_none() && self.timeline.end.is_some() && step.gave_up.is_some();
        Line { title, says, tone: how, under: Some(under), is_open }
    }

    fn sleep(&self, sleep: &Sleep) -> Line {
        let length = time::span(sleep.until.since(sleep.asked.at));
        match (sleep.fired, sleep.abandoned) {
            (Some(_), _) => Line::plain(html! { "sleep" }, html! { "slept " (length) }, Tone::Plain),
            (None, Some(_)) => Line::plain(html! { "sleep" }, html! { "no longer wanted" }, Tone::Faint),
            (None, None) => {
                let says = html! { (shape(Tone::Active)) " " (length) ", until " (html::age(sleep.until, self.now)) };
                Line::plain(html! { "sleep" }, says, Tone::Active)
            }
        }
    }

    fn signal(&self, signal: &Signal) -> Line {
        let title = html! { "signal " (theirs(&signal.name)) };
        let limit_over = signal.limit.and_then(|limit| limit.fired);
        match &signal.received {
            Some(received) => {
                let early = received.mark.event < signal.asked.event;
                let says = html! { (shape(Tone::Good)) @if early { " had come before" } @else { " came" } };
                let under = payload::shown(
                    "payload",
                    &received.payload,
                    self.settings,
                    (self.run(), received.mark.event),
                );
                Line { under: Some(under), ..Line::plain(title, says, Tone::Good) }
            }
            None if limit_over.is_some() => {
                Line::plain(title, html! { (shape(Tone::Bad)) " did not come in time" }, Tone::Bad)
            }
            None if signal.abandoned.is_some() => {
                Line::plain(title, html! { "no longer wanted" }, Tone::Faint)
            }
            None => {
                let limit =
                    signal.limit.map(|limit| html! { ", at the latest " (html::age(limit.until, self.now)) });
                Line::plain(
                    title,
                    html! { (shape(Tone::Active)) " waited for" @if let Some(limit) = limit { (limit) } },
                    Tone::Active,
                )
            }
        }
    }

    fn child(&self, child: &Child) -> Line {
        let short = child.run.short();
        let has_own = child.workflow_id.as_str() != child.run.to_string();
        let id = if has_own { child.workflow_id.as_str() } else { &short };
        let title = html! { "child " (theirs(&child.workflow)) " " (theirs(id)) };
        let mut output = None;
        let (says, tone) = match child.end.as_ref().map(|end| (&end.result, end.mark.event)) {
            Some((Ended::Ok(payload), event)) => {
                output = Some(payload::shown("output", payload, self.settings, (self.run(), event)));
                (html! { (shape(Tone::Good)) " completed" }, Tone::Good)
            }
            Some((Ended::Failed(failure), _)) => {
                (html! { (shape(Tone::Bad)) " " (theirs(&event::failed(failure))) }, Tone::Bad)
            }
            None if child.abandoned.is_some() => (html! { "no longer wanted" }, Tone::Faint),
            None => (html! { (shape(Tone::Active)) " goes on" }, Tone::Active),
        };
        // Links stand below: what unfolds a line is one thing to press.
        let under = html! {
            p { "run " a.run href=(link::run(child.run)) { (child.run) } }
            @if let Some(output) = output { (output) }
        };
        Line { under: Some(under), ..Line::plain(title, says, tone) }
    }

    fn person(&self, person: &Person) -> Line {
        let title = html! { "parked" @if let Some(step) = &person.step { " for " (theirs(step)) } };
        match &person.answer {
            Some(answer) => {
                let resolution =
                    answer.resolution.as_ref().map_or("taken up again".to_owned(), event::resolved);
                let says = html! { (theirs(&answer.by)) " answered: " (theirs(&resolution)) };
                let under = html! {
                    p { (event::parked(person.reason)) ": " (theirs(&person.message)) }
                    p { "answered in event " (html::event(self.run(), answer.mark.event)) }
                };
                Line { under: Some(under), ..Line::plain(title, says, Tone::Plain) }
            }
            None if person.abandoned.is_some() => {
                Line::plain(title, html! { "no longer wanted" }, Tone::Faint)
            }
            None => {
                let says = html! { "◆ " (event::parked(person.reason)) ": " (theirs(&person.message)) };
                Line::plain(title, says, Tone::Warn)
            }
        }
    }
}

/// So many attempts are shown of one step: the first few and the last.
const ATTEMPTS_MAX: usize = 40;

fn shown(
    attempts: &[midwatch_observe::timeline::Attempt],
) -> impl Iterator<Item = &midwatch_observe::timeline::Attempt> {
    let (first, last) = match attempts.len() {
        all if all <= ATTEMPTS_MAX => (all, all),
        all => (ATTEMPTS_MAX / 2, all - ATTEMPTS_MAX / 2),
    };
    attempts[..first].iter().chain(&attempts[last..])
}

fn happened(what: &What) -> Line {
    let (title, says, tone) = match what {
        What::CancelRequested { reason, by, .. } => {
            ("cancelled", format!("by {by}{}", event::colon(reason)), Tone::Warn)
        }
        What::Compensating { cause, steps } => (
            "compensating",
            format!("undoes {}, because of {}", steps.join(", "), event::failed(cause)),
            Tone::Warn,
        ),
        What::Paused { reason, by } => ("paused", format!("by {by}{}", event::colon(reason)), Tone::Warn),
        What::Resumed { by } => ("resumed", format!("by {by}"), Tone::Plain),
        What::Recovered { worker } => ("taken over", format!("by {worker}"), Tone::Warn),
        What::BudgetRaised { usd, tokens, by } => {
            let tokens =
                if *tokens > 0 { format!(" and {} tokens", amount::count(*tokens)) } else { String::new() };
            ("budget raised", format!("by {}{tokens}, {by}", amount::money(*usd)), Tone::Plain)
        }
        What::Rewound { to, by } => ("taken back", format!("to event {to} by {by}"), Tone::Warn),
        What::Patched { id } => ("patch", format!("takes the new side of {id}"), Tone::Faint),
        What::Said { text } => ("says", text.clone(), Tone::Faint),
    };
    Line::plain(html! { (title) }, theirs(&says), tone)
}

/// The shape of a tone: nothing is told by colour alone.
const fn shape(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "✓",
        Tone::Bad => "✕",
        Tone::Active => "▸",
        Tone::Warn => "◆",
        Tone::Plain | Tone::Faint => "·",
    }
}
