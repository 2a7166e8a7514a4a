//! Waiting rightly: what an open run waits for, and since and until when.

use midwatch_workflow::event::WaitReason;

use super::case::{Case, Finding, Open, named};
use super::{Cause, Verdict};
use crate::words::span;

/// Tells what an open thing waits for; `None` if it is no wait.
pub(super) fn told<'f>(case: &Case<'f>, open: Open<'f>) -> Option<Finding<'f>> {
    let now = case.facts.now;
    let waiting = |cause, headline: String| Finding::new(Verdict::Waiting, cause, headline);
    Some(match open {
        Open::Attempt(..) | Open::Person => return None,
        Open::Held(step, attempt, why) => {
            let held = span(now.since(attempt.asked.at));
            let name = named(step, attempt);
            let (cause, place) = match why {
                WaitReason::Gate => (
                    Cause::Gate,
                    format!("at the gate of {}", step.target.as_deref().unwrap_or("its target")),
                ),
                WaitReason::Queue => {
                    (Cause::Queue, format!("in queue {}", step.queue.as_deref().unwrap_or("(unnamed)")))
                }
                WaitReason::Paused => (Cause::Paused, "for the end of the pause".to_owned()),
                WaitReason::Code => (Cause::NoCode, "for a process that has its code".to_owned()),
                WaitReason::Stopping => (Cause::ProcessLost, "for the next process to start".to_owned()),
            };
            waiting(cause, format!("{name} has waited {held} {place}"))
                .shown_by([attempt.asked.event], "held back")
                .about(step)
        }
        Open::Retry(step, attempt, wait) => {
            let why = attempt.failure().map(|failure| format!(" after {failure}")).unwrap_or_default();
            let left = span(wait.until.since(now));
            waiting(
                Cause::Retry,
                format!("step {}, attempt {}/{} in {left}{why}", step.title(), wait.attempt, wait.of),
            )
            .shown_by([wait.asked.event], "waits to try again")
            .about(step)
        }
        Open::Signal(signal) => {
            let limit = signal.limit.map_or(String::new(), |limit| {
                format!(", for at most {} more", span(limit.until.since(now)))
            });
            let waited = span(now.since(signal.asked.at));
            waiting(Cause::Signal, format!("for signal {}, {waited} so far{limit}", signal.name))
                .shown_by([signal.asked.event], format!("waits for signal {}", signal.name))
        }
        Open::Sleep(sleep) => {
            let left = span(sleep.until.since(now));
            waiting(Cause::Timer, format!("sleeps, {left} to come"))
                .shown_by([sleep.asked.event], "the workflow sleeps")
        }
        Open::Child(child) => {
            let age = span(now.since(child.asked.at));
            let name = format!("{} {}", child.workflow, child.run.short());
            let relative = case.facts.children.iter().find(|relative| relative.run.run == child.run);
            let does = relative.map(|relative| relative.run.doing.as_str()).filter(|doing| !doing.is_empty());
            let does = does.map(|doing| format!(", which is at {doing}")).unwrap_or_default();
            waiting(Cause::Child, format!("for child {name}, {age} so far{does}"))
                .shown_by([child.asked.event], format!("waits for child {name}"))
        }
    })
}
