//! `midwatch show`.

use clap::Args;
use midwatch_journal::{Fold, RunSummary};
use midwatch_observe::Timeline;
use midwatch_workflow::event::WaitReason;
use midwatch_workflow::gate::GateView;
use midwatch_workflow::{Budget, Event, Timestamp};
use serde_json::json;

use crate::config::Global;
use crate::error::Exit;
use crate::find::find;
use crate::output::look::FAINT;
use crate::output::story::{Page, strong};
use crate::output::text::{clean, fit};
use crate::output::{Out, advice, amount, event, gate, look, time};
use crate::source::Source;

/// Show a run: what it did, step by step and attempt by attempt
#[derive(Args)]
#[command(after_help = "\
Examples:
  midwatch show order-42
  midwatch show r_1a2b3c4d --events
  midwatch show order-42 --json | jq '.timeline.entries[] | select(.kind == \"step\") | .name'

In the bars █ is an attempt that went well or is under way, ▒ one that failed, · a wait.
JSON: {\"summary\", \"timeline\"}; with --events one {\"number\", \"at\", \"event\"} a line. Everything in the timeline \
carries the number of its event. Times are microseconds since 1970, costs are pico-dollars (10⁻¹² USD).")]
pub(crate) struct Show {
    /// The run
    #[arg(value_name = "RUN")]
    run: String,
    /// Prints the numbered events as they stand in the journal
    #[arg(long)]
    events: bool,
}

impl Show {
    pub(crate) fn run(self, global: &Global, out: &mut Out) -> anyhow::Result<Exit> {
        let source = Source::open(global)?;
        let found = find(&source, &self.run)?;
        let events = source.journal().events(found.run, 0)?;
        if self.events {
            return print_events(&events, out);
        }
        // The summary in the list may trail the journal by a second; the two halves of one answer must agree.
        let summary = Fold::of(&events).map_or(found, |fold| fold.summary);
        let timeline = Timeline::of(&events).ok_or_else(|| midwatch_journal::Error::Damaged {
            what: format!("run {} does not begin with its start", summary.run),
        })?;
        if out.is_json {
            out.json(&json!({ "summary": summary, "timeline": timeline }))?;
            return Ok(Exit::Done);
        }
        let now = source.now();
        let gate = summary.target.as_deref().filter(|_| summary.held == Some(WaitReason::Gate));
        let gate = gate.and_then(|target| source.gate(target));
        for line in header(&summary, &timeline, gate.as_ref(), now, out.width_of_picture()) {
            out.line(line)?;
        }
        out.line("")?;
        for line in (Page { now, width: out.width_of_picture() }).lines(&timeline) {
            out.line(line)?;
        }
        Ok(Exit::Done)
    }
}

fn print_events(events: &[Event], out: &mut Out) -> anyhow::Result<Exit> {
    for (event, number) in events.iter().zip(1u64..) {
        if out.is_json {
            out.json(&json!({ "number": number, "at": event.at, "event": event.kind }))?;
        } else {
            let json = serde_json::to_string(&event.kind)?;
            out.line(format_args!(
                "{FAINT}{number:>5}  {}{FAINT:#}  {}",
                time::clock(event.at),
                clean(&json)
            ))?;
        }
    }
    Ok(Exit::Done)
}

fn header(
    run: &RunSummary,
    timeline: &Timeline,
    at: Option<&GateView>,
    now: Timestamp,
    width: usize,
) -> Vec<String> {
    let style = look::of(run.status);
    let title = format!("{} {}", run.workflow, run.workflow_id);
    let mut lines = vec![format!("{}  {}  {style}{}{style:#}", strong(&title), run.run.short(), run.status)];
    let mut field = |name: &str, value: String| {
        if !value.is_empty() {
            let value = clean(&value).into_owned();
            lines.push(format!("{FAINT}{name:<8}{FAINT:#}  {}", fit(&value, width.saturating_sub(10))));
        }
    };
    if let Some(person) = timeline.parked() {
        let since = time::relative(person.asked.at, now);
        field("parked", format!("{since}, {}: {}", event::parked(person.reason), person.message));
    }
    for (command, what) in advice::next(timeline) {
        field("next", format!("{command:<44}  {what}"));
    }
    if let Some(recorder) = timeline.start.recorder() {
        field("watched", format!("written down by {recorder}; midwatch does not carry it out"));
    }
    field("gate", at.map(|at| gate::line(at, now)).unwrap_or_default());
    field("says", timeline.status_text.clone().unwrap_or_default());
    field("run", run.run.to_string());
    field("time", times(run, now));
    field("spent", spent(run, timeline));
    field("budget", timeline.start.budget.as_ref().map(budget).unwrap_or_default());
    field("tenant", run.tenant.clone().unwrap_or_default());
    field(
        "parent",
        run.parent.map(|parent| format!("{} ({})", parent.run.short(), parent.op)).unwrap_or_default(),
    );
    field(
        "fork",
        run.forked_from
            .map(|fork| format!("of {} at event {}", fork.run.short(), fork.event))
            .unwrap_or_default(),
    );
    field("input", timeline.start.input.as_str().to_owned());
    lines
}

fn times(run: &RunSummary, now: Timestamp) -> String {
    let started = format!("started {}, {}", time::date(run.started_at), time::relative(run.started_at, now));
    let worker = if run.worker.is_empty() { String::new() } else { format!(", {}", run.worker) };
    match run.ended_at {
        Some(end) => format!("{started}, took {}{worker}", time::span(end.since(run.started_at))),
        None => format!("{started}{worker}"),
    }
}

fn spent(run: &RunSummary, timeline: &Timeline) -> String {
    let attempts = amount::counted(run.attempts, "attempt");
    let failed = if run.failures > 0 { format!(", {} failed", run.failures) } else { String::new() };
    let tokens = match timeline.spent.usage.tokens() {
        0 => String::new(),
        tokens => format!(" · {} tokens", amount::count(tokens)),
    };
    let cost = match amount::spent(&timeline.spent) {
        cost if cost.is_empty() => cost,
        cost if timeline.wasted.as_picos() == 0 => format!(" · {cost}"),
        cost => format!(" · {cost}, {} of it on failed attempts", amount::money(timeline.wasted)),
    };
    format!("{attempts}{failed}{tokens}{cost}")
}

fn budget(budget: &Budget) -> String {
    let usd = budget.usd.map(amount::money);
    let tokens = budget.tokens.map(|tokens| format!("{} tokens", amount::count(tokens)));
    let limits: Vec<String> = usd.into_iter().chain(tokens).collect();
    let then = match budget.on_reached {
        midwatch_workflow::OnReached::Park => "parks the run",
        midwatch_workflow::OnReached::Fail => "fails the step",
    };
    format!("{}, then {then}", limits.join(" and "))
}
