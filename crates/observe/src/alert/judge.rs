//! Which rules hold, and for what.

use std::collections::BTreeMap;
use std::time::Duration;

use midwatch_workflow::event::WaitReason;
use midwatch_workflow::gate::HeldBy;
use midwatch_workflow::{Money, ParkReason};

use super::rule::{Finding, Rule, Subject, Test};
use crate::run::{Run, Status};
use crate::stall::StallKind;
use crate::standing::{BudgetUse, Standing, closed};
use crate::why::Owner;
use crate::words::{counted, percent, shell, span, times as ratio, usd};

/// A rule holds for so many things at most; more of the same say nothing new.
pub const FINDINGS_MAX: usize = 1_000;

/// Finds what the rules are about.
pub fn judge(rules: &[Rule], standing: &Standing) -> Vec<Finding> {
    let mut findings = Vec::new();
    for rule in rules {
        let wants = |workflow: &str| rule.workflow.as_deref().is_none_or(|wanted| wanted == workflow);
        let found = holds(rule, standing).into_iter();
        let found =
            found.filter(|(subject, ..)| rule.workflow.is_none() || subject.workflow().is_some_and(wants));
        findings.extend(found.take(FINDINGS_MAX).map(|(subject, says, next)| Finding {
            rule: rule.name.clone(),
            severity: rule.severity,
            subject,
            says,
            next,
        }));
    }
    findings
}

/// What a rule holds for, what is so, and the command that tells more.
type Held = Vec<(Subject, String, String)>;

fn holds(rule: &Rule, standing: &Standing) -> Held {
    match rule.test {
        Test::RunCost { times, least } => run_cost(standing, times, least),
        Test::NoProgress { limit } => no_progress(standing, limit),
        Test::ScheduleToStart { limit } => schedule_to_start(standing, limit),
        Test::WasteShare { share, least } => waste_share(standing, share, least),
        Test::Budget { share } => budget(standing, share),
        Test::Parked => parked(standing, |reason| reason != ParkReason::CompensationFailed),
        Test::CompensationFailed => parked(standing, |reason| reason == ParkReason::CompensationFailed),
        Test::TargetDown => target_down(standing),
        Test::NoOwner => no_owner(standing),
    }
}

fn about(run: &Run, says: &str) -> (Subject, String, String) {
    let subject = Subject::Run { run: run.run, workflow: run.workflow.clone() };
    (subject, format!("{} {} {says}", run.workflow, run.run.short()), why(run))
}

fn why(run: &Run) -> String {
    format!("midwatch why {}", run.run.short())
}

fn run_cost(standing: &Standing, times: f64, least: Money) -> Held {
    let found = standing.beyond(times).filter(|beyond| beyond.run.spent.cost >= least);
    found
        .map(|beyond| {
            let (cost, median) = (beyond.run.spent.cost, beyond.median);
            let many = ratio(cost.as_usd(), median.as_usd());
            about(beyond.run, &format!("has cost {}, {many} the median of {}", usd(cost), usd(median)))
        })
        .collect()
}

fn no_progress(standing: &Standing, limit: Duration) -> Held {
    let says = |stall: &crate::stall::Stall| match stall.kind {
        StallKind::Silent => format!("has said nothing for {} (limit {})", span(stall.since), span(limit)),
        StallKind::Overdue => format!("waits for a timer that was due {} ago", span(stall.since)),
    };
    standing.stalls(limit).iter().map(|stall| about(&stall.run, &says(stall))).collect()
}

fn schedule_to_start(standing: &Standing, limit: Duration) -> Held {
    let is_active = |run: &&Run| matches!(run.status, Status::Running | Status::Compensating);
    let mut held = Vec::new();
    for run in standing.quiet.iter().filter(is_active) {
        let at = match run.held {
            Some(WaitReason::Queue) => {
                run.queue.as_ref().map_or("its queue".to_owned(), |queue| format!("queue {queue}"))
            }
            Some(WaitReason::Gate) => {
                run.target.as_ref().map_or("its gate".to_owned(), |target| format!("the gate of {target}"))
            }
            Some(WaitReason::Code) => "a process that has its code".to_owned(),
            Some(WaitReason::Paused | WaitReason::Stopping) | None => continue,
        };
        let waited = standing.now.since(run.updated_at);
        if waited >= limit {
            held.push(about(run, &format!("has waited {} for {at} (limit {})", span(waited), span(limit))));
        }
    }
    held
}

