//! Failed: the first cause under the last error.

use std::collections::BTreeMap;

use midwatch_workflow::{Class, Ended, Failure, GiveUp, RunResult};

use super::case::{Case, Finding, word};
use super::{Cause, Verdict};
use crate::timeline::{Attempt, Entry, RunEnd, Step, What};
use crate::words::{brief, counted, span};

/// The cause that a failure's class names.
pub(super) fn class(failure: &Failure) -> Option<Cause> {
    Some(match failure.class {
        Class::RateLimited => Cause::RateLimited,
        Class::Overloaded => Cause::Overloaded,
        Class::Timeout => Cause::Timeout,
        Class::Stalled => Cause::Stalled,
        Class::Connection => Cause::Connection,
        Class::Server => Cause::Server,
        Class::Lost => Cause::Lost,
        Class::Unknown => Cause::UnknownFailure,
        Class::ContextOverflow => Cause::ContextOverflow,
        Class::InvalidRequest => Cause::InvalidRequest,
        Class::Authentication => Cause::Authentication,
        Class::Permission => Cause::Permission,
        Class::NotFound => Cause::NotFound,
        Class::QuotaExhausted => Cause::QuotaExhausted,
        Class::ContentFiltered => Cause::ContentFiltered,
        Class::ReplayedFailure => Cause::ReplayedFailure,
        Class::Budget => Cause::BudgetReached,
        Class::Bug => Cause::Bug,
        Class::Cancelled => return None,
    })
}

/// Says why a run failed, if it did.
pub(super) fn find<'f>(case: &Case<'f>) -> Option<Finding<'f>> {
    let end = case.timeline.end.as_ref()?;
    let RunResult::Failed { failure, compensated, resolved } = &end.result else { return None };
    let mut finding = ended_by_server(failure)
        .or_else(|| told_to_stop(case, failure))
        .or_else(|| step_failed(case, failure))
        .or_else(|| child_failed(case, failure))
        .or_else(|| signal_timed_out(case, end))
        .unwrap_or_else(|| workflow_error(failure));
    finding = finding.shown_by([end.mark.event], format!("ended with {}", brief(&failure.to_string())));
    if let Some((happening, _, steps)) = case.compensating() {
        let by_hand = if *resolved > 0 { format!(", {resolved} by hand") } else { String::new() };
        let says = format!("{} of {} undone{by_hand}", compensated, counted(steps.len() as u64, "step"));
        finding = finding.shown_by([happening.mark.event], says);
    }
    Some(finding)
}

fn failed<'f>(cause: Cause, headline: String) -> Finding<'f> {
    Finding::new(Verdict::Failed, cause, headline)
}

/// The server that carried it out gave it up: its code had no say.
fn ended_by_server<'f>(failure: &Failure) -> Option<Finding<'f>> {
    failure.by_server.then(|| failed(Cause::EndedByServer, brief(&failure.message)))
}

/// Somebody, or the run's own deadline, told it to stop.
fn told_to_stop<'f>(case: &Case<'f>, failure: &Failure) -> Option<Finding<'f>> {
    let (mark, class_told, reason, by) =
        case.timeline.entries.iter().rev().find_map(|entry| match entry {
            Entry::Happening(happening) if happening.void.is_none() => match &happening.what {
                What::CancelRequested { class, reason, by } => Some((happening.mark, *class, reason, by)),
                _ => None,
            },
            _ => None,
        })?;
    // A step may have failed for good in between; then the failure is its own.
    if !matches!(failure.class, Class::Cancelled | Class::Timeout) {
        return None;
    }
    if class_told == Class::Timeout {
        let limit = case.timeline.start.timeout.map(span).unwrap_or_default();
        let mut finding = failed(Cause::DeadlinePassed, format!("took longer than its limit of {limit}"))
            .shown_by([mark.event], brief(reason));
        if let Some(slow) = super::slow::find_most(case) {
            finding.headline = format!("{}; {}", finding.headline, slow.headline);
            finding.under.push(slow.cause);
            finding.step = slow.step;
            finding.evidence.extend(slow.evidence);
        }
        return Some(finding);
    }
    let reason = if reason.is_empty() { String::new() } else { format!(": {}", brief(reason)) };
    Some(
        failed(Cause::Cancelled, format!("cancelled by {by}{reason}"))
            .shown_by([mark.event], format!("{by} asked for it")),
    )
}

/// The step that was given up and whose failure became the run's.
fn step_failed<'f>(case: &Case<'f>, failure: &Failure) -> Option<Finding<'f>> {
    let steps = || case.timeline.steps().filter(|step| step.void.is_none() && step.undoes.is_none());
    let fits = |step: &&'f Step| {
        let last = step.last().and_then(Attempt::failure);
        last.is_some_and(|last| last.class == failure.class && last.message == failure.message)
    };
    // The same failure, or else the last that was given up when the run's own failure only wraps it.
    let wraps = |step: &&'f Step| {
        step.gave_up.is_some()
            && step.last().and_then(Attempt::failure).is_some_and(|last| {
                failure.message.contains(&last.message)
                    || failure.source.as_ref().is_some_and(|source| source.contains(&last.message))
            })
    };
    let step = steps().filter(fits).last().or_else(|| steps().filter(wraps).last());
    let Some(step) = step else { return budget(case, failure) };
    Some(first_cause(step, failure))
}

