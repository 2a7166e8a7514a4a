//! The summary as people read it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use midwatch_workflow::Money;

use super::plan::Model;
use super::summary::Summary;
use crate::output::Out;
use crate::output::amount::{count, money};
use crate::output::look::{BAD, FAINT, GOOD, STRONG};
use crate::output::time::span;

/// Where the two sides do not fit together, so many are shown; all are in the JSON.
const SHOWN_MAX: usize = 10;

/// Whose bill is in the ledger.
const PLAYED: &str = Model::Played.provider();

/// Prints the page.
pub(super) fn print(summary: &Summary, db: &Path, out: &mut Out) -> io::Result<()> {
    let took = span(Duration::from_secs_f64(summary.seconds));
    let kills = match summary.kills {
        0 => String::new(),
        1 => ", through 1 kill -9 of their process".to_owned(),
        kills => format!(", through {kills} kill -9 of their process"),
    };
    out.line(format!("{STRONG}{} runs in {took}{kills}{STRONG:#}", count(summary.runs as u64)))?;
    out.line("")?;
    for (name, value, note) in rows(summary) {
        let note = if note.is_empty() { note } else { format!("  {FAINT}{note}{FAINT:#}") };
        out.line(format!("  {name:<12}{value:>9}{note}"))?;
    }
    out.line("")?;
    verdict(summary, out)?;
    out.line("")?;
    next(summary, db, out)
}

fn rows(summary: &Summary) -> Vec<(&'static str, String, String)> {
    let number = |number: usize| count(number as u64);
    let mut rows = vec![
        ("completed", number(summary.completed), "each effect once, none undone".to_owned()),
        (
            "compensated",
            number(summary.compensated),
            format!("{} effects undone", count(summary.effects_undone)),
        ),
        ("failed", number(summary.failed), "nothing to undo".to_owned()),
        ("lost", number(summary.lost), String::new()),
        ("attempts", count(summary.attempts), failures(&summary.attempts_by_class)),
        ("effects", count(summary.effects), format!("done twice: {}", summary.effects_done_twice)),
        ("signals", count(u64::from(summary.signals)), "an editor's answers".to_owned()),
    ];
    if summary.operator_retries > 0 {
        let note = "compensations that failed for good".to_owned();
        rows.push(("retried", count(u64::from(summary.operator_retries)), note));
    }
    if summary.model != PLAYED {
        let note = format!("of the agent's calls to {}; its bill is not here to compare", summary.model);
        rows.push(("booked", usd(summary.usd_not_compared), note));
        return rows;
    }
    rows.push(("booked", count(summary.tokens_booked), booked(summary)));
    if summary.attempts_unknown > 0 {
        rows.push(("unknown", format!("≤ {}", count(summary.tokens_unknown_bound)), unknown(summary)));
    }
    rows.push(("billed", count(summary.tokens_billed), format!("tokens, {}", usd(summary.usd_billed))));
    rows
}

fn booked(summary: &Summary) -> String {
    let estimated = match summary.tokens_estimated {
        0 => String::new(),
        tokens => {
            let billed = count(summary.tokens_billed_estimated);
            format!("; {} of them counted along streams that broke, {billed} billed for those", count(tokens))
        }
    };
    format!("tokens, {}{estimated}", usd(summary.usd_booked))
}

fn unknown(summary: &Summary) -> String {
    format!(
        "tokens, ≤ {}, of {} calls that were killed or never answered; {} were billed for them",
        usd(summary.usd_unknown_bound),
        count(summary.attempts_unknown),
        count(summary.tokens_billed_unknown),
    )
}

/// `412 failed: rate_limited 120 · connection 88`.
fn failures(by_class: &BTreeMap<String, u64>) -> String {
    let mut classes: Vec<_> = by_class.iter().filter(|(class, _)| *class != "ok").collect();
    classes.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let sum: u64 = classes.iter().map(|(_, count)| **count).sum();
    let named: Vec<_> =
        classes.iter().map(|(class, number)| format!("{class} {}", count(**number))).collect();
    match sum {
        0 => "none failed".to_owned(),
        sum => format!("{} failed: {}", count(sum), named.join(" · ")),
    }
}

fn usd(usd: f64) -> String {
    format!("{:.12}", usd).parse::<Money>().map_or_else(|_| "?".to_owned(), money)
}

fn verdict(summary: &Summary, out: &mut Out) -> io::Result<()> {
    if summary.agree {
        let what =
            if summary.model == PLAYED { "The books and the effects agree." } else { "The effects agree." };
        return out.line(format!("{GOOD}{what}{GOOD:#}"));
    }
    out.line(format!("{BAD}They do not agree (seed {}).{BAD:#}", summary.seed))?;
    for disagreement in summary.disagreements.iter().take(SHOWN_MAX) {
        out.line(format!("  {disagreement}"))?;
    }
    match summary.disagreements.len().saturating_sub(SHOWN_MAX) {
        0 => Ok(()),
        more => out.line(format!("  and {more} more: see --json")),
    }
}

fn next(summary: &Summary, db: &Path, out: &mut Out) -> io::Result<()> {
    let at = match db == Path::new("midwatch.db") {
        true => String::new(),
        false => format!(" --db {}", db.display()),
    };
    let run = |nth: usize| summary.worth_a_look.get(nth).or(summary.worth_a_look.first());
    out.line(format!("  midwatch ls{at}"))?;
    if let Some(run) = run(0) {
        out.line(format!("  midwatch show {run}{at}"))?;
    }
    if let Some(run) = run(1) {
        out.line(format!("  midwatch tail {run}{at}"))?;
    }
    Ok(())
}