fn waste_share(standing: &Standing, share: f64, least: Money) -> Held {
    let mut spent: BTreeMap<&str, (Money, Money)> = BTreeMap::new();
    for run in &standing.spenders {
        let (cost, wasted) = spent.entry(run.workflow.as_str()).or_default();
        *cost += run.spent.cost;
        *wasted += run.wasted;
    }
    let beyond =
        |(cost, wasted): &(Money, Money)| *wasted >= least && wasted.as_usd() >= cost.as_usd() * share;
    spent
        .into_iter()
        .filter(|(_, figures)| beyond(figures))
        .map(|(workflow, (cost, wasted))| {
            let says = format!(
                "{workflow} spent {} on failed attempts, {} of {}, in runs that are open or ended within {}",
                usd(wasted),
                percent(wasted.as_usd(), cost.as_usd()),
                usd(cost),
                span(standing.lately)
            );
            let next = format!("midwatch cost --workflow {} --by step", shell(workflow));
            (Subject::Workflow(workflow.to_owned()), says, next)
        })
        .collect()
}

fn budget(standing: &Standing, share: f64) -> Held {
    // Once the run is parked for it, that is what is told.
    let is_parked = |used: &BudgetUse| standing.parked.iter().any(|run| run.run == used.run);
    let found = standing.budgets.iter().filter(|used| used.share >= share && !is_parked(used));
    found
        .map(|used| {
            let subject = Subject::Run { run: used.run, workflow: used.workflow.clone() };
            let spent = percent(used.share, 1.0);
            let says = format!("{} {} has spent {spent} of its budget", used.workflow, used.run.short());
            (subject, says, format!("midwatch why {}", used.run.short()))
        })
        .collect()
}

fn parked(standing: &Standing, wanted: impl Fn(ParkReason) -> bool) -> Held {
    let reason = |run: &Run| run.parked.filter(|reason| wanted(*reason));
    let found = standing.parked.iter().filter_map(|run| Some((run, reason(run)?)));
    found
        .map(|(run, reason)| {
            let since = span(standing.now.since(run.updated_at));
            about(run, &format!("has been parked for {since}: {}", words(reason)))
        })
        .collect()
}

fn words(reason: ParkReason) -> &'static str {
    match reason {
        ParkReason::Budget => "a budget is reached",
        ParkReason::CompensationFailed => "a compensation failed for good, those before it are still to do",
        ParkReason::ReplayedFailure => "a receiver replays an old failure for the step's key",
        ParkReason::Mismatch => "code and journal disagree",
        ParkReason::Panicked => "the workflow's code panicked",
        ParkReason::Stray => "the workflow awaits something that is no operation",
        ParkReason::NoCode => "no process has code for it",
    }
}

fn target_down(standing: &Standing) -> Held {
    let is_down =
        |gate: &&midwatch_workflow::gate::GateView| closed(gate, standing.now) == Some(HeldBy::Circuit);
    let found = standing.gates.iter().filter(is_down);
    found
        .map(|gate| {
            let waiting = counted(gate.waiting as u64, "attempt");
            let says = format!(
                "{} counts as down after {} in a row; {waiting} at its gate",
                gate.target,
                counted(u64::from(gate.state.failures), "failure")
            );
            (Subject::Target(gate.target.to_string()), says, "midwatch why --worst".to_owned())
        })
        .collect()
}

fn no_owner(standing: &Standing) -> Held {
    let runs = standing.work();
    if standing.owner != Owner::Nobody || runs == 0 {
        return Vec::new();
    }
    let says = format!("no process owns the journal: {} cannot go on", counted(runs, "open run"));
    vec![(Subject::Journal, says, "midwatch doctor".to_owned())]
}

#[cfg(test)]
mod tests {
    use midwatch_workflow::gate::{GateClosed, GateView};
    use midwatch_workflow::{Gate, GatePolicy, Timestamp};

    use super::super::rule::Severity;
    use super::*;
    use crate::baseline::Spread;
    use crate::corpus::{Tale, World};

    const MINUTE: Duration = Duration::from_secs(60);

    fn rule(test: Test) -> Rule {
        let name = test.as_str().to_owned();
        Rule { name, test, severity: Severity::Warning, workflow: None, after: Duration::ZERO }
    }

    fn run(n: u64, change: impl FnOnce(&mut Run)) -> Run {
        let mut run = Tale::begin(World::of(0), n).row(Status::Running);
        change(&mut run);
        run
    }

    /// How a journal stands in which this run has been quiet for ten minutes.
    fn quiet(change: impl FnOnce(&mut Run)) -> Standing {
        let run = run(1, change);
        Standing { quiet: vec![run.clone()], ..Standing::new(run.updated_at + 10 * MINUTE) }
    }

    fn says(test: Test, standing: &Standing) -> Vec<String> {
        judge(&[rule(test)], standing).into_iter().map(|finding| finding.says).collect()
    }

    #[test]
    fn a_silent_run_is_found_from_its_limit_on_and_one_that_waits_rightly_is_not() {
        let test = |limit| Test::NoProgress { limit };
        let silent = quiet(|_| {});
        assert!(says(test(10 * MINUTE), &silent)[0].ends_with("has said nothing for 10m00s (limit 10m00s)"));
        assert!(says(test(11 * MINUTE), &silent).is_empty());
        assert!(says(test(MINUTE), &quiet(|run| run.held = Some(WaitReason::Gate))).is_empty());
    }

