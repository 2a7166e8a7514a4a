//! Why the run is as it is: the answer of `midwatch why`, each figure with the events that say so.

use maud::{Markup, html};
use midwatch_observe::profile::Part;
use midwatch_observe::tell::{Tone, amount};
use midwatch_observe::why::{Answer, Safe, Verdict};
use midwatch_workflow::RunId;

use crate::draw;
use crate::html::{self, span, theirs, tone};
use crate::link;

pub(super) fn verdict(answer: &Answer, run: RunId) -> Markup {
    html! {
        div class={"panel verdictpanel " (tone(html::of_verdict(answer.verdict)))} {
            div.verdicthead { (html::verdict(answer.verdict)) p.headline { (theirs(&answer.headline)) } }
            p.cause {
                b { (answer.cause.as_str().replace('_', " ")) }
                @for under in &answer.under { " ← " (under.as_str().replace('_', " ")) }
                span.faint { " · " (answer.cause.meaning()) }
            }
            @if !answer.evidence.is_empty() {
                ul.evidence { @for evidence in &answer.evidence { li { (theirs(&evidence.says)) " " (html::events(run, &evidence.events)) } } }
            }
            (time(answer))
            dl.facts.why {
                dt { "usual" } dd { (usual(answer)) }
                @if !answer.tries.is_empty() {
                    dt { "tries" } dd { @for one in &answer.tries { a.try href=(link::event(run, one.event)) { (theirs(&one.word)) } " " } }
                }
                @if answer.safe_to_retry.verdict != Safe::NotApplicable { dt { "safe to retry" } dd { (safe(answer, run)) } }
                @if answer.affected.runs > 0 {
                    dt { "also" }
                    dd {
                        (amount::counted(answer.affected.runs, "other open run")) " on the same " (theirs(&answer.affected.share))
                        @for other in answer.affected.examples.iter().take(4) { " " a.run href=(link::run(*other)) { (other.short()) } }
                    }
                }
                @for also in &answer.also { dt { "also" } dd { (html::verdict(also.verdict)) " " (theirs(&also.headline)) } }
                @if !answer.excluded.is_empty() {
                    dt { "not" }
                    dd.faint {
                        @for (n, excluded) in answer.excluded.iter().enumerate() {
                            @if n > 0 { ", " } span title=(excluded.because) { (excluded.what) }
                        }
                    }
                }
                @if let Some(who) = answer.carried_out_by { dt { "runs" } dd { "outside: " (who) " carries it out, and midwatch only watches" } }
                dt { "next" }
                dd { ul.next { @for next in &answer.next { li { (html::command(&next.command)) span.faint { (theirs(&next.does)) } } } } }
            }
        }
    }
}

/// Where the time went.
fn time(answer: &Answer) -> Markup {
    let whole = answer.elapsed.as_secs_f64();
    let seen = || answer.time.iter().filter(|share| share.took.as_secs_f64() * 100.0 >= whole);
    let parts: Vec<(&str, f64, String)> = seen()
        .map(|share| {
            let title = format!("{} {}", share.part.words(), span(share.took));
            (part(share.part), share.took.as_secs_f64(), title)
        })
        .collect();
    html! {
        @if !parts.is_empty() {
            div.timeshares {
                (draw::shares(&parts))
                ul.legend { @for share in seen() {
                    li { span.swatch { svg width="10" height="10" aria-hidden="true" { rect class=(part(share.part)) width="10" height="10" rx="2" {} } } (share.part.words()) " " span.num { (span(share.took)) } }
                } }
            }
        }
    }
}

const fn part(part: Part) -> &'static str {
    match part {
        Part::Executing => "k-good",
        Part::FailedAttempts => "k-refused",
        Part::ProcessLost => "k-lost",
        Part::Compensating => "k-undo",
        Part::Paused | Part::Gate | Part::Queued => "k-held",
        Part::RetryWait => "k-pressure",
        Part::Person => "k-person",
        Part::Child => "k-child",
        Part::Signal => "k-signal",
        Part::Sleep => "k-wait",
        Part::Idle => "k-void",
    }
}

/// What it is compared with.
fn usual(answer: &Answer) -> Markup {
    let baseline = &answer.baseline;
    html! {
        @match baseline.elapsed.filter(|_| baseline.is_enough) {
            Some(usual) => { "took " b.num { (span(answer.elapsed)) } ", usually " (span(usual.median)) ", 95% within " (span(usual.p95)) span.faint { " (" (amount::counted(usual.n, "run")) ")" } },
            None => { "took " b.num { (span(answer.elapsed)) } span.faint { " · too few other runs to compare with (" (baseline.runs) ")" } },
        }
        @if let Some(usual) = baseline.cost.filter(|_| baseline.is_enough && answer.spent.cost.as_picos() > 0) {
            " · cost " b { (html::money(answer.spent.cost)) } ", usually " (html::money(usual.median)) ", 95% within " (html::money(usual.p95))
            @if answer.verdict == Verdict::Expensive { span class=(tone(Tone::Warn)) { (format!(" = {:.1}× the median", answer.spent.cost.as_usd() / usual.median.as_usd().max(f64::MIN_POSITIVE))) } }
        }
    }
}

fn safe(answer: &Answer, run: RunId) -> Markup {
    let safe = &answer.safe_to_retry;
    let word = match safe.verdict {
        Safe::Yes => "✓ yes",
        Safe::WithKeys => "◔ yes, if the receiver honours keys",
        Safe::No | Safe::NotApplicable => "✕ no",
    };
    html! {
        b { (word) }
        @if let Some(step) = &safe.step { " (step " (theirs(step)) ")" }
        ": " (theirs(&safe.because)) " " (html::events(run, &safe.ambiguous))
        @if let Some(key) = &safe.key { div.faint { "key " code { (theirs(key)) } } }
    }
}
