//! Orders.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use midwatch_journal::{Journal, RunSummary};
use midwatch_steer::report;
use midwatch_workflow::RunId;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::asked::{Given, Refused, bad, object};
use super::{read, shape};
use crate::access::Who;
use crate::app::App;
use crate::error::{Trouble, blocking};
use crate::pages::act::{Fields, order, send};

/// What is ordered. Each action reads its own fields.
#[derive(Deserialize, ToSchema, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Ordered {
    /// cancel, pause: why; it stands in the journal.
    #[schema(max_length = 2000)]
    #[serde(deserialize_with = "text::<2000, _>")]
    reason: Option<String>,
    /// signal: its name.
    #[schema(max_length = 200)]
    #[serde(deserialize_with = "text::<200, _>")]
    name: Option<String>,
    /// signal: what it brings.
    #[schema(value_type = Option<Value>)]
    payload: Option<Box<RawValue>>,
    /// signal: your own id for it; a repeat of the same id changes nothing.
    id: Option<String>,
    /// resolve: the step that waits for the answer.
    step: Option<String>,
    /// resolve: retry, done or fail.
    answer: Option<String>,
    /// resolve, done: what the step would have given.
    #[schema(value_type = Option<Value>)]
    output: Option<Box<RawValue>>,
    /// budget: by how many dollars, e.g. `0.50`.
    usd: Option<String>,
    /// budget: by how many tokens.
    #[serde(deserialize_with = "whole")]
    tokens: Option<u64>,
    /// fork: before the first attempt at this step.
    at_step: Option<String>,
    /// fork: after this event.
    #[serde(deserialize_with = "whole")]
    at_event: Option<u64>,
    /// fork: idempotency keys of its own.
    new_keys: Option<bool>,
    /// retry: ends a wait between two attempts.
    now: Option<bool>,
    /// How long the effect is waited for, in milliseconds; 2000 if nothing is said.
    #[schema(maximum = 10000)]
    #[serde(deserialize_with = "patience")]
    wait_ms: Option<u64>,
}

/// A text of so many characters at most; whether or not the action reads it.
fn text<'de, const MAX: usize, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    match text.as_ref().map(|text| text.chars().count()).filter(|length| *length > MAX) {
        Some(length) => Err(serde::de::Error::custom(format!("a text of {length} characters, over {MAX}"))),
        None => Ok(text),
    }
}

/// A whole number, also if it is written with a point: to JSON 7.0 is an integer.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // checked
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let Some(number) = Option::<serde_json::Number>::deserialize(deserializer)? else { return Ok(None) };
    let is_whole = |number: &f64| number.fract() == 0.0 && (0.0..9e15).contains(number);
    let found = number.as_u64().or_else(|| number.as_f64().filter(is_whole).map(|number| number as u64));
    // As the description says: a number of 64 bits with a sign.
    let found = found.filter(|number| i64::try_from(*number).is_ok());
    found.map(Some).ok_or_else(|| serde::de::Error::custom(format!("{number} is no whole number below 2^63")))
}

const WAIT_MS: u64 = 2_000;
const WAIT_MS_MAX: u64 = 10_000;

fn patience<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let wait = whole(deserializer)?;
    match wait.filter(|wait| *wait > WAIT_MS_MAX) {
        Some(wait) => Err(serde::de::Error::custom(format!("{wait} is over the limit of {WAIT_MS_MAX} ms"))),
        None => Ok(wait),
    }
}

/// Steers a run: cancel, pause, resume, retry, signal, resolve, budget or fork. Say who with the header `X-Midwatch-By`.
#[utoipa::path(post, path = "/api/v1/runs/{run}/{action}", request_body = Ordered, tag = "steer",
    params(("run" = String, Path), ("action" = inline(shape::Action), Path)), responses(
    (status = 200, body = shape::Outcome), (status = 400, body = shape::Problem), (status = 403, body = shape::Problem),
    (status = 404, body = shape::Problem)))]
