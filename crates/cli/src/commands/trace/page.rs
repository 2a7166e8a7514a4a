//! A trace on a page: the spans as a tree, each to scale.

use midwatch_journal::RunSummary;
use midwatch_observe::trace::{Kind, Node, Span, State, Value, semconv, tree};

use super::family::Family;
use crate::output::bar::{Scale, Stretch};
use crate::output::look::{ACTIVE, BAD, FAINT, GOOD, PLAIN, STRONG};
use crate::output::text::{clean, fit, width};
use crate::output::{amount, time};

/// The part of a line that durations take.
const TOOK: usize = 8;
/// The least and the most that bars take.
const BAR: (usize, usize) = (10, 40);

/// The lines of a page.
pub(super) fn lines(run: &RunSummary, family: &Family, room: usize) -> Vec<String> {
    let nodes = tree(&family.spans);
    let from = nodes.iter().map(|node| node.span.start).min().unwrap_or_default();
    let to = nodes.iter().map(|node| node.span.end).max().unwrap_or_default();
    let trace = family.spans.first().map(|span| span.trace).unwrap_or_default();
    let cut = if family.is_cut { "; more runs belong to it" } else { "" };
    let spans = amount::counted(nodes.len() as u64, "span");
    let runs = if family.runs > 1 { format!(" of {} runs", family.runs) } else { String::new() };
    let mut lines = vec![
        format!(
            "{STRONG}{} {}{STRONG:#}  {}  {}",
            clean(&run.workflow),
            clean(run.workflow_id.as_str()),
            run.run.short(),
            run.status
        ),
        format!("{FAINT}trace{FAINT:#} {:032x}  {spans}{runs}{cut}", u128::from_be_bytes(trace)),
        String::new(),
    ];
    let titles: Vec<String> = branches(&nodes).iter().zip(&nodes).map(|(b, n)| title(b, n.span)).collect();
    let widest = titles.iter().map(|title| width(title)).max().unwrap_or(0);
    let column = widest.min(room.saturating_sub(TOOK + BAR.0 + 4));
    let scale = Scale { from, to, columns: room.saturating_sub(column + TOOK + 4).clamp(BAR.0, BAR.1) };
    for (title, node) in titles.iter().zip(&nodes) {
        lines.push(line(title, node.span, column, scale));
    }
    lines
}

fn line(title: &str, span: &Span, column: usize, scale: Scale) -> String {
    let title = fit(title, column);
    let space = " ".repeat(column.saturating_sub(width(&title)));
    let (style, glyph) = look(span);
    let took = time::span(span.end.since(span.start));
    let stretch = Stretch { from: span.start, to: span.end, glyph, style };
    let line = format!("{style}{title}{style:#}{space}  {took:>TOOK$}  {}", scale.draw(&[stretch]));
    line.trim_end().to_owned()
}

fn look(span: &Span) -> (anstyle::Style, char) {
    let is_wait = matches!(
        span.kind,
        Kind::Held | Kind::RetryWait | Kind::Sleep | Kind::Signal | Kind::Parked | Kind::Child | Kind::Paused
    );
    match (&span.state, is_wait) {
        (State::Failed(_), _) => (BAD, '▒'),
        (_, true) => (FAINT, '·'),
        (State::Open, _) => (ACTIVE, '█'),
        (State::Ok, _) => (GOOD, '█'),
        (State::Over, _) => (PLAIN, '▒'),
    }
}

/// What stands before each node: which of those above it go on below.
fn branches(nodes: &[Node<'_>]) -> Vec<String> {
    let mut goes_on: Vec<bool> = Vec::new();
    let mut branches = Vec::with_capacity(nodes.len());
    for node in nodes {
        goes_on.truncate(node.depth);
        let above = goes_on.iter().skip(1).map(|goes_on| if *goes_on { "│  " } else { "   " });
        let mut branch: String = above.collect();
        if node.depth > 0 {
            branch.push_str(if node.is_last { "└─ " } else { "├─ " });
        }
        goes_on.push(!node.is_last);
        branches.push(branch);
    }
    branches
}

fn title(branch: &str, span: &Span) -> String {
    let mut words = vec![clean(&span.name).into_owned()];
    match span.kind {
        Kind::Step => {
            words.extend(int(span, semconv::NTH).filter(|nth| *nth > 1).map(|nth| format!("#{nth}")))
        }
        Kind::Attempt => words.extend(int(span, semconv::ATTEMPT).map(|attempt| attempt.to_string())),
        Kind::RetryWait | Kind::Parked => words.extend(text(span, semconv::BECAUSE).map(str::to_owned)),
        _ => {}
    }
    words.extend(text(span, semconv::ERROR_TYPE).filter(|_| span.kind != Kind::Step).map(str::to_owned));
    words.extend(int(span, semconv::HTTP_STATUS).map(|status| status.to_string()));
    let tokens = int(span, semconv::LLM_TOKENS).or_else(|| int(span, semconv::RUN_TOKENS));
    words.extend(
        tokens.filter(|tokens| *tokens > 0).map(|tokens| format!("{} tokens", amount::count(tokens))),
    );
    let cost = float(span, semconv::LLM_COST).or_else(|| float(span, semconv::RUN_COST));
    words.extend(cost.filter(|cost| *cost > 0.0).map(|cost| format!("${}", dollars(cost))));
    if span.state == State::Open {
        words.push("…".to_owned());
    }
    format!("{branch}{}", words.join(" "))
}

/// As exact as a page needs; the attributes are in the JSON.
fn dollars(cost: f64) -> String {
    if cost >= 0.01 { format!("{cost:.2}") } else { format!("{cost:.5}") }
}

fn int(span: &Span, name: &str) -> Option<u64> {
    match span.attribute(name) {
        Some(Value::Int(number)) => u64::try_from(*number).ok(),
        _ => None,
    }
}

fn float(span: &Span, name: &str) -> Option<f64> {
    match span.attribute(name) {
        Some(Value::Float(number)) => Some(*number),
        _ => None,
    }
}

fn text<'s>(span: &'s Span, name: &str) -> Option<&'s str> {
    match span.attribute(name) {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    }
}
