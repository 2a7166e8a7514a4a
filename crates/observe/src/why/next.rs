//! What to do now: commands that work as they stand.

use midwatch_workflow::{Money, ParkReason, RunResult};

use super::answer::Next;
use super::case::{Case, Finding, Open, argument};
use super::{Cause, Verdict};
use crate::timeline::{Entry, Person};
use crate::words::shell;

/// Gives the commands, the likeliest first.
pub(super) fn commands(case: &Case<'_>, finding: &Finding<'_>) -> Vec<Next> {
    let run = case.short();
    if let Some(outside) = case.outside() {
        return for_watched(case, finding, &run, outside);
    }
    let mut next = match (&case.timeline.end, case.timeline.parked()) {
        (None, Some(person)) => for_parked(case, &run, person),
        (None, None) => for_open(case, finding, &run),
        (Some(_), _) => for_ended(case, finding, &run),
    };
    if next.is_empty() {
        next.push(command(format!("midwatch show {run}"), "see it step by step"));
    }
    next
}

/// Of a run that others carry out nothing can be stopped or tried again from here: what helps is to look, and to turn to them.
fn for_watched(case: &Case<'_>, finding: &Finding<'_>, run: &str, outside: &str) -> Vec<Next> {
    let open = case.open();
    let look = |does: String| command(format!("midwatch show {run}"), does);
    match (&case.timeline.end, finding.cause) {
        (None, Cause::ProcessLost | Cause::LockHeld) => vec![command(
            "midwatch doctor",
            "see who owns the journal; start what writes this run down again, and it books what was under way as lost",
        )],
        (None, Cause::ChildStuck | Cause::SlowChild | Cause::Child) => {
            let mut next = children(&open);
            next.push(look(format!("midwatch only watches it: {outside} can stop it")));
            next
        }
        (None, _) if finding.verdict == Verdict::Healthy => {
            vec![command(format!("midwatch tail {run}"), "follow it")]
        }
        (None, _) => vec![
            look(format!("see what it does; midwatch only watches it: {outside} can stop it or try again")),
            command(format!("midwatch tail {run}"), "follow it"),
        ],
        (Some(_), Cause::ChildFailed) => ended_child(case),
        (Some(end), _) if matches!(end.result, RunResult::Failed { .. }) => {
            vec![look(format!("see what was tried; midwatch only watches it: {outside} can try again"))]
        }
        (Some(_), _) => vec![look("see it step by step".to_owned())],
    }
}

fn command(command: impl Into<String>, does: impl Into<String>) -> Next {
    Next { command: command.into(), does: does.into() }
}

fn for_parked(case: &Case<'_>, run: &str, person: &Person) -> Vec<Next> {
    let step = person.step.as_ref().map(|step| format!(" {}", shell(step))).unwrap_or_default();
    let resolve = |answer: &str, does: &str| command(format!("midwatch resolve {run}{step} {answer}"), does);
    match person.reason {
        ParkReason::Budget => vec![
            command(
                format!("midwatch budget {run} {}", more(case)),
                "raise the budget by as much again, and go on",
            ),
            resolve("--fail", "give the step up and undo what was done"),
        ],
        ParkReason::CompensationFailed => vec![
            resolve("--retry", "try the compensation again"),
            resolve("--done", "it was undone by hand"),
            resolve("--fail", "leave it, and undo the rest"),
        ],
        ParkReason::ReplayedFailure => vec![
            resolve("--done", "the receiver did it"),
            resolve("--fail", "the receiver did not do it: go on as failed"),
        ],
        ParkReason::Mismatch | ParkReason::Panicked | ParkReason::Stray | ParkReason::NoCode => {
            vec![command(format!("midwatch retry {run}"), "go on, once a process with the right code runs")]
        }
    }
}

/// By how much a reached budget is raised: by itself.
fn more(case: &Case<'_>) -> String {
    let budget = case.timeline.start.budget;
    match (budget.and_then(|budget| budget.usd), budget.and_then(|budget| budget.tokens)) {
        (None, Some(tokens)) => format!("--tokens {tokens}"),
        (Some(usd), _) if usd > Money::ZERO => format!("--add {}", usd.to_string().trim_start_matches('$')),
        _ => "--add 1".to_owned(),
    }
}

