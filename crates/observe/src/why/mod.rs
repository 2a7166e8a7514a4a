//! The answer to "why is this run slow, stuck, expensive or failed?": one verdict, one cause, and what shows it.
//!
//! A pure function of [`Facts`]. Each family of causes is a file. Where the journal does not say, the answer is `unknown`:
//! a wrong answer at 2 a.m. costs more than none.

mod answer;
mod around;
mod case;
mod cause;
mod expensive;
mod facts;
mod failed;
mod next;
mod parked;
mod safe;
mod served;
mod slow;
mod stuck;
mod waiting;

pub use answer::{
    Affected, Also, Answer, Comparison, Evidence, Excluded, Next, Safe, SafeToRetry, TimeShare, Try,
};
pub use cause::{Cause, Verdict};
pub use expensive::MEDIANS;
pub use facts::{Facts, Gate, Owner, Relative, STALL_LIMIT, ShortAnswer};
pub use served::{Obstacle, Served};

use std::time::Duration;

use case::{Case, Finding, word};

use crate::profile::Profile;
use crate::timeline::Timeline;
use crate::words::{counted, span, usd};

/// Says why a run is as it is.
pub fn why(facts: &Facts) -> Answer {
    let Some(timeline) = Timeline::of(&facts.events) else { return no_start() };
    let profile = if facts.owner == Owner::Nobody {
        Profile::of_left(&timeline, &facts.events, facts.now)
    } else {
        Profile::of(&timeline, &facts.events, facts.now)
    };
    let case = Case { facts, timeline: &timeline, profile: &profile };
    let mut findings = findings(&case);
    let finding = findings.remove(0);
    assemble(&case, &finding, &findings)
}

/// The answer in short, for a list or for a parent's answer.
pub fn why_in_short(facts: &Facts) -> ShortAnswer {
    let answer = why(facts);
    ShortAnswer { verdict: answer.verdict, cause: answer.cause, headline: answer.headline }
}

/// What was found, the most pressing first; never empty.
///
/// What has ended badly or does not move comes before what is slow or dear; of the latter two, the one that is further
/// beyond its line. What waits rightly is not slow, but may be dear.
fn findings<'f>(case: &Case<'f>) -> Vec<Finding<'f>> {
    let pressing = failed::find(case).or_else(|| parked::find(case)).or_else(|| stuck::find(case));
    // What does not move takes longer and longer: that it is slow as well says nothing more.
    let is_still = pressing.as_ref().is_some_and(|found| found.verdict != Verdict::Failed);
    let slow = if is_still { None } else { slow::find(case) };
    let mut by_degree: Vec<Finding<'f>> = slow.into_iter().chain(expensive::find(case)).collect();
    by_degree.sort_by(|a, b| b.ratio.total_cmp(&a.ratio));
    let waits = if pressing.is_none() { stuck::waits_rightly(case) } else { None };
    let mut findings: Vec<Finding<'f>> = pressing.into_iter().collect();
    match waits {
        Some(waits) if is_patient(&waits) => {
            let (dear, slow): (Vec<_>, Vec<_>) =
                by_degree.into_iter().partition(|found| found.verdict == Verdict::Expensive);
            findings.extend(dear);
            findings.push(waits);
            findings.extend(slow);
        }
        waits => {
            findings.extend(by_degree);
            findings.extend(waits);
        }
    }
    if findings.is_empty() {
        findings.push(unremarkable(case));
    }
    findings
}

/// Waits that are the run's own plan, not trouble on the way.
fn is_patient(waits: &Finding<'_>) -> bool {
    matches!(waits.cause, Cause::Signal | Cause::Timer | Cause::Paused)
}

