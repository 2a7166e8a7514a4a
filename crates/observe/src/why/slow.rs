//! Slow: which part of its time a run spends beyond what is usual.

use std::time::Duration;

use midwatch_workflow::Class;

use super::case::{Case, Finding, Open, named};
use super::{Cause, Verdict};
use crate::profile::{ClassTime, Part};
use crate::timeline::{Attempt, Entry, Step, What};
use crate::words::{counted, percent, span};

/// Without enough other runs, a run is called slow only for a loss of at least this.
const LOSS_MIN: Duration = Duration::from_secs(60);

/// A possible cause: the time that it explains.
struct Candidate<'f> {
    cause: Cause,
    excess: Duration,
    /// Whether the time is lost in any case, so that it needs no comparison.
    is_loss: bool,
    finding: Finding<'f>,
}

/// Says why a run is slow, if it is.
pub(super) fn find<'f>(case: &Case<'f>) -> Option<Finding<'f>> {
    let (elapsed, baseline) = (case.profile.elapsed, &case.facts.baselines);
    let usual = baseline.elapsed.and_then(|spread| spread.if_enough());
    let (excess, ratio) = match usual {
        Some(usual) => {
            let line = usual.p95.max(usual.median * 3 / 2).max(usual.median + Duration::from_secs(1));
            if elapsed <= line {
                return None;
            }
            (
                elapsed.saturating_sub(usual.median),
                elapsed.as_secs_f64() / usual.median.as_secs_f64().max(0.001),
            )
        }
        None => (elapsed, 1.0),
    };
    let mut candidates = candidates(case);
    candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.excess));
    let mut sorted = candidates.into_iter();
    let (first, second) = (sorted.next(), sorted.next().map_or(Duration::ZERO, |next| next.excess));
    if usual.is_none() {
        let first = first.filter(|first| first.is_loss && first.excess >= LOSS_MIN)?;
        return (first.excess * 5 >= elapsed * 3).then(|| slow(first, elapsed, ratio));
    }
    // Most of the excess, or the clear leader of those that share it.
    let explains = |first: &Candidate<'_>| {
        first.excess * 2 >= excess || (first.excess * 3 >= excess && first.excess >= second * 2)
    };
    match first.filter(explains) {
        Some(first) => Some(slow(first, elapsed, ratio)),
        None => {
            let headline =
                format!("took {} longer than usual, and no one part of it explains that", span(excess));
            Some(Finding { ratio, ..Finding::new(Verdict::Slow, Cause::Unknown, headline) })
        }
    }
}

/// Says what a run lost most time with, however long it took.
pub(super) fn find_most<'f>(case: &Case<'f>) -> Option<Finding<'f>> {
    let most = candidates(case).into_iter().max_by_key(|candidate| candidate.excess)?;
    let elapsed = case.profile.elapsed;
    (most.excess * 2 >= elapsed).then(|| slow(most, elapsed, 1.0))
}

fn slow<'f>(candidate: Candidate<'f>, elapsed: Duration, ratio: f64) -> Finding<'f> {
    let share = percent(candidate.excess.as_secs_f64(), elapsed.as_secs_f64());
    let headline = format!("{share} {}", candidate.finding.headline);
    Finding { headline, ratio, cause: candidate.cause, ..candidate.finding }
}

fn candidates<'f>(case: &Case<'f>) -> Vec<Candidate<'f>> {
    let mut found = Vec::new();
    found.extend(failures(case));
    found.extend(held(case, Part::Gate, Cause::GateClosed));
    found.extend(held(case, Part::Queued, Cause::QueueBacklog));
    for (part, cause, is_loss) in [
        (Part::Paused, Cause::HeldByPause, true),
        (Part::ProcessLost, Cause::ProcessDown, true),
        (Part::Child, Cause::SlowChild, false),
        (Part::Signal, Cause::LateSignal, false),
        (Part::Person, Cause::LateAnswer, true),
        (Part::Sleep, Cause::LongSleep, false),
        (Part::Compensating, Cause::Compensation, false),
    ] {
        found.extend(plain(case, part, cause, is_loss));
    }
    found.extend(executing(case));
    found.retain(|candidate| !candidate.excess.is_zero());
    found
}

/// The time of a part beyond what is usual.
fn beyond(case: &Case<'_>, part: Part) -> Duration {
    case.profile.part(part).saturating_sub(case.facts.baselines.part(part))
}

