//! What can be done with the run as it stands, each as a form that works without scripts.

use maud::{Markup, html};
use midwatch_journal::{RunSummary, Status};
use midwatch_observe::timeline::{Entry, Timeline};
use midwatch_workflow::ParkReason;

use crate::app::App;
use crate::html::theirs;
use crate::link;

pub(super) fn actions(run: &RunSummary, timeline: &Timeline, app: &App) -> Markup {
    if app.door.is_read_only() {
        return html! {};
    }
    let recorder = timeline.start.recorder();
    if let Some(recorder) = recorder.filter(|_| !run.is_of_gateway()) {
        return html! {
            section.panel.actions aria-labelledby="actions-title" {
                h2 #actions-title { "Only watched" }
                p { "Others carry this run out, and " (theirs(recorder)) " writes it down. Nothing can be done with it from here: stop it, or try again, where it runs." }
            }
        };
    }
    let status = run.status;
    let form = |action: &str, inner: Markup| {
        html! {
            form.action action={(link::run(run.run)) "/" (action)} method="post" {
                input type="hidden" name="csrf" value=(app.door.blank);
                (inner)
            }
        }
    };
    let is_open = !status.is_ended();
    let budget = html! {
        @if is_open && (timeline.start.budget.is_some() || run.parked == Some(ParkReason::Budget)) {
            (more("Raise budget…", "budget", form("budget", html! { (raise()) button { "Raise" } })))
        }
    };
    let pause = html! {
        @if status == Status::Paused { (form("resume", html! { button { "Resume" } })) }
        @if is_open && status != Status::Paused {
            (more("Pause…", "pause", form("pause", html! { (reason()) button { "Pause" } })))
        }
    };
    if recorder.is_some() {
        return html! {
            section.panel.actions aria-labelledby="actions-title" {
                h2 #actions-title { "Do something" }
                p { "Its client carries it out, through the gateway, which sees to its calls alone." }
                div.buttons {
                    (pause)
                    @if is_open {
                        (more("Cancel…", "cancel", form("cancel", html! {
                            p { "Further calls are refused." } (reason()) button.danger { "Cancel the run" }
                        })))
                    }
                    (budget)
                }
            }
        };
    }
    html! {
        section.panel.actions aria-labelledby="actions-title" {
            h2 #actions-title { "Do something" }
            @if let Some(person) = timeline.parked() { (answers(person.reason, person.step.as_deref(), &form)) }
            @for name in awaited(timeline) { (signal(name, &form)) }
            div.buttons {
                @if status == Status::Failed { (form("retry", html! { button { "Retry from the failed step" } })) }
                @if status == Status::Running && waits_to_retry(timeline) { (form("retry", html! { input type="hidden" name="now" value="yes"; button { "End the wait, try now" } })) }
                (pause)
                @if is_open {
                    (more("Cancel…", "cancel", form("cancel", html! {
                        p { "Steps under way stop, and what was done is undone." } (reason()) button.danger { "Cancel the run" }
                    })))
                    (more("Signal…", "signal", form("signal", html! {
                        label { "Name" input name="name" required maxlength="200"; }
                        label { "Payload, JSON" textarea name="payload" rows="2" { "null" } }
                        button { "Send" }
                    })))
                }
                (budget)
                (more("Fork…", "fork", form("fork", fork(timeline))))
            }
        }
    }
}

fn more(title: &str, id: &str, inner: Markup) -> Markup {
    html! { details.more id={"do-" (id)} { summary { (title) } div.pop { (inner) } } }
}

fn reason() -> Markup {
    html! { label { "Reason, for the journal" input name="reason" maxlength="500"; } }
}

fn raise() -> Markup {
    html! {
        label { "Dollars more" input name="usd" inputmode="decimal" placeholder="0.50"; }
        label { "Tokens more" input name="tokens" inputmode="numeric"; }
    }
}

