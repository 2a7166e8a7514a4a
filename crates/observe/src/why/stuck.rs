//! Stuck: what an open run waits for that will not come, or not for long.

use std::time::Duration;

use midwatch_workflow::Timestamp;
use midwatch_workflow::event::WaitReason;

use super::case::{Case, Finding, LATE, Open, last_sign, named};
use super::{Cause, Owner, Verdict, waiting};
use crate::run::{Run, Status};
use crate::timeline::{Attempt, Child, Entry, Signal, Sleep, Step};
use crate::words::{brief, counted, span};

/// Nobody waits for a signal or holds a run so long without saying so.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// A queue or gate that holds an attempt for so many stall limits lets nothing through.
const LONG: u32 = 3;

/// What an open thing comes to.
enum Condition<'f> {
    /// It moves.
    Moves,
    /// It waits for something that is expected.
    Waits,
    /// It will not move.
    Stuck(Box<Finding<'f>>),
}

/// Says why a run is stuck, if it is.
pub(super) fn find<'f>(case: &Case<'f>) -> Option<Finding<'f>> {
    if case.timeline.end.is_some() {
        return None;
    }
    if let Some(finding) = paused(case) {
        return finding;
    }
    let open = case.open();
    if let Some(finding) = no_owner(case, &open).or_else(|| other_owner(case, &open)) {
        return Some(finding);
    }
    let conditions: Vec<Condition<'f>> = open.iter().map(|open| condition(case, *open)).collect();
    if conditions.iter().any(|condition| matches!(condition, Condition::Moves)) {
        return None;
    }
    let found = conditions.into_iter().find_map(|condition| match condition {
        Condition::Stuck(finding) => Some(*finding),
        Condition::Moves | Condition::Waits => None,
    });
    found.or_else(|| nothing_open(case, &open))
}

/// `None` if the run is not paused; `Some(None)` if it is and that is no reason to call it stuck.
fn paused<'f>(case: &Case<'f>) -> Option<Option<Finding<'f>>> {
    let (happening, by, reason) = case.pause()?;
    let since = case.facts.now.since(happening.mark.at);
    let reason = if reason.is_empty() { String::new() } else { format!(": {}", brief(reason)) };
    let headline = format!("paused by {by} {} ago{reason}", span(since));
    let says = format!("{by} paused the run, and nobody has resumed it");
    let finding =
        Finding::new(Verdict::Stuck, Cause::Paused, headline).shown_by([happening.mark.event], says);
    Some((since >= DAY).then_some(finding))
}

/// Nobody owns the journal, and something waits to be done.
fn no_owner<'f>(case: &Case<'f>, open: &[Open<'f>]) -> Option<Finding<'f>> {
    if case.facts.owner != Owner::Nobody {
        return None;
    }
    let needs = |open: &&Open<'f>| match open {
        Open::Attempt(..) | Open::Held(..) | Open::Retry(..) | Open::Child(_) => true,
        Open::Sleep(sleep) => sleep.until <= case.facts.now,
        Open::Signal(signal) => signal.limit.is_some_and(|limit| limit.until <= case.facts.now),
        Open::Person => false,
    };
    let first = open.iter().find(needs);
    if first.is_none() && !open.is_empty() {
        return None;
    }
    let (event, worker) = case.worker();
    let worker = if worker.is_empty() { String::new() } else { format!(" ({worker} did last)") };
    let what = if case.outside().is_some() { "writes it down any more" } else { "carries it out" };
    let headline = format!("no process {what}{worker}; last event {} ago", span(case.silence()));
    let finding = Finding::new(Verdict::Stuck, Cause::ProcessLost, headline)
        .shown_by([], "the journal's lock is free: no process owns it")
        .shown_by([event], format!("taken up{worker}"));
    Some(match first {
        Some(Open::Attempt(step, attempt, _)) => {
            let (event, at) = last_sign(attempt);
            let says = format!(
                "{} was under way, its last sign {} ago",
                named(step, attempt),
                span(case.facts.now.since(at))
            );
            finding.shown_by([event], says).about(step)
        }
        Some(Open::Held(step, attempt, _) | Open::Retry(step, attempt, _)) => {
            finding.shown_by([attempt.asked.event], format!("{} is due", named(step, attempt))).about(step)
        }
        _ => finding,
    })
}

