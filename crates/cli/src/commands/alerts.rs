//! `midwatch alerts`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use midwatch_inspect::{Inspector, Surveyor, gates};
use midwatch_observe::alert::{Explained, Finding, Severity, State, judge};
use midwatch_watch::alert::{DEFAULT, Outcome, Plan, Wrong, kept, test};
use serde_json::json;

use crate::commands::why::db_option;
use crate::config::Global;
use crate::error::{Error, Exit};
use crate::output::look::{BAD, FAINT, GOOD, STRONG, WARN};
use crate::output::text::clean;
use crate::output::{Out, amount, time};

/// Tell what needs somebody now, check the rules, or try out who is told
#[derive(Args)]
#[command(after_help = "\
Examples:
  midwatch alerts                                     what the rules find now
  midwatch alerts --default > alerts.toml             the default rules, to begin with
  midwatch alerts --check alerts.toml                 is the file right?
  midwatch alerts --test --rules alerts.toml          does everybody who is told answer?
  midwatch watch --rules alerts.toml                  watch, and tell

The rules are judged anew, whether or not a process watches; a rule with `for` is told as it is, without that delay. \
Addresses are never printed. docs/alerts.md describes rules, receivers and what they are sent.
Exit codes: 0 also if something fires · 1 a receiver did not answer well · 2 the rules are not right.
JSON, one line a finding: {\"rule\", \"severity\", \"subject\", \"says\", \"next\", \"why\", \"told\", \"since_us\"}; with \
--test, one line a receiver: {\"receiver\", \"kind\", \"ok\", \"answer\", \"took_ms\"}; with --check: {\"ok\", \"rules\", \
\"receivers\"} or {\"ok\", \"wrong\": [{\"line\", \"key\", \"why\"}]}.")]
pub(crate) struct Alerts {
    /// The file of rules and receivers; the default rules if there is none
    #[arg(long, value_name = "FILE", env = "MIDWATCH_ALERTS")]
    rules: Option<PathBuf>,
    /// Sends a test to every receiver, and tells what each answered
    #[arg(long, conflicts_with_all = ["check", "default"])]
    test: bool,
    /// Checks a file, and tells all that is not right by line and key
    #[arg(long, value_name = "FILE", conflicts_with = "default")]
    check: Option<PathBuf>,
    /// Prints the default rules as a file with comments
    #[arg(long)]
    default: bool,
}

/// So many findings of each rule are asked for their cause, and so many lines are printed for people.
const EXPLAINED_MAX: usize = 10;
const LINES_MAX: usize = 50;

impl Alerts {
    /// Whether it looks at the journal, and not only at rules and receivers.
    pub(super) fn reads_the_journal(&self) -> bool {
        !self.default && self.check.is_none()
    }

    pub(crate) fn run(self, global: &Global, out: &mut Out) -> anyhow::Result<Exit> {
        if self.default {
            out.raw(DEFAULT.as_bytes())?;
            return Ok(Exit::Done);
        }
        if let Some(file) = &self.check {
            return check(file, out);
        }
        let plan = plan(self.rules.as_deref())?;
        if self.test { try_out(&plan, global, out) } else { now(&plan, global, out) }
    }
}

/// Reads a file of rules, or takes the default ones.
pub(super) fn plan(file: Option<&Path>) -> anyhow::Result<Plan> {
    let Some(file) = file else { return Ok(Plan::default()) };
    parse(file)?.map_err(|wrong| {
        let lines: Vec<String> = wrong.iter().map(|wrong| format!("{}: {wrong}", file.display())).collect();
        Error::usage(lines.join("\n")).into()
    })
}

fn parse(file: &Path) -> anyhow::Result<Result<Plan, Vec<Wrong>>> {
    let read =
        std::fs::read_to_string(file).map_err(|error| Error::usage(format!("{}: {error}", file.display())));
    Ok(Plan::parse(&read?))
}

fn check(file: &Path, out: &mut Out) -> anyhow::Result<Exit> {
    match parse(file)? {
        Ok(plan) => {
            let (rules, receivers) = (plan.rules.len(), plan.receivers.len());
            if out.is_json {
                out.json(&json!({ "ok": true, "rules": rules, "receivers": receivers }))?;
            } else {
                let (rules, receivers) =
                    (amount::counted(rules as u64, "rule"), amount::counted(receivers as u64, "receiver"));
                out.line(format_args!("{GOOD}ok{GOOD:#}  {}: {rules}, {receivers}", file.display()))?;
            }
            Ok(Exit::Done)
        }
        Err(wrong) => {
            if out.is_json {
                let wrong: Vec<_> = wrong
                    .iter()
                    .map(|wrong| json!({ "line": wrong.line, "key": wrong.key, "why": wrong.why }))
                    .collect();
                out.json(&json!({ "ok": false, "wrong": wrong }))?;
            } else {
                for wrong in &wrong {
                    out.line(format_args!(
                        "{BAD}wrong{BAD:#}  {}, {}",
                        file.display(),
                        clean(&wrong.to_string())
                    ))?;
                }
            }
            Ok(Exit::Usage)
        }
    }
}