fn answers(reason: ParkReason, step: Option<&str>, form: &dyn Fn(&str, Markup) -> Markup) -> Markup {
    let resolve = |answer: &str, title: &str, says: &str| {
        form(
            "resolve",
            html! {
                input type="hidden" name="answer" value=(answer);
                @if let Some(step) = step { input type="hidden" name="step" value=(step); }
                button { (title) } span.faint { (says) }
            },
        )
    };
    let done = form(
        "resolve",
        html! {
            input type="hidden" name="answer" value="done";
            @if let Some(step) = step { input type="hidden" name="step" value=(step); }
            label { "What the step would have given, JSON" textarea name="output" rows="2" { "null" } }
            button { "It was done by hand" }
        },
    );
    html! {
        div.answers {
            @match reason {
                ParkReason::Budget => {
                    (form("budget", html! { (raise()) button { "Raise the budget and go on" } }))
                    (resolve("fail", "Give the step up", "what was done is undone"))
                },
                ParkReason::CompensationFailed => {
                    (resolve("retry", "Try again", "the compensation"))
                    (resolve("fail", "Leave it", "and undo the rest"))
                    (done)
                },
                ParkReason::ReplayedFailure => {
                    (resolve("retry", "Ask again", "with the same key"))
                    (resolve("fail", "It was not done", "go on as failed"))
                    (done)
                },
                ParkReason::Mismatch | ParkReason::Panicked | ParkReason::Stray | ParkReason::NoCode => {
                    (form("retry", html! { button { "Take it up again" } span.faint { "once a process with mended code runs" } }))
                },
            }
        }
    }
}

fn signal(name: &str, form: &dyn Fn(&str, Markup) -> Markup) -> Markup {
    let send =
        |payload: Markup| form("signal", html! { input type="hidden" name="name" value=(name); (payload) });
    html! {
        div.answers {
            p { "It waits for signal " b { (theirs(name)) } "." }
            (send(html! { input type="hidden" name="approval" value="yes"; button { "Approve" } span.faint { "says yes, with your name" } }))
            (send(html! { input type="hidden" name="approval" value="no"; button { "Turn down" } span.faint { "says no, with your name" } }))
            details.more id={"do-signal-" (name)} { summary { "Send something else…" } div.pop {
                (send(html! { label { "Payload, JSON" textarea name="payload" rows="3" { "null" } } button { "Send" } }))
            } }
        }
    }
}

/// So many steps are offered to fork from: the last.
const STEPS_MAX: usize = 200;

fn fork(timeline: &Timeline) -> Markup {
    let steps: Vec<String> = timeline
        .steps()
        .filter(|step| step.undoes.is_none() && step.void.is_none())
        .map(|step| step.title())
        .collect();
    let first = steps.len().saturating_sub(STEPS_MAX);
    html! {
        p { "A new run shares this one's past up to a step, and goes on from there." }
        label { "From step" select name="at_step" { @for step in steps[first..].iter().rev() { option value=(step) { (theirs(step)) } } } }
        label.check { input type="checkbox" name="new_keys" value="yes"; "with idempotency keys of its own: everything from there is done anew, charges included" }
        button { "Fork" }
    }
}

/// Signals that are waited for.
fn awaited(timeline: &Timeline) -> Vec<&str> {
    if timeline.end.is_some() {
        return Vec::new();
    }
    let mut names: Vec<&str> = timeline
        .entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Signal(signal) => {
                let limit = signal.limit.and_then(|limit| limit.fired);
                let is_open = signal.received.is_none()
                    && signal.abandoned.is_none()
                    && signal.void.is_none()
                    && limit.is_none();
                is_open.then_some(signal.name.as_str())
            }
            _ => None,
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    names.truncate(5);
    names
}

fn waits_to_retry(timeline: &Timeline) -> bool {
    timeline.steps().flat_map(|step| step.attempts.last()).any(|attempt| {
        attempt.void.is_none()
            && attempt.retry.as_ref().is_some_and(|wait| wait.fired.is_none() && wait.abandoned.is_none())
    })
}
