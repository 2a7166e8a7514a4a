//! Doing something with all runs that fit a filter: first how many these are, then, once somebody has agreed to that very
//! number, the deed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Form, Path, RawQuery, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use maud::html;
use midwatch_journal::{Journal, Order, RunQuery, RunSummary, Status};
use midwatch_observe::tell::amount;
use midwatch_steer::{OPEN, Outcome};
use serde::Deserialize;

use super::act::{Fields, order, send};
use super::runs::{RunsView, table};
use super::value;
use crate::access::Who;
use crate::app::App;
use crate::error::{Trouble, blocking};
use crate::link;
use crate::page::{Frame, Page, Part, Section};

/// The most runs that are steered at once.
const RUNS_MAX: usize = 10_000;
/// So many of them are shown before.
const SHOWN_MAX: usize = 10;
/// How long effects are waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// What somebody agreed to.
#[derive(Deserialize)]
pub(crate) struct Agreed {
    csrf: String,
    count: usize,
    #[serde(default)]
    reason: String,
}

/// `GET /bulk/{action}`: how many runs that would be.
pub(crate) async fn ask(
    State(app): State<Arc<App>>,
    Extension(who): Extension<Who>,
    Path(action): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    blocking(move || {
        let view = view(&query.unwrap_or_default())?;
        let runs = runs(&app, &action, &view)?;
        Ok(asked(&app, &who, &action, &view, &runs, None))
    })
    .await
}

/// `POST /bulk/{action}`: does it, if the number is still the one that was agreed to.
pub(crate) async fn act(
    State(app): State<Arc<App>>,
    Extension(who): Extension<Who>,
    Path(action): Path<String>,
    RawQuery(query): RawQuery,
    Form(agreed): Form<Agreed>,
) -> Result<Response, Trouble> {
    if !who.is_theirs(&agreed.csrf) {
        return Err(Trouble::Forbidden("the form is an old one: load the page again".to_owned()));
    }
    blocking(move || {
        let view = view(&query.unwrap_or_default())?;
        let runs = runs(&app, &action, &view)?;
        if runs.len() != agreed.count {
            let why = format!(
                "It was {} a moment ago. Nothing was done.",
                amount::counted(agreed.count as u64, "run")
            );
            return Ok(asked(&app, &who, &action, &view, &runs, Some(&why)));
        }
        let fields = Fields { reason: agreed.reason, ..Fields::default() };
        let order = order(&app, &action, &fields, &who.by)?;
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        send(&app, order.as_ref(), &runs, PATIENCE, |_, outcome| {
            let word = match outcome {
                Outcome::Done(_) => "done",
                Outcome::Already(_) => "already so",
                Outcome::Queued { .. } => "queued",
                Outcome::Refused { .. } => "refused",
            };
            *counts.entry(word).or_default() += 1;
        })?;
        let counts: Vec<String> =
            counts.iter().map(|(word, count)| format!("{} {word}", amount::count(*count))).collect();
        let note = app.notes.keep(format!(
            "{action} of {}: {}",
            amount::counted(runs.len() as u64, "run"),
            counts.join(", ")
        ));
        let next = view.parameters().into_iter().chain([("note", note)]);
        Ok(Redirect::to(&link::with("/runs", next)).into_response())
    })
    .await
}

fn view(query: &str) -> Result<RunsView, Trouble> {
    let view = RunsView::parse(|name| value(query, name))?;
    if !view.is_steerable() {
        return Err(Trouble::Bad(
            "choose which runs: by status, workflow, tenant, cost, age or text".to_owned(),
        ));
    }
    Ok(view)
}

/// The runs that fit, the oldest first.
fn runs(app: &App, action: &str, view: &RunsView) -> Result<Vec<RunSummary>, Trouble> {
    let can: &[Status] = match action {
        "cancel" | "pause" => &OPEN,
        "resume" => &[Status::Paused],
        "retry" => &[Status::Failed, Status::Parked],
        _ => return Err(Trouble::NotFound(format!("nobody can {action} many runs at once"))),
    };
    let mut query = RunQuery { order: Order::Oldest, limit: RUNS_MAX + 1, ..view.query(app.now()) };
    if query.statuses.is_empty() {
        query.statuses = can.to_vec();
    }
    let runs = app.journal.runs(&query)?;
    if runs.len() > RUNS_MAX {
        return Err(Trouble::Bad(format!(
            "more than {} runs fit: narrow the filter",
            amount::count(RUNS_MAX as u64)
        )));
    }
    Ok(runs)
}

fn asked(
    app: &Arc<App>,
    who: &Who,
    action: &str,
    view: &RunsView,
    runs: &[RunSummary],
    why: Option<&str>,
) -> Response {
    let count = amount::counted(runs.len() as u64, "run");
    let chosen: Vec<String> = view
        .parameters()
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    let body = html! {
        h1 { (action) " " (count) "?" }
        @if let Some(why) = why { p.alarm role="alert" { "◆ " (why) } }
        p { "All that fit " b { (chosen.join(", ")) } " and can take it." }
        @if runs.is_empty() { p.panel.empty { "No run fits." } } @else {
            (table(&runs[..runs.len().min(SHOWN_MAX)], app.now()))
            @if runs.len() > SHOWN_MAX { p.faint { "and " (amount::count((runs.len() - SHOWN_MAX) as u64)) " more" } }
            form.panel.agree action=(link::with(&format!("/bulk/{action}"), view.parameters())) method="post" {
                input type="hidden" name="csrf" value=(app.door.blank);
                input type="hidden" name="count" value=(runs.len());
                @if matches!(action, "cancel" | "pause") { label { "Reason, for the journal" input name="reason" maxlength="500"; } }
                div.buttons {
                    button.danger[action == "cancel"] { "Yes, " (action) " " (count) }
                    a href=(link::with("/runs", view.parameters())) { "No" }
                }
            }
        }
    };
    let page = Page {
        title: format!("{action} {count}?"),
        section: Section::Runs,
        parts: vec![Part::new("bulk-ask", "", body)],
    };
    let frame =
        Frame { who: who.has_session.then(|| who.by.clone()), csrf: who.csrf.clone(), ..Frame::default() };
    Html(page.document(app, &frame).replace(&app.door.blank, &who.csrf)).into_response()
}
