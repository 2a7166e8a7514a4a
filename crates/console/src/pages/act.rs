//! Doing something with a run: a form's fields become an order, and the next page says what came of it.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Form, Path, State};
use axum::response::Redirect;
use midwatch_journal::{Journal, RunSummary};
use midwatch_steer::{
    Cancel, Desk, Effect, Fork, ForkAt, Order, Outcome, Pause, RaiseBudget, Resolve, Resume, Retry, Signal,
    Waits, deliver,
};
use midwatch_workflow::{ForkKeys, Money, Payload, Resolution, RunId};
use serde::Deserialize;

use crate::access::Who;
use crate::app::App;
use crate::error::{Trouble, blocking};
use crate::link;

/// What a form says. Each action reads its own fields.
#[derive(Deserialize, Default, Debug)]
#[serde(default)]
pub(crate) struct Fields {
    pub(crate) csrf: String,
    pub(crate) reason: String,
    /// Of a signal.
    pub(crate) name: String,
    /// JSON.
    pub(crate) payload: String,
    pub(crate) id: String,
    /// `yes` or `no`: a signal that answers a question.
    pub(crate) approval: String,
    /// Of a parked run.
    pub(crate) step: String,
    /// `retry`, `done` or `fail`.
    pub(crate) answer: String,
    /// JSON.
    pub(crate) output: String,
    pub(crate) usd: String,
    pub(crate) tokens: String,
    pub(crate) at_step: String,
    pub(crate) at_event: String,
    /// Anything for yes.
    pub(crate) new_keys: String,
    /// Anything for yes.
    pub(crate) now: String,
}

/// An order that may go to another thread.
pub(crate) type AnyOrder = Box<dyn Order + Send>;

/// How long an effect is waited for before the next page is shown.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest text of a form that goes into the journal, in bytes.
const TEXT_MAX: usize = 2_000;

/// `POST /runs/{run}/{action}`.
pub(crate) async fn act(
    State(app): State<Arc<App>>,
    Extension(who): Extension<Who>,
    Path((run, action)): Path<(String, String)>,
    Form(fields): Form<Fields>,
) -> Result<Redirect, Trouble> {
    if !who.is_theirs(&fields.csrf) {
        return Err(Trouble::Forbidden("the form is an old one: load the page again".to_owned()));
    }
    blocking(move || {
        let run: RunId = run.parse().map_err(|_| Trouble::NotFound(format!("there is no run `{run}`")))?;
        let none = || Trouble::NotFound(format!("there is no run {run} in this journal"));
        let found = app.journal.run(run)?.ok_or_else(none)?;
        let order = order(&app, &action, &fields, &who.by)?;
        let mut outcome = None;
        send(&app, order.as_ref(), &[found], PATIENCE, |_, what| outcome = Some(what.clone()))?;
        let (text, next) = match outcome {
            Some(outcome) => told(order.as_ref(), run, &outcome),
            None => return Err(Trouble::Lost),
        };
        let note = app.notes.keep(text);
        Ok(Redirect::to(&link::with(&link::run(next), [("note", note)])))
    })
    .await
}

/// Sends an order to runs. Blocks.
pub(crate) fn send(
    app: &App,
    order: &dyn Order,
    runs: &[RunSummary],
    patience: Duration,
    mut tell: impl FnMut(&RunSummary, &Outcome),
) -> Result<(), Trouble> {
    let clock = || app.now();
    let desk = Desk { journal: &app.journal, path: &app.path, patience, clock: &clock };
    deliver(order, runs, &desk, |run, outcome| {
        tell(run, outcome);
        Ok::<(), Trouble>(())
    })
}

/// What is said of an outcome, and which run to look at next.
fn told(order: &dyn Order, run: RunId, outcome: &Outcome) -> (String, RunId) {
    match outcome {
        Outcome::Done(Effect::Event(number)) => (format!("✓ {} (event {number})", order.done()), run),
        Outcome::Done(Effect::Run(new)) => (format!("✓ {} as this run", order.done()), *new),
        Outcome::Already(what) => (format!("· The run {what}."), run),
        Outcome::Queued { letter, why } => (format!("◷ Queued as letter {letter}: {why}."), run),
        Outcome::Refused { why, instead } => {
            let instead = instead.as_ref().map(|instead| format!(" {instead}")).unwrap_or_default();
            (format!("✕ Refused: the run {why}.{instead}"), run)
        }
    }
}