/// A process owns the journal, came after the run's last event, and has not taken the run up.
fn other_owner<'f>(case: &Case<'f>, open: &[Open<'f>]) -> Option<Finding<'f>> {
    let Owner::Process { name, since: Some(since) } = &case.facts.owner else { return None };
    let (now, last) = (case.facts.now, case.timeline.last.at);
    let is_idle = open.iter().all(|open| matches!(open, Open::Signal(_) | Open::Person));
    let is_due = |open: &Open<'f>| match open {
        Open::Sleep(sleep) => sleep.until + LATE < now,
        Open::Retry(_, _, wait) => wait.until + LATE < now,
        // A child is watched by whoever carries the parent out.
        Open::Attempt(..) | Open::Held(..) | Open::Child(_) => true,
        Open::Signal(_) | Open::Person => false,
    };
    let is_needed = open.is_empty() || (!is_idle && open.iter().any(is_due));
    if last >= *since || now.since(*since) < LATE || !is_needed {
        return None;
    }
    let (event, worker) = case.worker();
    let headline =
        format!("{name} has held the journal for {} and has not taken the run up", span(now.since(*since)));
    let worker = if worker.is_empty() { "another process" } else { worker };
    let finding = Finding::new(Verdict::Stuck, Cause::LockHeld, headline)
        .shown_by([], format!("{name} owns the journal's lock"))
        .shown_by([event], format!("{worker} carried the run out last"))
        .shown_by(
            [case.timeline.last.event],
            format!("the last event is older than that process: {} ago", span(case.silence())),
        );
    Some(match open.first() {
        Some(Open::Attempt(step, ..) | Open::Held(step, ..) | Open::Retry(step, ..)) => finding.about(step),
        _ => finding,
    })
}

fn condition<'f>(case: &Case<'f>, open: Open<'f>) -> Condition<'f> {
    match open {
        Open::Attempt(step, attempt, started) => attempt_condition(case, step, attempt, started),
        Open::Held(step, attempt, why) => held_condition(case, step, attempt, why),
        Open::Retry(_, _, wait) if wait.until + LATE >= case.facts.now => Condition::Moves,
        Open::Retry(step, attempt, wait) => {
            overdue(case, wait.asked.event, wait.until, &named(step, attempt))
        }
        Open::Signal(signal) => signal_condition(case, signal),
        Open::Sleep(sleep) => sleep_condition(case, sleep),
        Open::Child(child) => child_condition(case, child),
        Open::Person => Condition::Waits,
    }
}

fn stuck<'f>(finding: Finding<'f>) -> Condition<'f> {
    Condition::Stuck(Box::new(finding))
}

fn attempt_condition<'f>(
    case: &Case<'f>,
    step: &'f Step,
    attempt: &'f Attempt,
    started: Timestamp,
) -> Condition<'f> {
    let now = case.facts.now;
    let (event, sign) = last_sign(attempt);
    let (silence, age) = (now.since(sign), now.since(started));
    let usual = case.facts.baselines.step.get(&step.name).and_then(|step| step.took);
    let usual = usual.and_then(|usual| usual.if_enough());
    let limit = case.facts.stall_limit.max(usual.map_or(Duration::ZERO, |usual| usual.p95 * 2));
    let is_beyond_timeout = age > attempt.timeout + LATE;
    // A step that must beat and never said anything of its progress may beat all the same: streams do, without a word.
    let says_progress = attempt.beat.as_ref().is_some_and(|beat| beat.progress.as_str() != "null");
    let is_watched = case.must_beat(attempt) && !says_progress;
    if !is_beyond_timeout && (silence < limit || is_watched) {
        return Condition::Moves;
    }
    let beat = attempt.beat.as_ref().map(|beat| {
        format!(
            "its last beat, number {}, was {} ago: {}",
            beat.count,
            span(silence),
            brief(beat.progress.as_str())
        )
    });
    let sign = beat.unwrap_or_else(|| "it never beat".to_owned());
    let headline = format!("{} has been silent for {}: {sign}", named(step, attempt), span(silence));
    let mut finding = Finding::new(Verdict::Stuck, Cause::StepSilent, headline)
        .shown_by([event], format!("last sign of the attempt: {sign}"))
        .about(step);
    if let Owner::Process { name, .. } = &case.facts.owner {
        finding = finding.shown_by([], format!("{name} is alive and owns the journal"));
    }
    if let Some(usual) = usual {
        let says = format!(
            "{} usually takes {}, 95% of the time at most {}",
            step.name,
            span(usual.median),
            span(usual.p95)
        );
        finding = finding.shown_by([], says);
    }
    let left = span((started + attempt.timeout).since(now));
    let limit = if is_beyond_timeout {
        format!("its limit of {} is over, and nothing ended it", span(attempt.timeout))
    } else {
        format!("its limit of {} ends it in {left}", span(attempt.timeout))
    };
    stuck(finding.shown_by([attempt.asked.event], limit))
}