    #[test]
    fn an_attempt_that_cannot_start_is_found_with_what_it_waits_for() {
        let test = Test::ScheduleToStart { limit: 5 * MINUTE };
        let queued = quiet(|run| {
            run.held = Some(WaitReason::Queue);
            run.queue = Some("llm".to_owned());
        });
        assert!(says(test, &queued)[0].ends_with("has waited 10m00s for queue llm (limit 5m00s)"));
        assert!(says(test, &quiet(|_| {})).is_empty());
        assert!(says(test, &quiet(|run| run.held = Some(WaitReason::Paused))).is_empty());
    }

    fn spent(cost: [u64; 2], wasted: u64) -> Standing {
        let cents = Money::from_cents;
        let runs = cost.into_iter().zip(1..).map(|(cost, n)| {
            run(n, |run| {
                run.spent.cost = cents(cost);
                run.wasted = cents(wasted);
            })
        });
        let usual = Spread { n: 9, median: cents(10), p95: cents(20) };
        Standing {
            spenders: runs.collect(),
            usual: [("research".to_owned(), usual)].into(),
            ..Standing::new(Timestamp::from_micros(0))
        }
    }

    #[test]
    fn a_run_beyond_so_many_medians_is_found_if_it_is_worth_a_word() {
        let test = |least| Test::RunCost { times: 3.0, least: Money::from_cents(least) };
        let found = says(test(0), &spent([30, 78], 0));
        assert_eq!(found.len(), 1);
        assert!(found[0].ends_with("has cost $0.78, 7.8× the median of $0.10"), "{found:?}");
        assert!(says(test(100), &spent([30, 78], 0)).is_empty());
    }

    #[test]
    fn waste_is_added_up_by_workflow() {
        let test = |share| Test::WasteShare { share, least: Money::from_cents(40) };
        let found = says(test(0.3), &spent([50, 50], 20));
        assert!(found[0].starts_with("research spent $0.40 on failed attempts, 40% of $1.00"), "{found:?}");
        assert!(says(test(0.5), &spent([50, 50], 20)).is_empty());
        assert!(says(test(0.3), &spent([50, 50], 19)).is_empty(), "less than is worth a word");
    }

    #[test]
    fn a_failed_compensation_is_told_by_its_own_rule_alone() {
        let parked = |reason| {
            let run = run(1, |run| run.parked = Some(reason));
            Standing { parked: vec![run.clone()], ..Standing::new(run.updated_at) }
        };
        let (undo, budget) = (parked(ParkReason::CompensationFailed), parked(ParkReason::Budget));
        let count = |test, standing| says(test, standing).len();
        assert_eq!((count(Test::CompensationFailed, &undo), count(Test::Parked, &undo)), (1, 0));
        assert_eq!((count(Test::CompensationFailed, &budget), count(Test::Parked, &budget)), (0, 1));
    }

    #[test]
    fn a_target_is_down_while_its_circuit_is_open_and_not_for_a_cool_down() {
        let now = Timestamp::from_micros(1_790_000_000_000_000);
        let gate = |because| {
            let mut state = Gate::new(GatePolicy::default(), 1, now).state(now);
            state.closed = Some(GateClosed { until: now + MINUTE, because });
            let gates = vec![GateView { target: "stripe".into(), waiting: 3, state }];
            Standing { gates, ..Standing::new(now) }
        };
        assert_eq!(says(Test::TargetDown, &gate(HeldBy::Circuit)).len(), 1);
        assert!(says(Test::TargetDown, &gate(HeldBy::CoolDown)).is_empty());
        let later = Standing { now: now + 10 * MINUTE, ..gate(HeldBy::Circuit) };
        assert!(says(Test::TargetDown, &later).is_empty(), "an old word of a process that is gone");
    }

    #[test]
    fn nobody_is_missed_while_all_runs_wait_for_people() {
        let standing = |status| Standing {
            open: vec![("research".to_owned(), status, 2)],
            ..Standing::new(Timestamp::from_micros(0))
        };
        assert_eq!(says(Test::NoOwner, &standing(Status::Waiting)).len(), 1);
        assert!(says(Test::NoOwner, &standing(Status::Parked)).is_empty());
    }

    #[test]
    fn a_rule_for_one_workflow_finds_nothing_else() {
        let mut rule = rule(Test::NoProgress { limit: MINUTE });
        rule.workflow = Some("research".to_owned());
        assert_eq!(judge(std::slice::from_ref(&rule), &quiet(|_| {})).len(), 1);
        rule.workflow = Some("checkout".to_owned());
        assert!(judge(&[rule], &quiet(|_| {})).is_empty());
    }
}