pub(super) async fn steer(
    State(app): State<Arc<App>>,
    Extension(who): Extension<Who>,
    Path((run, action)): Path<(String, String)>,
    Given(ordered): Given<Ordered>,
) -> Result<Json<Value>, Refused> {
    let answer = blocking(move || {
        let patience = Duration::from_millis(ordered.wait_ms.unwrap_or(WAIT_MS));
        let run = read::named(&app, &run)?;
        let order = order(&app, &action, &fields(ordered), &who.by)?;
        let mut outcome = None;
        send(&app, order.as_ref(), &[run], patience, |run, what| outcome = Some(report(run, what)))?;
        outcome.ok_or(Trouble::Lost)
    });
    Ok(Json(answer.await?))
}

/// An order to several runs.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OrderedAll {
    /// Their ids, of 32 hex digits each; a fork is of one run.
    #[schema(min_items = 1, max_items = 1000, pattern = "^[0-9a-f]{32}$")]
    runs: Vec<String>,
    /// What is ordered, as for one run.
    #[schema(inline)]
    #[serde(deserialize_with = "object")]
    order: Ordered,
}

/// The most runs of one order.
const RUNS_MAX: usize = 1_000;

/// What came of it.
#[derive(Serialize)]
pub(super) struct Outcomes {
    outcomes: Vec<Value>,
}

/// Steers several runs alike: all letters are left before any effect is waited for. Say who with the header `X-Midwatch-By`.
#[utoipa::path(post, path = "/api/v1/orders/{action}", request_body = OrderedAll, tag = "steer",
    params(("action" = inline(shape::Action), Path)), responses(
    (status = 200, body = shape::Outcomes), (status = 400, body = shape::Problem), (status = 403, body = shape::Problem),
    (status = 404, body = shape::Problem)))]
pub(super) async fn steer_all(
    State(app): State<Arc<App>>,
    Extension(who): Extension<Who>,
    Path(action): Path<String>,
    Given(all): Given<OrderedAll>,
) -> Result<Json<Outcomes>, Refused> {
    let answer = blocking(move || {
        let patience = Duration::from_millis(all.order.wait_ms.unwrap_or(WAIT_MS));
        let runs = each(&app, &all.runs)?;
        if action == "fork" && runs.len() > 1 {
            return Err(bad("a fork is of one run"));
        }
        let order = order(&app, &action, &fields(all.order), &who.by)?;
        let mut outcomes = Vec::new();
        send(&app, order.as_ref(), &runs, patience, |run, what| outcomes.push(report(run, what)))?;
        Ok(Outcomes { outcomes })
    });
    Ok(Json(answer.await?))
}

fn each(app: &App, ids: &[String]) -> Result<Vec<RunSummary>, Trouble> {
    if ids.is_empty() || ids.len() > RUNS_MAX {
        return Err(bad(&format!("name from 1 to {RUNS_MAX} runs")));
    }
    let find = |id: &String| {
        let run = id.parse::<RunId>().ok().filter(|run| run.to_string() == *id);
        let run = run.ok_or_else(|| bad(&format!("`{id}` is no run id of 32 hex digits")))?;
        app.journal
            .run(run)?
            .ok_or_else(|| Trouble::NotFound(format!("there is no run {run} in this journal")))
    };
    ids.iter().map(find).collect()
}

fn fields(ordered: Ordered) -> Fields {
    let json = |text: Option<Box<RawValue>>| text.map(|text| text.get().to_owned()).unwrap_or_default();
    let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    let yes = |said: Option<bool>| if said == Some(true) { "yes".to_owned() } else { String::new() };
    Fields {
        reason: ordered.reason.unwrap_or_default(),
        name: ordered.name.unwrap_or_default(),
        payload: json(ordered.payload),
        id: ordered.id.unwrap_or_default(),
        step: ordered.step.unwrap_or_default(),
        answer: ordered.answer.unwrap_or_default(),
        output: json(ordered.output),
        usd: ordered.usd.unwrap_or_default(),
        tokens: number(ordered.tokens),
        at_step: ordered.at_step.unwrap_or_default(),
        at_event: number(ordered.at_event),
        new_keys: yes(ordered.new_keys),
        now: yes(ordered.now),
        ..Fields::default()
    }
}