fn held_condition<'f>(
    case: &Case<'f>,
    step: &'f Step,
    attempt: &'f Attempt,
    why: WaitReason,
) -> Condition<'f> {
    let held = case.facts.now.since(attempt.asked.at);
    let (name, event) = (named(step, attempt), attempt.asked.event);
    let is_long = held >= case.facts.stall_limit * LONG;
    match why {
        WaitReason::Code => {
            let headline = format!("no process has code for step {}", step.name);
            stuck(
                Finding::new(Verdict::Stuck, Cause::NoCode, headline)
                    .shown_by([event], "held for want of code")
                    .about(step),
            )
        }
        WaitReason::Gate if is_long => {
            let target = step.target.as_deref().unwrap_or("its target");
            let until = case.facts.gates.iter().find(|gate| Some(&gate.target) == step.target.as_ref());
            let until = until.and_then(|gate| gate.closed_until).filter(|until| *until > case.facts.now);
            let until = until.map_or(String::new(), |until| {
                format!(", for at least {} more", span(until.since(case.facts.now)))
            });
            let headline = format!("{name} has waited {} at the closed gate of {target}{until}", span(held));
            let says = format!("held back by the gate of {target}");
            stuck(
                Finding::new(Verdict::Stuck, Cause::GateClosedLong, headline)
                    .shown_by([event], says)
                    .about(step),
            )
        }
        WaitReason::Queue if is_long => starved(case, step, attempt, held),
        WaitReason::Gate | WaitReason::Queue => Condition::Waits,
        WaitReason::Stopping if held >= case.facts.stall_limit => {
            let headline = format!("{name} waits for the next process to start, for {}", span(held));
            stuck(
                Finding::new(Verdict::Stuck, Cause::ProcessLost, headline)
                    .shown_by([event], "held back because the process was stopping")
                    .about(step),
            )
        }
        WaitReason::Stopping | WaitReason::Paused => Condition::Waits,
    }
}

/// A queue is starved if nothing that has a place in it moves.
fn starved<'f>(case: &Case<'f>, step: &'f Step, attempt: &'f Attempt, held: Duration) -> Condition<'f> {
    let (now, queue) = (case.facts.now, step.queue.as_deref());
    let in_queue =
        || case.facts.neighbours.iter().filter(|run| queue.is_some() && run.queue.as_deref() == queue);
    let holds = |run: &&Run| run.held.is_none() && run.status == Status::Running;
    let moves = |run: &&Run| now.since(run.updated_at) < case.facts.stall_limit;
    let (holding, moving) =
        (in_queue().filter(holds).count(), in_queue().filter(holds).filter(moves).count());
    let waiting = in_queue().filter(|run| run.held == Some(WaitReason::Queue)).count();
    if moving > 0 {
        return Condition::Waits;
    }
    let queue = queue.unwrap_or("(unnamed)");
    let headline = format!(
        "{} has waited {} in queue {queue}, which lets nothing through",
        named(step, attempt),
        span(held)
    );
    let waiting = counted(waiting as u64, "other run");
    let places = match holding {
        0 => format!("no run is seen to hold a place in queue {queue}; waiting for one: {waiting}"),
        1 => format!(
            "the one run that holds a place in queue {queue} does not move; waiting for one: {waiting}"
        ),
        n => format!("none of {n} runs that hold a place in queue {queue} moves; waiting for one: {waiting}"),
    };
    stuck(
        Finding::new(Verdict::Stuck, Cause::QueueStarved, headline)
            .shown_by([attempt.asked.event], format!("held back by queue {queue}"))
            .shown_by([], places)
            .about(step),
    )
}

