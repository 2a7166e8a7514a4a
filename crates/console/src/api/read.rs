//! Questions.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use midwatch_inspect::{Found, find};
use midwatch_journal::{Board, Journal, Order, RunQuery, RunSummary, Status};
use midwatch_observe::why::STALL_LIMIT;
use midwatch_workflow::{Event, Money, RunId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::IntoParams;

use super::asked::{Asked, Refused};
use super::shape;
use crate::app::App;
use crate::error::{Trouble, blocking};
use crate::payload::hide;
use crate::shelf::Told;

/// What is answered.
type Answered = Result<Json<Value>, Refused>;

/// The most runs, or events, of one answer.
const LIMIT_MAX: u64 = 1_000;

/// Which runs.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Runs {
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
    /// Microseconds since 1970; with the order newest, where the next page begins.
    started_before: Option<u64>,
    /// Pico-dollars.
    cost_from: Option<u64>,
    #[param(value_type = Option<shape::Order>, inline)]
    order: Option<String>,
    #[param(maximum = 100_000)]
    skip: Option<u64>,
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u64>,
}

/// Lists runs.
#[utoipa::path(get, path = "/api/v1/runs", params(Runs), tag = "read", responses(
    (status = 200, body = shape::Runs), (status = 400, body = shape::Problem)))]
pub(super) async fn runs(State(app): State<Arc<App>>, Asked(asked): Asked<Runs>) -> Answered {
    let limit = limit(asked.limit, 50)?;
    let skip = asked.skip.unwrap_or(0);
    if skip > 100_000 {
        return Err(bad("skip is more than 100000: go on with started_before").into());
    }
    let statuses = asked.status.as_ref().map(|statuses| statuses.split(',').map(str::parse::<Status>));
    let query = RunQuery {
        workflow: asked.workflow,
        workflow_id: asked.workflow_id,
        statuses: statuses.into_iter().flatten().collect::<Result<_, _>>().map_err(Trouble::Bad)?,
        tenant: asked.tenant,
        text: asked.text.filter(|text| !text.is_empty()),
        started_from: whole_if(asked.started_from)?.map(Timestamp::from_micros),
        started_before: whole_if(asked.started_before)?.map(Timestamp::from_micros),
        cost_from: whole_if(asked.cost_from)?.map(Money::from_picos),
        order: order(asked.order.as_deref())?,
        skip: usize::try_from(skip).unwrap_or(0),
        limit: limit + 1,
        ..RunQuery::default()
    };
    let mut runs = blocking(move || Ok(app.journal.runs(&query)?)).await?;
    let has_more = runs.len() > limit;
    runs.truncate(limit);
    Ok(Json(json!({ "runs": runs, "has_more": has_more })))
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

/// Which events.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct After {
    /// Those after this one.
    after: Option<u64>,
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u64>,
}

/// The events of a run, as the journal has them.
#[utoipa::path(get, path = "/api/v1/runs/{run}/events", params(("run" = String, Path), After), tag = "read", responses(
    (status = 200, body = shape::Events), (status = 400, body = shape::Problem), (status = 404, body = shape::Problem)))]
pub(super) async fn events(
    State(app): State<Arc<App>>,
    Path(run): Path<String>,
    Asked(asked): Asked<After>,
) -> Answered {
    let limit = limit(asked.limit, 1_000)?;
    let told = told(app.clone(), run).await?;
    let after = usize::try_from(whole(asked.after)?).unwrap_or(usize::MAX).min(told.events.len());
    let new = told.events[after..].iter().zip(after as u64 + 1..).take(limit);
    let events: Vec<Value> = new.map(|(event, number)| numbered(told.summary.run, number, event)).collect();
    let has_more = told.events.len() > after + limit;
    Ok(Json(hidden(json!({ "events": events, "has_more": has_more }), &app)))
}

/// Events of all runs in commit order, after a position.
#[utoipa::path(get, path = "/api/v1/events", params(After), tag = "read", responses(
    (status = 200, body = shape::AllEvents), (status = 400, body = shape::Problem)))]
pub(super) async fn all_events(State(app): State<Arc<App>>, Asked(asked): Asked<After>) -> Answered {
    let (limit, after) = (limit(asked.limit, 1_000)?, whole(asked.after)?);
    let shared = Arc::clone(&app);
    let rows = blocking(move || Ok(shared.journal.since(after, limit)?)).await?;
    let position = rows.last().map_or(after, |row| row.position);
    let has_more = rows.len() == limit;
    let events: Vec<Value> = rows
        .iter()
        .flat_map(|row| {
            row.events.iter().zip(row.first..).map(|(event, number)| numbered(row.run, number, event))
        })
        .collect();
    Ok(Json(hidden(json!({ "events": events, "position": position, "has_more": has_more }), &app)))
}

/// The last position in commit order: where events of all runs begin from now on.
#[utoipa::path(get, path = "/api/v1/position", tag = "read", responses((status = 200, body = shape::Position)))]
pub(super) async fn position(State(app): State<Arc<App>>) -> Answered {
    let position = blocking(move || Ok(app.journal.position()?)).await?;
    Ok(Json(json!({ "position": position })))
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

async fn told(app: Arc<App>, asked: String) -> Result<Arc<Told>, Trouble> {
    blocking(move || {
        let run = named(&app, &asked)?;
        let none = || Trouble::NotFound(format!("there is no run `{asked}` in this journal"));
        app.shelf.told(&app.journal, run.run)?.ok_or_else(none)
    })
    .await
}

fn numbered(run: RunId, number: u64, event: &Event) -> Value {
    json!({ "run": run, "number": number, "at": event.at, "event": event.kind })
}

fn hidden(mut value: Value, app: &App) -> Value {
    hide(&mut value, &app.settings.redact);
    value
}

fn value(of: &impl Serialize) -> Result<Value, Trouble> {
    serde_json::to_value(of).map_err(|_| Trouble::Lost)
}

/// A number as the description has it: no larger than 63 bits.
fn whole(number: Option<u64>) -> Result<u64, Trouble> {
    whole_if(number).map(Option::unwrap_or_default)
}

fn whole_if(number: Option<u64>) -> Result<Option<u64>, Trouble> {
    match number {
        Some(number) if i64::try_from(number).is_err() => Err(bad(&format!("{number} is more than 63 bits"))),
        number => Ok(number),
    }
}

fn limit(asked: Option<u64>, usual: u64) -> Result<usize, Trouble> {
    match asked.unwrap_or(usual) {
        limit @ 1..=LIMIT_MAX => Ok(usize::try_from(limit).unwrap_or(1)),
        _ => Err(bad(&format!("limit is a number from 1 to {LIMIT_MAX}"))),
    }
}

fn bad(what: &str) -> Trouble {
    Trouble::Bad(what.to_owned())
}