/// The order that a form means.
pub(crate) fn order(app: &App, action: &str, fields: &Fields, by: &str) -> Result<AnyOrder, Trouble> {
    let by = by.to_owned();
    let reason = bounded(&fields.reason, "the reason")?;
    Ok(match action {
        "cancel" => Box::new(Cancel { reason, by }),
        "pause" => Box::new(Pause { reason, by }),
        "resume" => Box::new(Resume { by }),
        "retry" => {
            let waits = if fields.now.is_empty() { Waits::Keep } else { Waits::End };
            Box::new(Retry { waits, now: app.now(), by })
        }
        "signal" => Box::new(signal(fields, &by)?),
        "resolve" => Box::new(Resolve { step: some(&fields.step), resolution: resolution(fields)?, by }),
        "budget" => Box::new(budget(fields, by)?),
        "fork" => Box::new(fork(app, fields, by)?),
        _ => return Err(Trouble::NotFound(format!("nobody can {action} a run"))),
    })
}

fn signal(fields: &Fields, by: &str) -> Result<Signal, Trouble> {
    let name = bounded(&fields.name, "the signal's name")?;
    if name.is_empty() {
        return Err(Trouble::Bad("a signal needs a name".to_owned()));
    }
    let payload = match fields.approval.as_str() {
        "" => json(&fields.payload)?,
        answer => {
            let said = serde_json::json!({ "approved": answer == "yes", "by": by, "note": fields.reason });
            Payload::of(&said).map_err(|failure| Trouble::Bad(failure.message))?
        }
    };
    Ok(Signal { name, payload, id: some(&fields.id) })
}

fn resolution(fields: &Fields) -> Result<Resolution, Trouble> {
    match fields.answer.as_str() {
        "retry" => Ok(Resolution::Retry),
        "fail" => Ok(Resolution::Fail),
        "done" => Ok(Resolution::Done(json(&fields.output)?)),
        other => Err(Trouble::Bad(format!("`{other}` is no answer: retry, done or fail"))),
    }
}

fn budget(fields: &Fields, by: String) -> Result<RaiseBudget, Trouble> {
    let usd =
        some(&fields.usd).map(|usd| usd.parse::<Money>().map_err(|error| Trouble::Bad(error.to_string())));
    let tokens = some(&fields.tokens).map(|tokens| {
        tokens.parse::<u64>().map_err(|_| Trouble::Bad(format!("`{tokens}` is no number of tokens")))
    });
    let (usd, tokens) = (usd.transpose()?, tokens.transpose()?);
    if usd.is_none() && tokens.is_none() {
        return Err(Trouble::Bad("say by how many dollars or tokens the budget is raised".to_owned()));
    }
    Ok(RaiseBudget { usd, tokens, by })
}

fn fork(app: &App, fields: &Fields, by: String) -> Result<Fork, Trouble> {
    let at = match some(&fields.at_event) {
        Some(event) => {
            ForkAt::Event(event.parse().map_err(|_| Trouble::Bad(format!("`{event}` is no event's number")))?)
        }
        None => ForkAt::Step(bounded(&fields.at_step, "the step's name")?),
    };
    let keys = if fields.new_keys.is_empty() { ForkKeys::Parent } else { ForkKeys::Own };
    let mut random = [0; 10];
    getrandom::fill(&mut random).map_err(|_| Trouble::Lost)?;
    Ok(Fork { at, keys, new: RunId::new(app.now(), random), by })
}

fn json(text: &str) -> Result<Payload, Trouble> {
    let text = if text.trim().is_empty() { "null" } else { text.trim() };
    if text.len() > Payload::BYTES_MAX {
        return Err(Trouble::Bad(format!(
            "{} bytes are over the limit of {}",
            text.len(),
            Payload::BYTES_MAX
        )));
    }
    let wrong = |error| Trouble::Bad(format!("this is no JSON ({error}); a text needs quotes: \"yes\""));
    Payload::from_json(text).map_err(wrong)
}

fn bounded(text: &str, what: &str) -> Result<String, Trouble> {
    if text.len() > TEXT_MAX {
        return Err(Trouble::Bad(format!("{what} is longer than {TEXT_MAX} bytes")));
    }
    Ok(text.trim().to_owned())
}

fn some(text: &str) -> Option<String> {
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}