/// Failures: their attempts and the waits after them, by class.
fn failures<'f>(case: &Case<'f>) -> Option<Candidate<'f>> {
    let mut families: Vec<(Family, ClassTime)> = Vec::new();
    for (class, time) in &case.profile.classes {
        let family = Family::of(*class);
        match families.iter_mut().find(|(other, _)| *other == family) {
            Some((_, sum)) => {
                sum.attempts += time.attempts;
                sum.waits += time.waits;
                sum.asked += time.asked;
            }
            None => families.push((family, *time)),
        }
    }
    let whole = |time: &ClassTime| time.attempts + time.waits;
    families.sort_by_key(|(_, time)| std::cmp::Reverse(whole(time)));
    let all: Duration = families.iter().map(|(_, time)| whole(time)).sum();
    let usual = case.facts.baselines.part(Part::RetryWait) + case.facts.baselines.part(Part::FailedAttempts);
    let (family, time) = families.first().copied()?;
    let cause = if whole(&time) * 2 < all { Cause::RetryMixed } else { family.cause(&time) };
    let step = most_failures(case)?;
    let failed: Vec<&Attempt> = step.attempts.iter().filter(|attempt| attempt.failure().is_some()).collect();
    let classes: Vec<String> = case.profile.classes.keys().map(ToString::to_string).collect();
    let now = currently(case, step).unwrap_or_else(|| {
        format!("step {}, {}", step.title(), counted(failed.len() as u64, "failed attempt"))
    });
    let what = match cause {
        Cause::TimeoutsBurned => "in attempts that ran into their limit",
        _ if time.attempts > time.waits => "in failed attempts and the waits after them",
        _ => "waiting to retry",
    };
    let events = failed.iter().filter_map(|attempt| attempt.end.as_ref()).map(|end| end.mark.event);
    let says = format!(
        "{} failed ({}): {} in attempts, {} in waits, {} of those asked for by the target",
        counted(failed.len() as u64, "attempt"),
        classes.join(", "),
        span(families.iter().map(|(_, time)| time.attempts).sum()),
        span(families.iter().map(|(_, time)| time.waits).sum()),
        span(families.iter().map(|(_, time)| time.asked).sum()),
    );
    let finding =
        Finding::new(Verdict::Slow, cause, format!("{what}: {now}")).shown_by(events, says).about(step);
    Some(Candidate { cause, excess: all.saturating_sub(usual), is_loss: true, finding })
}

/// Classes that mean the same for the one who waits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    RateLimited,
    Overloaded,
    Server,
    Connection,
    Timeout,
    /// What no retry cures.
    Hopeless,
    Other,
}

impl Family {
    fn of(class: Class) -> Self {
        match class {
            Class::RateLimited => Family::RateLimited,
            Class::Overloaded => Family::Overloaded,
            Class::Server => Family::Server,
            Class::Connection => Family::Connection,
            Class::Timeout | Class::Stalled => Family::Timeout,
            class if !class.is_retried() && class != Class::Cancelled => Family::Hopeless,
            _ => Family::Other,
        }
    }

    fn cause(self, time: &ClassTime) -> Cause {
        match self {
            Family::Hopeless => Cause::HopelessRetries,
            _ if time.asked * 2 > time.waits + time.attempts => Cause::RetryAfter,
            Family::Timeout if time.attempts >= time.waits => Cause::TimeoutsBurned,
            Family::Timeout => Cause::RetryTimeout,
            Family::RateLimited => Cause::RetryRateLimited,
            Family::Overloaded => Cause::RetryOverloaded,
            Family::Server => Cause::RetryServer,
            Family::Connection => Cause::RetryConnection,
            Family::Other => Cause::RetryUnknown,
        }
    }
}

/// The step whose failures took longest.
fn most_failures<'f>(case: &Case<'f>) -> Option<&'f Step> {
    let lost = |step: &Step| -> Duration {
        let attempts = step.attempts.iter().filter(|attempt| attempt.failure().is_some());
        attempts
            .map(|attempt| {
                let end = attempt.end.as_ref().map_or(attempt.asked.at, |end| end.mark.at);
                let wait =
                    attempt.retry.as_ref().map_or(Duration::ZERO, |wait| wait.until.since(wait.asked.at));
                end.since(attempt.asked.at) + wait
            })
            .sum()
    };
    case.timeline.steps().filter(|step| !lost(step).is_zero()).max_by_key(|step| lost(step))
}

