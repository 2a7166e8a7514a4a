//! Questions.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use midwatch_inspect::{Found, find};
use midwatch_journal::{Board, Cursor, Journal, Order, RunQuery, RunSummary, Status};
use midwatch_observe::why::{STALL_LIMIT, Verdict};
use midwatch_workflow::{Money, RunId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::IntoParams;

use super::asked::{Asked, Refused, bad, limit, whole_if};
use super::shape;
use crate::app::App;
use crate::error::{Trouble, blocking};
use crate::payload::hide;
use crate::shelf::Told;
use crate::verdicts;

/// What is answered.
type Answered = Result<Json<Value>, Refused>;

/// Which runs.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Runs {
    /// This very run, by its id of 32 hex digits.
    #[param(pattern = "^[0-9a-f]{32}$")]
    run: Option<String>,
    workflow: Option<String>,
    workflow_id: Option<String>,
    /// Several with commas.
    #[param(
        example = "running,waiting",
        pattern = "^(running|waiting|compensating|paused|parked|completed|failed|compensated|cancelled)(,(running|waiting|compensating|paused|parked|completed|failed|compensated|cancelled))*$"
    )]
    status: Option<String>,
    tenant: Option<String>,
    /// A part of the workflow id, or how the run id begins.
    text: Option<String>,
    /// Microseconds since 1970.
    started_from: Option<u64>,
    /// Microseconds since 1970.
    started_before: Option<u64>,
    /// Last changed at this time or later, in microseconds since 1970.
    updated_from: Option<u64>,
    /// Last changed before this time.
    updated_before: Option<u64>,
    /// Pico-dollars.
    cost_from: Option<u64>,
    /// Pico-dollars.
    cost_upto: Option<u64>,
    /// What `midwatch why` says of them. No index has it: 5,000 runs at most are asked for one answer, and for a third of a
    /// second at most; `looked` says how many these were, and `next` goes on from there.
    #[param(value_type = Option<shape::Verdict>, inline)]
    verdict: Option<String>,
    #[param(value_type = Option<shape::Order>, inline)]
    order: Option<String>,
    /// From this place on: the `next` of an answer to the same question.
    #[param(pattern = "^(0|[1-9][0-9]{0,17})[.](0|[1-9][0-9]{0,5})$")]
    after: Option<String>,
    #[param(maximum = 100_000)]
    skip: Option<u64>,
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u64>,
}

impl Runs {
    fn query(&self) -> Result<RunQuery, Trouble> {
        let skip = self.skip.unwrap_or(0);
        if skip > 100_000 {
            return Err(bad("skip is more than 100000: go on with after"));
        }
        let statuses = self.status.as_ref().map(|statuses| statuses.split(',').map(str::parse::<Status>));
        let time = |at: Option<u64>| Ok::<_, Trouble>(whole_if(at)?.map(Timestamp::from_micros));
        let cost = |cost: Option<u64>| Ok::<_, Trouble>(whole_if(cost)?.map(Money::from_picos));
        Ok(RunQuery {
            workflow: self.workflow.clone(),
            workflow_id: self.workflow_id.clone(),
            statuses: statuses.into_iter().flatten().collect::<Result<_, _>>().map_err(Trouble::Bad)?,
            tenant: self.tenant.clone(),
            text: self.text.clone().filter(|text| !text.is_empty()),
            started_from: time(self.started_from)?,
            started_before: time(self.started_before)?,
            updated_from: time(self.updated_from)?,
            updated_before: time(self.updated_before)?,
            cost_from: cost(self.cost_from)?,
            cost_upto: cost(self.cost_upto)?,
            order: order(self.order.as_deref())?,
            skip: usize::try_from(skip).unwrap_or(0),
            ..RunQuery::default()
        })
    }

    fn cursor(&self) -> Result<Option<Cursor>, Trouble> {
        self.after.as_deref().map(str::parse).transpose().map_err(Trouble::Bad)
    }

    fn run(&self) -> Result<Option<RunId>, Trouble> {
        let read = |text: &String| {
            let run = text.parse::<RunId>().ok().filter(|run| run.to_string() == *text);
            run.ok_or_else(|| bad(&format!("`{text}` is no run id of 32 hex digits")))
        };
        self.run.as_ref().map(read).transpose()
    }
}

