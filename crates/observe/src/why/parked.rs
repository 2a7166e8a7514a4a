//! Parked: which answer, or which code, a run needs.

use midwatch_workflow::ParkReason;

use super::case::{Case, Finding, word};
use super::{Cause, Verdict};
use crate::words::{brief, counted, span, usd};

/// The cause of each reason to park.
pub(super) const fn cause(reason: ParkReason) -> Cause {
    match reason {
        ParkReason::Budget => Cause::ParkedBudget,
        ParkReason::CompensationFailed => Cause::ParkedCompensationFailed,
        ParkReason::ReplayedFailure => Cause::ParkedReplayedFailure,
        ParkReason::Mismatch => Cause::CodeJournalMismatch,
        ParkReason::Panicked => Cause::ParkedPanicked,
        ParkReason::Stray => Cause::ParkedStray,
        ParkReason::NoCode => Cause::NoCode,
    }
}

/// Says why a run is parked, if it is.
pub(super) fn find<'f>(case: &Case<'f>) -> Option<Finding<'f>> {
    let person = case.timeline.parked()?;
    let since = span(case.facts.now.since(person.asked.at));
    let headline = format!("parked {since} ago: {}", brief(&person.message));
    let mut finding = Finding::new(Verdict::Parked, cause(person.reason), headline)
        .shown_by([person.asked.event], brief(&person.message));
    let step = person.step.as_ref().and_then(|name| {
        case.timeline.steps().filter(|step| step.name == *name && step.void.is_none()).last()
    });
    if let Some(step) = step {
        let failed: Vec<_> = step.attempts.iter().filter(|attempt| attempt.failure().is_some()).collect();
        // An old answer replayed hides the first one: that is what happened.
        if person.reason == ParkReason::ReplayedFailure
            && let Some((first, failure)) = failed.first().and_then(|first| Some((first, first.failure()?)))
        {
            let event = first.end.as_ref().map(|end| end.mark.event);
            finding = finding
                .shown_by(event, format!("the first attempt failed with {}", brief(&failure.to_string())));
            finding
                .under
                .extend(super::failed::class(failure).filter(|cause| *cause != Cause::ReplayedFailure));
        } else if !failed.is_empty() && person.reason != ParkReason::Budget {
            let words: Vec<String> = failed.iter().filter_map(|attempt| word(attempt)).collect();
            let events = failed.iter().filter_map(|attempt| attempt.end.as_ref()).map(|end| end.mark.event);
            finding = finding.shown_by(events, format!("{}: {}", step.title(), words.join(" ")));
        }
        finding = finding.about(step);
    }
    if person.reason == ParkReason::Budget {
        let spent = format!(
            "{} spent by {}, {} of it on failed attempts",
            usd(case.timeline.spent.cost),
            counted(case.profile.bookings.len() as u64, "booking"),
            usd(case.timeline.wasted)
        );
        finding = finding.shown_by(case.profile.bookings.iter().map(|booking| booking.event), spent);
    }
    Some(finding)
}
