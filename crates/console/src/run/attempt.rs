//! An attempt: how it went, what it cost, why the next one came when it did.

use maud::{Markup, html};
use midwatch_observe::tell::{Tone, amount, event, time};
use midwatch_observe::timeline::Attempt;
use midwatch_workflow::{Certainty, Charge, Ended, RunId, Timestamp};

use super::bars::attempt_end;
use crate::html::{self, span, theirs, tone};
use crate::payload;
use crate::settings::Settings;

/// How an attempt went, in a few words.
pub(super) fn outcome(attempt: &Attempt) -> (String, Tone) {
    match (&attempt.end, attempt.started) {
        _ if attempt.void.is_some() => ("taken back".to_owned(), Tone::Faint),
        (Some(end), _) => match &end.result {
            Ended::Ok(_) => ("ok".to_owned(), Tone::Good),
            Ended::Failed(failure) => {
                let status = failure.status.map(|status| format!(" {status}")).unwrap_or_default();
                (format!("{}{status}", failure.class), Tone::Bad)
            }
        },
        (None, _) if attempt.abandoned.is_some() => ("no longer wanted".to_owned(), Tone::Faint),
        (None, None) => (attempt.waits.map_or("waits", event::held).to_owned(), Tone::Warn),
        (None, Some(_)) => ("under way".to_owned(), Tone::Active),
    }
}

/// All that is known of an attempt.
pub(super) fn shown(run: RunId, attempt: &Attempt, now: Timestamp, settings: &Settings) -> Markup {
    let (what, how) = outcome(attempt);
    html! {
        div.attempt {
            div.attempthead {
                span.no { "attempt " (attempt.number) }
                span class={"chip " (tone(how))} { (what) }
                @if let Some(started) = attempt.started {
                    span.faint { (span(attempt_end(attempt, now).since(started.at))) " of at most " (span(attempt.timeout)) }
                }
                (spent(&attempt.charges))
                (html::events(run, &marks(attempt)))
            }
            @if let Some(failure) = attempt.failure() {
                p.failure { (theirs(&failure.message)) }
                @if let Some(source) = &failure.source { p.faint { (theirs(source)) } }
                @if failure.ambiguous { p.warn { "◆ It may have had its effect." } }
            }
            @if let Some(beat) = &attempt.beat {
                div.faint {
                    "heartbeat " (amount::count(beat.count)) ", " @if attempt.is_open() { (html::age(beat.mark.at, now)) } @else { "the last at " (html::moment(beat.mark.at)) }
                }
                (payload::shown("progress", &beat.progress, settings, (run, beat.mark.event)))
            }
            @if let Some(end) = &attempt.end { @if let Ended::Ok(output) = &end.result {
                (payload::shown("output", output, settings, (run, end.mark.event)))
            } }
            @if let Some(wait) = &attempt.retry {
                p.wait {
                    @let length = time::span(wait.until.since(wait.asked.at));
                    @let is_over = wait.fired.is_some() || wait.abandoned.is_some() || attempt.void.is_some();
                    @if is_over { "then waited " (length) } @else { "waits " (length) ", until " (html::age(wait.until, now)) "," }
                    " for attempt " (wait.attempt) " of " (wait.of) ": " (event::because_of(wait.because)) " "
                    (html::event(run, wait.asked.event))
                }
            }
        }
    }
}

fn marks(attempt: &Attempt) -> Vec<u64> {
    let started = attempt.started.map(|mark| mark.event).filter(|event| *event != attempt.asked.event);
    let end = attempt.end.as_ref().map(|end| end.mark.event).or(attempt.abandoned.map(|mark| mark.event));
    [Some(attempt.asked.event), started, end].into_iter().flatten().collect()
}

/// Tokens and cost, and how well they are known.
fn spent(charges: &[Charge]) -> Markup {
    html! {
        @for charge in charges {
            span.charge {
                (theirs(&charge.target)) " "
                span.num { (amount::count(charge.usage.input)) " in" }
                @if charge.usage.cached > 0 { span.faint { " (" (amount::count(charge.usage.cached)) " cached)" } }
                " · " span.num { (amount::count(charge.usage.output)) " out" }
                " · "
                @match charge.cost {
                    Some(cost) => (html::money(cost)),
                    None => span.warn { "no known price" },
                }
                @match charge.certainty {
                    Certainty::Exact => {},
                    Certainty::Estimated => span.tag title="counted along a stream whose end never came" { "estimated" },
                    Certainty::Bound => span.tag title="nobody can know; at most this" { "at most" },
                }
            }
        }
    }
}