fn signal_condition<'f>(case: &Case<'f>, signal: &'f Signal) -> Condition<'f> {
    let waited = case.facts.now.since(signal.asked.at);
    if signal.limit.is_some_and(|limit| limit.until + LATE < case.facts.now) {
        let until = signal.limit.map_or(case.facts.now, |limit| limit.until);
        return overdue(case, signal.asked.event, until, &format!("the limit of signal {}", signal.name));
    }
    let usual = case.facts.baselines.signals.get(&signal.name).and_then(|usual| usual.if_enough());
    let limit = usual.map_or(DAY, |usual| (usual.p95 * 3).max(case.facts.stall_limit));
    let stray: Vec<(u64, &str)> = case.timeline.entries.iter().filter_map(unclaimed).collect();
    let is_misnamed = !stray.is_empty() && waited >= case.facts.stall_limit;
    if waited < limit && !is_misnamed {
        return Condition::Waits;
    }
    let headline = format!("signal {} has not come for {}", signal.name, span(waited));
    let mut finding = Finding::new(Verdict::Stuck, Cause::SignalNeverCame, headline)
        .shown_by([signal.asked.event], format!("waits for signal {}", signal.name));
    if let Some(usual) = usual {
        let says = format!(
            "it usually comes within {}, 95% of the time within {} (n={})",
            span(usual.median),
            span(usual.p95),
            usual.n
        );
        finding = finding.shown_by([], says);
    }
    if is_misnamed {
        let names: Vec<&str> = stray.iter().map(|(_, name)| *name).collect();
        let says = format!("signals came that nothing waits for: {}", names.join(", "));
        finding = finding.shown_by(stray.iter().map(|(event, _)| *event), says);
    }
    stuck(finding)
}

fn unclaimed(entry: &Entry) -> Option<(u64, &str)> {
    match entry {
        Entry::Unclaimed(received) if received.void.is_none() => {
            Some((received.mark.event, received.name.as_str()))
        }
        _ => None,
    }
}

fn sleep_condition<'f>(case: &Case<'f>, sleep: &'f Sleep) -> Condition<'f> {
    let now = case.facts.now;
    if sleep.until + LATE < now {
        return overdue(case, sleep.asked.event, sleep.until, "the sleep");
    }
    let length = sleep.until.since(sleep.asked.at);
    let usual = case.facts.baselines.sleeps.and_then(|usual| usual.if_enough());
    let limit = usual.map_or(7 * DAY, |usual| (usual.p95 * 3).max(Duration::from_secs(3600)));
    if length < limit {
        return Condition::Waits;
    }
    let headline = format!("sleeps {}, {} of it still to come", span(length), span(sleep.until.since(now)));
    let mut finding = Finding::new(Verdict::Stuck, Cause::TimerFarAway, headline)
        .shown_by([sleep.asked.event], format!("the workflow asked to sleep for {}", span(length)));
    if let Some(usual) = usual {
        let says =
            format!("it usually sleeps {}, 95% of the time at most {}", span(usual.median), span(usual.p95));
        finding = finding.shown_by([], says);
    }
    stuck(finding)
}