fn try_out(plan: &Plan, global: &Global, out: &mut Out) -> anyhow::Result<Exit> {
    if plan.receivers.is_empty() {
        return Err(Error::Usage {
            what: "there is nobody to be told".to_owned(),
            instead: Some(
                "name a file with a [[receiver]]: --rules FILE; midwatch alerts --default has examples"
                    .to_owned(),
            ),
        }
        .into());
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("start a runtime")?;
    let outcomes = runtime.block_on(test(&plan.receivers, &global.db));
    for outcome in &outcomes {
        tell_outcome(outcome, out)?;
    }
    let is_good = outcomes.iter().all(|outcome| outcome.answer.is_ok());
    Ok(if is_good { Exit::Done } else { Exit::Failed })
}

fn tell_outcome(outcome: &Outcome, out: &mut Out) -> std::io::Result<()> {
    let (is_ok, answer) = match &outcome.answer {
        Ok(answer) => (true, answer),
        Err(why) => (false, why),
    };
    if out.is_json {
        return out.json(&json!({
            "receiver": outcome.receiver,
            "kind": outcome.kind,
            "ok": is_ok,
            "answer": answer,
            "took_ms": outcome.took.as_millis(),
        }));
    }
    let (style, word) = if is_ok { (GOOD, "ok    ") } else { (BAD, "failed") };
    let took = time::span(outcome.took);
    let (name, answer) = (&outcome.receiver, clean(answer));
    out.line(format_args!("{style}{word}{style:#}  {name} ({}): {answer}, {took}", outcome.kind))
}

fn now(plan: &Plan, global: &Global, out: &mut Out) -> anyhow::Result<Exit> {
    let (journal, now) = (global.journal()?, global.now());
    let standing = Surveyor::default().survey(&journal, now)?;
    let mut findings = judge(&plan.rules, &standing);
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let known = kept(&global.db)?.unwrap_or_default();
    let inspector = Inspector::new(&journal, now, standing.owner.clone()).with_gates(gates(&global.db));
    let db = db_option(global);
    let mut asked = std::collections::HashMap::<&str, usize>::new();
    for (n, finding) in findings.iter().enumerate() {
        let asked = asked.entry(finding.rule.as_str()).or_default();
        let run = finding.subject.run().filter(|_| *asked < EXPLAINED_MAX);
        *asked += 1;
        if !out.is_json && n >= LINES_MAX {
            continue;
        }
        let why = run.map(|run| inspector.why(run)).transpose()?.map(Explained::from);
        tell(finding, why.as_ref(), &known, &db, out)?;
    }
    if out.is_json {
        return Ok(Exit::Done);
    }
    if findings.is_empty() {
        let rules = amount::counted(plan.rules.len() as u64, "rule");
        out.line(format_args!("{GOOD}nothing needs anybody{GOOD:#} {FAINT}({rules}){FAINT:#}"))?;
    }
    if let more @ 1.. = findings.len().saturating_sub(LINES_MAX) {
        out.line(format_args!("{FAINT}and {more} more: --json{FAINT:#}"))?;
    }
    Ok(Exit::Done)
}

fn tell(
    finding: &Finding,
    why: Option<&Explained>,
    known: &State,
    db: &str,
    out: &mut Out,
) -> std::io::Result<()> {
    let best = why.and_then(|why| why.next.first());
    let next = format!("{}{db}", best.unwrap_or(&finding.next));
    if out.is_json {
        return out.json(&json!({
            "rule": finding.rule,
            "severity": finding.severity,
            "subject": finding.subject,
            "says": finding.says,
            "next": next,
            "why": why,
            "told": known.is_told(finding),
            "since_us": known.since(finding).map(|since| since.as_micros()),
        }));
    }
    let style = if finding.severity == Severity::Critical { BAD } else { WARN };
    let told = if known.is_told(finding) { " (told)" } else { "" };
    out.line(format_args!(
        "{style}{:<8}{style:#}  {STRONG}{}{STRONG:#}  {}{FAINT}{told}{FAINT:#}",
        finding.severity,
        finding.rule,
        clean(&finding.says)
    ))?;
    if let Some(why) = why {
        let (verdict, headline) = (why.verdict.to_uppercase(), clean(&why.headline));
        out.line(format_args!("{:10}{verdict} · {}: {headline}", "", why.cause))?;
    }
    out.line(format_args!("{:10}{FAINT}next{FAINT:#}  {}", "", clean(&next)))
}