/// A page of a list.
#[derive(Serialize, Default)]
pub(super) struct Listed {
    runs: Vec<RunSummary>,
    has_more: bool,
    next: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    looked: Option<u64>,
}

/// Lists runs.
#[utoipa::path(get, path = "/api/v1/runs", params(Runs), tag = "read", responses(
    (status = 200, body = shape::Runs), (status = 400, body = shape::Problem)))]
pub(super) async fn runs(
    State(app): State<Arc<App>>,
    Asked(asked): Asked<Runs>,
) -> Result<Json<Listed>, Refused> {
    let limit = limit(asked.limit, 50)?;
    let (query, cursor) = (asked.query()?, asked.cursor()?);
    let verdict = asked.verdict.as_deref().map(verdict).transpose()?;
    let run = asked.run()?;
    let listed = blocking(move || match (run, verdict) {
        (Some(run), verdict) => {
            let found = app.journal.run(run)?.filter(|run| query.matches(run));
            let runs = match (found, verdict) {
                (Some(run), Some(wanted)) if verdicts::of(&app, &app.inspector(), &run)? != wanted => {
                    Vec::new()
                }
                (found, _) => found.into_iter().collect(),
            };
            Ok(Listed { runs, ..Listed::default() })
        }
        (None, Some(verdict)) => {
            let found = verdicts::search(&app, &query, cursor, verdict, limit)?;
            let (has_more, next) = (found.next.is_some(), found.next.map(|next| next.to_string()));
            Ok(Listed { runs: found.runs, has_more, next, looked: Some(found.looked as u64) })
        }
        (None, None) => page(&app, query, cursor, limit),
    });
    Ok(Json(listed.await?))
}

fn page(app: &App, query: RunQuery, cursor: Option<Cursor>, limit: usize) -> Result<Listed, Trouble> {
    // Of what was skipped it is not known how much is alike: such a list goes on with a larger skip.
    let (order, has_skipped) = (query.order, query.skip > 0);
    let query = RunQuery { limit: limit + 1, ..query };
    let query = cursor.map_or(query.clone(), |cursor| query.from_cursor(cursor));
    let mut runs = app.journal.runs(&query)?;
    let has_more = runs.len() > limit;
    runs.truncate(limit);
    let next = if has_more && !has_skipped { Cursor::after(order, cursor, &runs) } else { None };
    Ok(Listed { runs, has_more, next: next.map(|next| next.to_string()), looked: None })
}

fn verdict(word: &str) -> Result<Verdict, Trouble> {
    let found = Verdict::ALL.iter().copied().find(|verdict| verdict.as_str() == word);
    found.ok_or_else(|| bad(&format!("`{word}` is no verdict")))
}

fn order(word: Option<&str>) -> Result<Order, Trouble> {
    match word {
        None | Some("newest") => Ok(Order::Newest),
        Some("oldest") => Ok(Order::Oldest),
        Some("costliest") => Ok(Order::Costliest),
        Some("stalest") => Ok(Order::Stalest),
        Some(other) => Err(bad(&format!("`{other}` is no order: newest, oldest, costliest or stalest"))),
    }
}

/// Tells a run: its summary and its timeline. RUN is its id, its short form, its first digits, or its workflow id.
#[utoipa::path(get, path = "/api/v1/runs/{run}", params(("run" = String, Path)), tag = "read", responses(
    (status = 200, body = shape::Told), (status = 400, body = shape::Problem), (status = 404, body = shape::Problem)))]
pub(super) async fn run(State(app): State<Arc<App>>, Path(run): Path<String>) -> Answered {
    let told = told(app.clone(), run).await?;
    let value = json!({ "summary": told.summary, "timeline": value(&told.timeline)? });
    Ok(Json(hidden(value, &app)))
}

/// Says why a run is slow, stuck, expensive or failed.
#[utoipa::path(get, path = "/api/v1/runs/{run}/why", params(("run" = String, Path)), tag = "read", responses(
    (status = 200, body = shape::Answer), (status = 400, body = shape::Problem), (status = 404, body = shape::Problem)))]
pub(super) async fn why(State(app): State<Arc<App>>, Path(run): Path<String>) -> Answered {
    let told = told(app.clone(), run).await?;
    let answer = blocking(move || app.why(&told)).await?;
    Ok(Json(value(&*answer)?))
}