fn child_condition<'f>(case: &Case<'f>, child: &'f Child) -> Condition<'f> {
    let name = format!("{} {}", child.workflow, child.run.short());
    let age = case.facts.now.since(child.asked.at);
    let Some(relative) = case.facts.children.iter().find(|relative| relative.run.run == child.run) else {
        return Condition::Waits;
    };
    let run = &relative.run;
    let silence = case.facts.now.since(run.updated_at);
    let (how, under) = match (run.status, &relative.answer) {
        (_, Some(answer)) if matches!(answer.verdict, Verdict::Stuck | Verdict::Parked) => {
            (answer.headline.clone(), Some(answer.cause))
        }
        (Status::Parked, _) => {
            let message = run.message.as_deref().map(brief).unwrap_or_default();
            (format!("it is parked: {message}"), run.parked.map(super::parked::cause))
        }
        (Status::Paused, _) => ("it is paused".to_owned(), Some(Cause::Paused)),
        (Status::Running | Status::Compensating, None) if silence >= case.facts.stall_limit => {
            (format!("it has been silent for {}, at {}", span(silence), run.doing), None)
        }
        (status, _) if status.is_ended() && run.ended_at.is_some_and(|end| end + LATE < case.facts.now) => {
            return overdue(
                case,
                child.asked.event,
                run.ended_at.unwrap_or(case.facts.now),
                &format!("the end of child {name}"),
            );
        }
        (_, answer) => return moves_or_waits(answer.as_ref().map(|answer| answer.verdict)),
    };
    let headline = format!("child {name} is stuck, started {} ago: {how}", span(age));
    let mut finding = Finding::new(Verdict::Stuck, Cause::ChildStuck, headline)
        .shown_by([child.asked.event], format!("waits for child {name}"))
        .shown_by([], format!("the child: {how}"));
    finding.under.extend(under);
    stuck(finding)
}

fn moves_or_waits<'f>(verdict: Option<Verdict>) -> Condition<'f> {
    match verdict {
        Some(Verdict::Healthy | Verdict::Slow | Verdict::Expensive) => Condition::Moves,
        _ => Condition::Waits,
    }
}

/// Something was due and did not happen.
fn overdue<'f>(case: &Case<'f>, event: u64, due: Timestamp, what: &str) -> Condition<'f> {
    let late = case.facts.now.since(due);
    let headline = format!("{what} was due {} ago and did not happen", span(late));
    let says = match &case.facts.owner {
        Owner::Process { name, .. } => format!("{name} owns the journal and does not act"),
        Owner::Nobody => "no process owns the journal".to_owned(),
        Owner::Unknown => "it is not known whether a process owns the journal".to_owned(),
    };
    let cause = if case.facts.owner == Owner::Nobody { Cause::ProcessLost } else { Cause::Unknown };
    stuck(Finding::new(Verdict::Stuck, cause, headline).shown_by([event], "was due").shown_by([], says))
}

/// Nothing is open and nothing happens: the workflow's own code does not come back.
fn nothing_open<'f>(case: &Case<'f>, open: &[Open<'f>]) -> Option<Finding<'f>> {
    if !open.is_empty() || case.silence() < case.facts.stall_limit {
        return None;
    }
    let headline = format!("asks for nothing, and has been silent for {}", span(case.silence()));
    let says = "the last event; after it the workflow asked for nothing";
    Some(Finding::new(Verdict::Stuck, Cause::Unknown, headline).shown_by([case.timeline.last.event], says))
}

/// Whether an open run that is not stuck waits, and for what.
pub(super) fn waits_rightly<'f>(case: &Case<'f>) -> Option<Finding<'f>> {
    if let Some((happening, by, reason)) = case.pause() {
        let since = case.facts.now.since(happening.mark.at);
        let reason = if reason.is_empty() { String::new() } else { format!(": {}", brief(reason)) };
        let headline = format!("paused by {by} {} ago{reason}", span(since));
        return Some(
            Finding::new(Verdict::Waiting, Cause::Paused, headline)
                .shown_by([happening.mark.event], format!("{by} paused the run")),
        );
    }
    let open = case.open();
    let is_active = open.iter().any(|open| matches!(open, Open::Attempt(..)));
    if is_active { None } else { open.first().and_then(|open| waiting::told(case, *open)) }
}