fn unremarkable<'f>(case: &Case<'f>) -> Finding<'f> {
    let usual = case.facts.baselines.elapsed.and_then(|usual| usual.if_enough());
    let compared = match usual {
        Some(usual) => format!("usually {}", span(usual.median)),
        None => format!("too few other runs to compare with ({})", case.facts.baselines.runs()),
    };
    let cost = case.timeline.spent.cost;
    let cost = if cost.as_picos() > 0 { format!(" and {}", usd(cost)) } else { String::new() };
    let took = span(case.profile.elapsed);
    let last = case.timeline.last.event;
    if case.timeline.end.is_some() {
        let headline = format!("completed in {took}{cost}, {compared}");
        return Finding::new(Verdict::Healthy, Cause::Completed, headline).shown_by([last], "its end");
    }
    let steps = case.timeline.steps().filter(|step| step.last().is_some_and(|last| last.end.is_some()));
    let headline = format!(
        "goes on: {} so far, {} done, last event {} ago, {compared}",
        took,
        counted(steps.count() as u64, "step"),
        span(case.silence())
    );
    Finding::new(Verdict::Healthy, Cause::Progressing, headline).shown_by([last], "its last event")
}

fn assemble(case: &Case<'_>, finding: &Finding<'_>, others: &[Finding<'_>]) -> Answer {
    let baselines = &case.facts.baselines;
    let start = &case.timeline.start;
    let mut time: Vec<TimeShare> =
        case.profile.time.iter().map(|(part, took)| TimeShare { part: *part, took: *took }).collect();
    time.sort_by_key(|share| std::cmp::Reverse(share.took));
    Answer {
        run: Some(start.run),
        workflow: start.workflow.clone(),
        workflow_id: start.workflow_id.to_string(),
        carried_out_by: case.outside(),
        verdict: finding.verdict,
        cause: finding.cause,
        headline: finding.headline.clone(),
        under: finding.under.clone(),
        evidence: finding.evidence.clone(),
        excluded: around::excluded(case, finding),
        affected: around::affected(case, finding),
        safe_to_retry: safe::judge(case, finding),
        next: next::commands(case, finding),
        elapsed: case.profile.elapsed,
        time,
        spent: case.timeline.spent,
        wasted: case.timeline.wasted,
        baseline: Comparison {
            runs: baselines.runs(),
            is_enough: baselines.elapsed.is_some_and(|usual| usual.if_enough().is_some()),
            elapsed: baselines.elapsed,
            cost: baselines.cost,
        },
        tries: tries(finding),
        also: others.iter().map(also).collect(),
    }
}

fn also(finding: &Finding<'_>) -> Also {
    Also { verdict: finding.verdict, cause: finding.cause, headline: finding.headline.clone() }
}

/// The last attempts of the step in question.
fn tries(finding: &Finding<'_>) -> Vec<Try> {
    const TRIES_MAX: usize = 12;
    let Some(step) = finding.step else { return Vec::new() };
    let ended = step
        .attempts
        .iter()
        .filter_map(|attempt| Some(Try { event: attempt.end.as_ref()?.mark.event, word: word(attempt)? }));
    let tries: Vec<Try> = ended.collect();
    tries[tries.len().saturating_sub(TRIES_MAX)..].to_vec()
}

fn no_start() -> Answer {
    Answer {
        run: None,
        workflow: String::new(),
        workflow_id: String::new(),
        carried_out_by: None,
        verdict: Verdict::Unknown,
        cause: Cause::Unknown,
        headline: "its events do not begin with its start".to_owned(),
        under: Vec::new(),
        evidence: Vec::new(),
        excluded: Vec::new(),
        affected: Affected::default(),
        safe_to_retry: SafeToRetry {
            verdict: Safe::NotApplicable,
            because: "nothing is known of it".to_owned(),
            step: None,
            key: None,
            ambiguous: Vec::new(),
        },
        next: vec![Next {
            command: "midwatch doctor".to_owned(),
            does: "check the journal for damage".to_owned(),
        }],
        elapsed: Duration::ZERO,
        time: Vec::new(),
        spent: midwatch_workflow::Spent::default(),
        wasted: midwatch_workflow::Money::ZERO,
        baseline: Comparison { runs: 0, is_enough: false, elapsed: None, cost: None },
        tries: Vec::new(),
        also: Vec::new(),
    }
}