/// What a step that retries does now: `step call_llm#3, attempt 5/8 in 41s (Retry-After from openai:gpt-4o)`.
fn currently(case: &Case<'_>, step: &Step) -> Option<String> {
    case.open().into_iter().find_map(|open| match open {
        Open::Retry(of, attempt, wait) if std::ptr::eq(of, step) => {
            let left = span(wait.until.since(case.facts.now));
            let asked = attempt.failure().and_then(|failure| failure.retry_after);
            let from = step.target.as_ref().map(|target| format!(" from {target}")).unwrap_or_default();
            let why = match (asked, attempt.failure()) {
                (Some(asked), _) => format!(" (Retry-After {}{from})", span(asked)),
                (None, Some(failure)) => format!(" ({}{from})", failure.class),
                (None, None) => String::new(),
            };
            Some(format!("step {}, attempt {}/{} in {left}{why}", step.title(), wait.attempt, wait.of))
        }
        Open::Attempt(of, attempt, _) if std::ptr::eq(of, step) => {
            Some(format!("step {}, attempt {} under way", step.title(), attempt.number))
        }
        _ => None,
    })
}

fn held<'f>(case: &Case<'f>, part: Part, cause: Cause) -> Option<Candidate<'f>> {
    let excess = beyond(case, part);
    let held = |attempt: &Attempt| {
        let to = attempt.started.or(attempt.end.as_ref().map(|end| end.mark)).or(attempt.abandoned);
        attempt
            .waits
            .map_or(Duration::ZERO, |_| to.map_or(case.facts.now, |to| to.at).since(attempt.asked.at))
    };
    let longest = |step: &&Step| step.attempts.iter().map(held).max().unwrap_or_default();
    let step = case.timeline.steps().filter(|step| !longest(step).is_zero()).max_by_key(longest)?;
    let attempts: Vec<&Attempt> = case
        .timeline
        .steps()
        .flat_map(|step| &step.attempts)
        .filter(|attempt| !held(attempt).is_zero())
        .collect();
    let place = match part {
        Part::Gate => format!("at the closed gate of {}", step.target.as_deref().unwrap_or("its target")),
        _ => format!("in queue {}", step.queue.as_deref().unwrap_or("(unnamed)")),
    };
    let says = format!(
        "{} held back, the longest for {}",
        counted(attempts.len() as u64, "attempt"),
        span(longest(&step))
    );
    let finding = Finding::new(Verdict::Slow, cause, format!("waiting {place}: step {}", step.title()))
        .shown_by(attempts.iter().map(|attempt| attempt.asked.event), says)
        .about(step);
    Some(Candidate { cause, excess, is_loss: true, finding })
}

fn plain<'f>(case: &Case<'f>, part: Part, cause: Cause, is_loss: bool) -> Option<Candidate<'f>> {
    let excess = beyond(case, part);
    if excess.is_zero() {
        return None;
    }
    let of_part = |entry: &&Entry| match (part, entry) {
        (Part::Child, Entry::Child(_))
        | (Part::Signal, Entry::Signal(_))
        | (Part::Person, Entry::Person(_)) => true,
        (Part::Sleep, Entry::Sleep(_)) => true,
        (Part::Paused, Entry::Happening(happening)) => matches!(happening.what, What::Paused { .. }),
        (Part::ProcessLost, Entry::Happening(happening)) => matches!(happening.what, What::Recovered { .. }),
        (Part::Compensating, Entry::Happening(happening)) => {
            matches!(happening.what, What::Compensating { .. })
        }
        _ => false,
    };
    let entries: Vec<&Entry> = case.timeline.entries.iter().filter(of_part).collect();
    let detail = entries.first().map(|entry| detail(entry)).unwrap_or_default();
    let events = entries.iter().map(|entry| entry.mark().event);
    let says = format!(
        "{} {}, usually {}",
        span(case.profile.part(part)),
        part.words(),
        span(case.facts.baselines.part(part))
    );
    let finding =
        Finding::new(Verdict::Slow, cause, format!("{}{detail}", part.words())).shown_by(events, says);
    Some(Candidate { cause, excess, is_loss, finding })
}

fn detail(entry: &Entry) -> String {
    match entry {
        Entry::Child(child) => format!(": {} {}", child.workflow, child.run.short()),
        Entry::Signal(signal) => format!(": {}", signal.name),
        Entry::Person(person) => {
            person.step.as_ref().map(|step| format!(": step {step}")).unwrap_or_default()
        }
        Entry::Happening(happening) => match &happening.what {
            What::Paused { reason, by } if reason.is_empty() => format!(" by {by}"),
            What::Paused { reason, by } => format!(" by {by}: {reason}"),
            What::Recovered { worker } => format!(", until {worker} took it over"),
            What::Compensating { steps, .. } => format!(": {}", steps.join(", ")),
            _ => String::new(),
        },
        Entry::Step(_) | Entry::Sleep(_) | Entry::Unclaimed(_) => String::new(),
    }
}