/// How many runs there are of each status.
#[utoipa::path(get, path = "/api/v1/counts", tag = "read", responses((status = 200, body = shape::Counts)))]
pub(super) async fn counts(State(app): State<Arc<App>>) -> Answered {
    let snapshot = blocking(move || crate::pages::now::snapshot(&app)).await?;
    let counts: serde_json::Map<String, Value> =
        snapshot.counts.iter().map(|(status, count)| (status.to_string(), json!(count))).collect();
    Ok(Json(json!({ "counts": counts })))
}

/// Which costs.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Cost {
    #[param(value_type = Option<shape::By>, inline)]
    by: Option<String>,
    workflow: Option<String>,
    tenant: Option<String>,
    /// Of runs that started within so many hours.
    hours: Option<u64>,
}

/// Reports what the newest runs cost.
#[utoipa::path(get, path = "/api/v1/cost", params(Cost), tag = "read", responses(
    (status = 200, body = shape::Report), (status = 400, body = shape::Problem)))]
pub(super) async fn cost(State(app): State<Arc<App>>, Asked(asked): Asked<Cost>) -> Answered {
    let hours = whole_if(asked.hours)?;
    let view = crate::pages::cost::CostView::parse(|name| match name {
        "by" => asked.by.clone(),
        "workflow" => asked.workflow.clone(),
        "tenant" => asked.tenant.clone(),
        "hours" => hours.map(|hours| hours.to_string()),
        _ => None,
    })?;
    let kept = blocking(move || app.cost(&view)).await?;
    let mut report = value(&kept.0)?;
    if let Some(fields) = report.as_object_mut() {
        fields.insert("has_more".to_owned(), kept.1.into());
    }
    Ok(Json(report))
}

/// How long is too long.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Limit {
    /// How long a run may say nothing.
    limit_seconds: Option<u64>,
}

/// Finds runs that make no progress.
#[utoipa::path(get, path = "/api/v1/stalls", params(Limit), tag = "read", responses(
    (status = 200, body = shape::Stalls), (status = 400, body = shape::Problem)))]
pub(super) async fn stalls(State(app): State<Arc<App>>, Asked(asked): Asked<Limit>) -> Answered {
    let limit = whole_if(asked.limit_seconds)?.map_or(STALL_LIMIT, Duration::from_secs);
    let found = blocking(move || Ok(midwatch_inspect::stalls(&app.journal, app.now(), limit)?)).await?;
    Ok(Json(json!({ "stalls": value(&found.stalls)?, "is_bounded": found.is_bounded })))
}

/// Says how the gates stand in the process that owns the journal.
#[utoipa::path(get, path = "/api/v1/gates", tag = "read", responses((status = 200, body = shape::Gates)))]
pub(super) async fn gates(State(app): State<Arc<App>>) -> Answered {
    let board = blocking(move || Ok(Board::read(&app.path)?)).await?;
    Ok(Json(json!({ "gates": board.map(|board| board.gates).unwrap_or_default() })))
}

/// The run that somebody means.
pub(super) fn named(app: &App, asked: &str) -> Result<RunSummary, Trouble> {
    match find(&app.journal, asked)? {
        Found::One(run) => Ok(*run),
        Found::None => Err(Trouble::NotFound(format!("there is no run `{asked}` in this journal"))),
        Found::Several(runs) => {
            let ids: Vec<String> = runs.iter().take(5).map(|run| run.run.to_string()).collect();
            Err(bad(&format!("`{asked}` names {} runs, such as {}", runs.len(), ids.join(", "))))
        }
    }
}

pub(super) async fn told(app: Arc<App>, asked: String) -> Result<Arc<Told>, Trouble> {
    blocking(move || {
        let run = named(&app, &asked)?;
        let none = || Trouble::NotFound(format!("there is no run `{asked}` in this journal"));
        app.shelf.told(&app.journal, run.run)?.ok_or_else(none)
    })
    .await
}

fn hidden(mut value: Value, app: &App) -> Value {
    hide(&mut value, &app.settings.redact);
    value
}

pub(super) fn value(of: &impl Serialize) -> Result<Value, Trouble> {
    serde_json::to_value(of).map_err(|_| Trouble::Lost)
}
