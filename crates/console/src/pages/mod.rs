//! The pages. Each is a view that an address names, rendered into parts; the same for who reads it once and who stays.

pub(crate) mod act;
pub(crate) mod bulk;
pub(crate) mod cost;
mod events;
pub(crate) mod notes;
pub(crate) mod now;
pub(crate) mod runs;
pub(crate) mod stalls;
mod view;
pub(crate) mod workflows;

use std::sync::Arc;

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::Uri;
use axum::response::{Html, IntoResponse, Redirect, Response};
use midwatch_inspect::Found;
use midwatch_journal::{Journal, RunQuery, Status};
use midwatch_workflow::RunId;

pub(crate) use view::View;

use crate::access::Who;
use crate::app::App;
use crate::error::{Trouble, blocking};
use crate::link;
use crate::page::Frame;

/// `GET` of a page.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Extension(who): Extension<Who>,
    uri: Uri,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let (path, query) = (uri.path().to_owned(), query.unwrap_or_default());
    let shared = Arc::clone(&app);
    blocking(move || {
        if let Some(elsewhere) = named(&app, &path)? {
            return Ok(Redirect::to(&elsewhere).into_response());
        }
        let view = View::parse(&path, &query)?;
        let page = view.render(&app)?;
        let note = value(&query, "note").and_then(|id| app.notes.read(&id));
        let live = view.is_live().then(|| live_address(&path, &query, &page.hash()));
        let frame =
            Frame { who: who.has_session.then(|| who.by.clone()), csrf: who.csrf.clone(), note, live };
        let text = page.document(&shared, &frame).replace(&app.door.blank, &who.csrf);
        Ok(Html(text).into_response())
    })
    .await
}

/// Where the page's changes come from.
fn live_address(path: &str, query: &str, hash: &str) -> String {
    let kept = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != "note");
    let mut parameters: Vec<(String, String)> =
        kept.map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    parameters.push(("_seen".to_owned(), hash.to_owned()));
    link::with(&format!("/live{path}"), parameters.iter().map(|(name, value)| (name.as_str(), value.clone())))
}

/// A run that is named otherwise than by its id: where its page is.
fn named(app: &App, path: &str) -> Result<Option<String>, Trouble> {
    let Some(name) = path.strip_prefix("/runs/").filter(|name| !name.contains('/')) else { return Ok(None) };
    let name = percent_decoded(name);
    if name.parse::<RunId>().is_ok() && name.len() == 32 {
        return Ok(None);
    }
    match midwatch_inspect::find(&app.journal, &name)? {
        Found::None => Err(Trouble::NotFound(format!("there is no run `{name}` in this journal"))),
        Found::One(run) => Ok(Some(link::run(run.run))),
        Found::Several(_) => Ok(Some(link::with("/runs", [("text", name)]))),
    }
}

fn percent_decoded(text: &str) -> String {
    // A plus is a plus in a path.
    let text = text.replace('+', "%2B");
    form_urlencoded::parse(text.as_bytes()).next().map(|(name, _)| name.into_owned()).unwrap_or_default()
}

/// The value of a parameter.
pub(crate) fn value(query: &str, name: &str) -> Option<String> {
    let found = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name);
    found.map(|(_, value)| value.into_owned()).filter(|value| !value.is_empty())
}

/// What is nowhere.
pub(crate) async fn nothing(uri: Uri) -> Response {
    let trouble = Trouble::NotFound(format!("there is nothing at {}", uri.path()));
    if uri.path().starts_with("/api/") { trouble.json() } else { trouble.into_response() }
}

/// Renders what the first reader would wait for. What fails here fails again for them, and is told then.
pub(crate) fn warm(app: &Arc<App>) {
    if let Err(error) = app.journal.keep_names() {
        tracing::warn!(%error, "names of runs could not be read");
    }
    let open = RunQuery { statuses: vec![Status::Running], limit: 1, ..RunQuery::default() };
    let runs = app.journal.runs(&open).unwrap_or_default();
    let pages = [View::Now, View::Stalls, View::Workflows, View::Cost(cost::CostView::default())];
    for view in pages.into_iter().chain(runs.iter().map(|run| View::Run(crate::run::RunView::of(run.run)))) {
        if let Err(error) = view.render(app) {
            tracing::warn!(%error, "a page could not be prepared");
        }
    }
}