/// Attempts that went well, or go on: one that is slow, many that are, or more of them than usual.
fn executing<'f>(case: &Case<'f>) -> Vec<Candidate<'f>> {
    let limit = beyond(case, Part::Executing);
    let mut slower: Vec<(Duration, Duration, &'f Step, &'f Attempt)> = Vec::new();
    let mut more = Duration::ZERO;
    let mut extra: Vec<(u64, u64, &str)> = Vec::new();
    for (name, profile) in &case.profile.steps {
        let baseline = case.facts.baselines.step.get(name);
        let uses = baseline.and_then(|step| step.uses).map_or(0, |uses| uses.median);
        let took: Vec<(Duration, &'f Step, &'f Attempt)> = attempts(case, name);
        let all: Duration = took.iter().map(|(took, ..)| *took).sum();
        let usual =
            baseline.and_then(|step| step.took).and_then(|took| took.if_enough()).map(|took| took.median);
        let count = u32::try_from(took.len().max(1)).unwrap_or(u32::MAX);
        let beyond = profile.uses.saturating_sub(uses);
        if beyond > 0 {
            more += usual.unwrap_or(all / count) * u32::try_from(beyond).unwrap_or(u32::MAX);
            extra.push((profile.uses, uses, name));
        }
        if let Some(usual) = usual {
            let slow = |(took, step, attempt): &(Duration, &'f Step, &'f Attempt)| {
                (took.saturating_sub(usual), usual, *step, *attempt)
            };
            slower.extend(took.iter().map(slow).filter(|(excess, ..)| !excess.is_zero()));
        }
    }
    slower.sort_by_key(|(excess, ..)| std::cmp::Reverse(*excess));
    let mut found = Vec::new();
    found.extend(more_steps(case, more.min(limit), &extra));
    found.extend(slow_attempts(case, &slower, limit));
    found
}

/// How long each attempt of a step took that went well or goes on.
fn attempts<'f>(case: &Case<'f>, name: &str) -> Vec<(Duration, &'f Step, &'f Attempt)> {
    let steps = case.timeline.steps().filter(|step| step.name == name);
    let of_step = steps.flat_map(|step| step.attempts.iter().map(move |attempt| (step, attempt)));
    of_step
        .filter(|(_, attempt)| attempt.failure().is_none() && attempt.void.is_none())
        .filter_map(|(step, attempt)| {
            let end = attempt.end.as_ref().map(|end| end.mark).or(attempt.abandoned);
            let end = end.map_or(case.facts.now, |mark| mark.at);
            Some((end.since(attempt.started?.at), step, attempt))
        })
        .collect()
}

fn more_steps<'f>(case: &Case<'f>, excess: Duration, extra: &[(u64, u64, &str)]) -> Option<Candidate<'f>> {
    let (uses, usual, name) = extra.iter().max_by_key(|(uses, usual, _)| uses - usual)?;
    // A turn or two more is no explanation.
    if *uses < usual * 3 / 2 + 2 {
        return None;
    }
    let steps = case.timeline.steps().filter(|step| step.name == *name).map(|step| step.asked.event);
    let headline = format!("in more steps than usual: {name} {uses} times, usually {usual}");
    let says = format!("{name} was used {uses} times; the median run uses it {usual} times");
    let finding = Finding::new(Verdict::Slow, Cause::MoreSteps, headline).shown_by(steps, says);
    Some(Candidate { cause: Cause::MoreSteps, excess, is_loss: false, finding })
}

fn slow_attempts<'f>(
    case: &Case<'f>,
    slower: &[(Duration, Duration, &'f Step, &'f Attempt)],
    limit: Duration,
) -> Option<Candidate<'f>> {
    let (worst, usual, step, attempt) = slower.first().copied()?;
    let all: Duration = slower.iter().map(|(excess, ..)| *excess).sum();
    let is_one = worst * 5 >= all * 3;
    let events: Vec<u64> =
        slower.iter().take(if is_one { 1 } else { 20 }).map(|(.., attempt)| attempt.asked.event).collect();
    let (cause, excess, headline) = if is_one {
        let state = if attempt.end.is_some() { "took" } else { "has been running for" };
        let headline = format!(
            "in one slow attempt: {} {state} {}, usually {}",
            named(step, attempt),
            span(worst + usual),
            span(usual)
        );
        (Cause::SlowAttempt, worst, headline)
    } else {
        let headline = format!("in {} that were slower than usual", counted(slower.len() as u64, "attempt"));
        (Cause::SlowSteps, all, headline)
    };
    let n = case.facts.baselines.step.get(&step.name).and_then(|step| step.took).map_or(0, |took| took.n);
    let says = format!("beyond the usual {} of {} (n={n}): {} together", span(usual), step.name, span(all));
    let finding = Finding::new(Verdict::Slow, cause, headline).shown_by(events, says).about(step);
    Some(Candidate { cause, excess: excess.min(limit), is_loss: false, finding })
}