/// A budget whose rule is to fail ends a step before its attempt.
fn budget<'f>(case: &Case<'f>, failure: &Failure) -> Option<Finding<'f>> {
    (failure.class == Class::Budget).then(|| {
        let says =
            format!("{} spent, {} of it on failed attempts", case.timeline.spent.cost, case.timeline.wasted);
        failed(Cause::BudgetReached, brief(&failure.message))
            .shown_by(case.profile.bookings.iter().map(|booking| booking.event), says)
    })
}

fn first_cause<'f>(step: &'f Step, failure: &Failure) -> Finding<'f> {
    let tried: Vec<(&Attempt, &Failure)> = step
        .attempts
        .iter()
        .filter(|attempt| attempt.void.is_none())
        .filter_map(|attempt| Some((attempt, attempt.failure()?)))
        .collect();
    let mut counts: BTreeMap<Class, usize> = BTreeMap::new();
    for (_, failure) in &tried {
        *counts.entry(failure.class).or_default() += 1;
    }
    // What is never retried speaks for itself; else what happened most, and first among equals.
    let most = counts.values().copied().max().unwrap_or(0);
    let prevailing =
        tried.iter().map(|(_, failure)| *failure).find(|failure| counts.get(&failure.class) == Some(&most));
    let named = match failure.class.is_retried() {
        true => prevailing.unwrap_or(failure),
        false => failure,
    };
    let cause = class(named).unwrap_or(Cause::UnknownFailure);
    let words: Vec<String> = tried.iter().filter_map(|(attempt, _)| word(attempt)).collect();
    let events = || tried.iter().filter_map(|(attempt, _)| attempt.end.as_ref()).map(|end| end.mark.event);
    let of = step.target.as_ref().map(|target| format!(" from {target}")).unwrap_or_default();
    let status = named.status.map(|status| format!(" {status}")).unwrap_or_default();
    let headline = format!(
        "step {} failed after {}: {}{status}{of}: {}",
        step.title(),
        counted(tried.len() as u64, "attempt"),
        named.class,
        brief(&named.message)
    );
    let mut finding =
        failed(cause, headline).shown_by(events(), format!("{}: {}", step.title(), words.join(" ")));
    if let Some(gave_up) = &step.gave_up {
        finding = finding.shown_by([gave_up.mark.event], gave_up_words(gave_up.because));
    }
    if let Some((first, other)) = tried.first().filter(|(_, first)| first.class != named.class) {
        let event = first.end.as_ref().map(|end| end.mark.event);
        finding = finding
            .shown_by(event, format!("the first attempt failed otherwise: {}", brief(&other.to_string())));
        finding.under.extend(class(other));
    }
    finding.about(step)
}

fn gave_up_words(because: GiveUp) -> &'static str {
    match because {
        GiveUp::Class => "given up: failures of this class are not retried",
        GiveUp::Attempts => "given up: all attempts were used up",
        GiveUp::Lost => "given up: the process died too often",
        GiveUp::Elapsed => "given up: the time for all attempts was over",
        GiveUp::RetryAfterBeyondDeadline => {
            "given up: the target asked for a longer wait than the deadline left"
        }
        GiveUp::Cost => "given up: the attempts had cost as much as they may",
    }
}

fn child_failed<'f>(case: &Case<'f>, failure: &Failure) -> Option<Finding<'f>> {
    let child = case.timeline.entries.iter().rev().find_map(|entry| match entry {
        Entry::Child(child) if child.void.is_none() => {
            let Ended::Failed(of) = &child.end.as_ref()?.result else { return None };
            let is_same = of.class == failure.class && of.message == failure.message;
            (is_same || failure.message.contains(&of.message)).then_some((
                child,
                of,
                child.end.as_ref()?.mark,
            ))
        }
        _ => None,
    });
    let (child, of, mark) = child?;
    let headline =
        format!("child {} {} failed: {}", child.workflow, child.run.short(), brief(&of.to_string()));
    let mut finding = failed(Cause::ChildFailed, headline)
        .shown_by([child.asked.event, mark.event], "the child's start and end");
    finding.under.extend(class(of));
    Some(finding)
}

/// The limit of a wait for a signal was the last thing that happened before the end.
fn signal_timed_out<'f>(case: &Case<'f>, end: &RunEnd) -> Option<Finding<'f>> {
    let last =
        case.timeline.entries.iter().filter(|entry| entry.void().is_none()).rev().find_map(
            |entry| match entry {
                Entry::Signal(signal) => {
                    let fired = signal.limit.and_then(|limit| limit.fired)?;
                    Some((signal, fired)).filter(|_| signal.received.is_none())
                }
                _ => None,
            },
        );
    let (signal, fired) = last?;
    let later = case.timeline.steps().any(|step| step.asked.event > fired.event && step.undoes.is_none());
    if later || end.mark.event < fired.event {
        return None;
    }
    let headline =
        format!("signal {} did not come within {}", signal.name, span(fired.at.since(signal.asked.at)));
    Some(
        failed(Cause::SignalTimedOut, headline)
            .shown_by([signal.asked.event, fired.event], "asked for, and given up"),
    )
}

fn workflow_error<'f>(failure: &Failure) -> Finding<'f> {
    let cause = match failure.class {
        Class::Bug => Cause::Bug,
        _ => Cause::WorkflowError,
    };
    failed(cause, format!("the workflow's own code gave an error: {}", brief(&failure.to_string())))
}
