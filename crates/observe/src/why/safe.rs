//! Whether trying again does harm: keys, effects that may have happened, and how long receivers remember.

use std::time::Duration;

use midwatch_workflow::{Class, RunResult};

use super::answer::{Safe, SafeToRetry};
use super::case::{Case, Finding, Open};
use super::{Cause, Owner};
use crate::timeline::{Attempt, Step};
use crate::words::{counted, span};

/// How long receivers keep idempotency keys at least, by Stripe's documentation.
const KEYS_KEPT: Duration = Duration::from_secs(24 * 3600);

/// Judges a retry of the step in question.
pub(super) fn judge(case: &Case<'_>, finding: &Finding<'_>) -> SafeToRetry {
    let nothing = |because: &str| SafeToRetry {
        verdict: Safe::NotApplicable,
        because: because.to_owned(),
        step: None,
        key: None,
        ambiguous: Vec::new(),
    };
    let end = case.timeline.end.as_ref().map(|end| &end.result);
    if matches!(end, Some(RunResult::Completed(_))) {
        return nothing("it has completed");
    }
    let Some(step) = subject(case, finding) else {
        return match finding.cause {
            Cause::CodeJournalMismatch | Cause::ParkedPanicked | Cause::ParkedStray | Cause::NoCode => {
                SafeToRetry {
                    verdict: Safe::Yes,
                    ..nothing("the journal is replayed: no step that is done is done again")
                }
            }
            _ => nothing("no step is to be tried"),
        };
    };
    let ambiguous: Vec<u64> = step.attempts.iter().filter_map(ambiguous_end).collect();
    let in_doubt = !ambiguous.is_empty() || is_cut_off(case, step);
    let (verdict, because) = verdict(case, step, in_doubt, ambiguous.len());
    // Which keys others send is not known.
    let key = case.outside().is_none().then(|| case.timeline.key(step));
    SafeToRetry { verdict, because, step: Some(step.title()), key, ambiguous }
}

/// The step that a retry would try.
fn subject<'f>(case: &Case<'f>, finding: &Finding<'f>) -> Option<&'f Step> {
    let open = case.open().into_iter().find_map(|open| match open {
        Open::Attempt(step, ..) | Open::Held(step, ..) | Open::Retry(step, ..) => Some(step),
        _ => None,
    });
    let is_open = case.timeline.end.is_none();
    // What went well is not tried again, however slow or dear it was.
    let of_finding = finding.step.filter(|step| !is_done(step));
    let given_up =
        || case.timeline.steps().filter(|step| step.gave_up.is_some() && step.void.is_none()).last();
    of_finding.or(open).or_else(|| if is_open { None } else { given_up() })
}

fn is_done(step: &Step) -> bool {
    step.last().is_some_and(|last| last.end.is_some() && last.failure().is_none())
}

fn ambiguous_end(attempt: &Attempt) -> Option<u64> {
    attempt.failure().filter(|failure| failure.ambiguous).and(attempt.end.as_ref()).map(|end| end.mark.event)
}

/// Whether an attempt was under way when its process went.
fn is_cut_off(case: &Case<'_>, step: &Step) -> bool {
    case.facts.owner == Owner::Nobody
        && step.last().is_some_and(|last| last.is_open() && last.started.is_some())
}

fn verdict(case: &Case<'_>, step: &Step, in_doubt: bool, ambiguous: usize) -> (Safe, String) {
    let last = step.last().and_then(Attempt::failure);
    if last.is_some_and(|failure| failure.class == Class::ReplayedFailure) {
        let because =
            "the receiver answers this key with its old failure; look there whether the effect happened";
        return (Safe::No, because.to_owned());
    }
    if let Some(RunResult::Failed { compensated: 1.., .. }) =
        case.timeline.end.as_ref().map(|end| &end.result)
    {
        return (Safe::No, "its steps were undone: a fork does them anew".to_owned());
    }
    if is_paid_by_token(step) {
        return (Safe::Yes, "a repeated call of a model has no effect but its price".to_owned());
    }
    if case.outside().is_some() {
        return if in_doubt {
            let because = "an attempt may have had its effect, and whether whoever carries it out sends keys is not known";
            (Safe::No, because.to_owned())
        } else {
            (Safe::Yes, "no attempt of it can have had its effect".to_owned())
        };
    }
    let age = case.facts.now.since(step.asked.at);
    match (in_doubt, age > KEYS_KEPT) {
        (false, _) => {
            (Safe::Yes, "no attempt of it can have had its effect, and the key stays the same".to_owned())
        }
        (true, true) => {
            let because = format!(
                "an attempt may have had its effect, and the key is {} old: receivers keep keys for 24 h at least, and may have forgotten it",
                span(age)
            );
            (Safe::No, because)
        }
        (true, false) => {
            let attempts = counted(ambiguous.max(1) as u64, "attempt");
            let left = span(KEYS_KEPT.saturating_sub(age));
            let because = format!(
                "{attempts} may have had the effect; the retry uses the same key, so a receiver that honours it does nothing twice (for {left} more at least)"
            );
            (Safe::WithKeys, because)
        }
    }
}

/// Whether the step calls a model: its target is one, or it was paid by token.
fn is_paid_by_token(step: &Step) -> bool {
    step.attempts.iter().flat_map(|attempt| &attempt.charges).any(|charge| charge.usage.tokens() > 0)
        || step.target.as_deref().is_some_and(|target| {
            ["openai:", "anthropic:", "gemini:", "google:"]
                .iter()
                .any(|provider| target.starts_with(provider))
        })
}