fn for_open(case: &Case<'_>, finding: &Finding<'_>, run: &str) -> Vec<Next> {
    let cancel = command(format!("midwatch cancel {run}"), "stop it, and undo what was done");
    let pause = command(format!("midwatch pause {run}"), "hold it: no further attempt starts");
    let open = case.open();
    match finding.cause {
        Cause::Paused => vec![command(format!("midwatch resume {run}"), "let it go on")],
        Cause::StepSilent => vec![
            command(
                "midwatch doctor",
                "check the process; if it is restarted, the attempt is tried again under the same key",
            ),
            cancel,
        ],
        Cause::ProcessLost => {
            vec![command(
                "midwatch doctor",
                "see who owns the journal; start a process with this workflow, it takes the run up by itself",
            )]
        }
        Cause::LockHeld => vec![command(
            "midwatch doctor",
            "see which process holds the journal; stop it, and start the right one",
        )],
        Cause::ChildStuck | Cause::SlowChild | Cause::Child => children(&open),
        Cause::SignalNeverCame | Cause::Signal | Cause::LateSignal => {
            let mut next: Vec<Next> = signals(&open, run);
            next.extend((finding.cause == Cause::SignalNeverCame).then_some(cancel));
            next
        }
        _ if open.iter().any(|open| matches!(open, Open::Retry(..)))
            && finding.verdict != Verdict::Expensive =>
        {
            let mut next = vec![command(format!("midwatch retry {run} --now"), "end the wait and try now")];
            next.extend((finding.verdict != Verdict::Waiting).then_some(pause));
            next
        }
        _ if finding.verdict == Verdict::Expensive => vec![pause, cancel],
        Cause::TimerFarAway | Cause::GateClosedLong | Cause::QueueStarved => {
            vec![command("midwatch doctor", "check the journal and its process"), cancel]
        }
        _ => vec![command(format!("midwatch tail {run}"), "follow it")],
    }
}

fn children(open: &[Open<'_>]) -> Vec<Next> {
    let child = open.iter().find_map(|open| match open {
        Open::Child(child) => {
            Some(command(format!("midwatch why {}", child.run.short()), "ask the same of the child"))
        }
        _ => None,
    });
    child.into_iter().collect()
}

fn signals(open: &[Open<'_>], run: &str) -> Vec<Next> {
    let send = |open: &Open<'_>| match open {
        Open::Signal(signal) => Some(command(
            format!("midwatch signal {run} {}", shell(&signal.name)),
            "send what it waits for (JSON may follow)",
        )),
        _ => None,
    };
    open.iter().filter_map(send).collect()
}

fn ended_child(case: &Case<'_>) -> Vec<Next> {
    let child = case.timeline.entries.iter().rev().find_map(|entry| match entry {
        Entry::Child(child) if child.end.is_some() => Some(child.run.short()),
        _ => None,
    });
    let ask = |child| command(format!("midwatch why {child}"), "ask the same of the child");
    child.map(ask).into_iter().collect()
}

fn for_ended(case: &Case<'_>, finding: &Finding<'_>, run: &str) -> Vec<Next> {
    let Some(RunResult::Failed { compensated, failure, .. }) =
        case.timeline.end.as_ref().map(|end| &end.result)
    else {
        return vec![command(format!("midwatch show {run}"), "see it step by step")];
    };
    if finding.cause == Cause::ChildFailed {
        return ended_child(case);
    }
    if finding.cause == Cause::EndedByServer {
        let does = "see what was done and not undone: that is left to you; start another run to go on";
        return vec![command(format!("midwatch show {run}"), does)];
    }
    let mut next = Vec::new();
    let gave_up = case.timeline.steps().any(|step| step.gave_up.is_some() && step.void.is_none());
    if *compensated == 0 && gave_up && failure.class != midwatch_workflow::Class::Cancelled {
        let when = if failure.class.is_retried() { "" } else { ", once what it failed for is mended" };
        next.push(command(format!("midwatch retry {run}"), format!("go on from the step that failed{when}")));
    }
    let step = finding.step.or_else(|| case.timeline.steps().filter(|step| step.undoes.is_none()).last());
    next.extend(step.map(|step| {
        let nth = if step.nth > 1 { format!("#{}", step.nth) } else { String::new() };
        let name = if nth.is_empty() { argument(step) } else { shell(&format!("{}{nth}", step.name)) };
        command(
            format!("midwatch fork {run} --step {name}"),
            "start a new run from that step, with the same keys",
        )
    }));
    next
}

#[cfg(test)]
mod tests {
    use midwatch_workflow::EventKind;

    use crate::corpus::incidents;
    use crate::why::{Safe, why};

    /// What takes no effect on a run that others carry out.
    const ORDERS: [&str; 8] = ["cancel", "pause", "resume", "retry", "resolve", "budget", "fork", "signal"];

    #[test]
    fn a_run_that_is_only_watched_is_never_answered_with_an_order_nor_with_a_key() {
        for (worker, who) in [
            ("recorder: gateway, process 7", "the client of the gateway"),
            ("recorder: ingest pid 7", "the agent that sends its traces"),
            ("recorder: another", "somebody else"),
        ] {
            for mut incident in incidents() {
                let Some(EventKind::RunStarted(start)) =
                    incident.facts.events.first_mut().map(|first| &mut first.kind)
                else {
                    panic!("a run begins with its start")
                };
                start.worker = worker.to_owned();
                let answer = why(&incident.facts);
                assert_eq!(answer.carried_out_by, Some(who), "{}", incident.name);
                assert!(!answer.next.is_empty(), "{}", incident.name);
                for next in &answer.next {
                    let verb = next.command.split(' ').nth(1).unwrap_or_default();
                    assert!(!ORDERS.contains(&verb), "{}: {}", incident.name, next.command);
                }
                assert_eq!(answer.safe_to_retry.key, None, "{}", incident.name);
                assert_ne!(answer.safe_to_retry.verdict, Safe::WithKeys, "{}", incident.name);
            }
        }
    }
}
