//! Answers, bounded; and the run that is meant.

use std::sync::Arc;

use midwatch_inspect::{Found, find};
use midwatch_journal::RunSummary;
use rmcp::ErrorData;
use rmcp::model::CallToolResult;
use serde_json::{Value, json};

use crate::server::{Place, Server};

/// The longest answer, in bytes of JSON: some fifteen thousand tokens.
const BYTES_MAX: usize = 60_000;
/// The longest text of somebody else's in an answer, in bytes.
const TEXT_MAX: usize = 600;
/// So many candidates are told.
const CANDIDATES_MAX: usize = 8;

/// Why there is no answer, for the agent to act upon.
pub(crate) struct Trouble(pub(crate) Value);

pub(crate) type Answer = Result<Value, Trouble>;

impl From<midwatch_journal::Error> for Trouble {
    fn from(error: midwatch_journal::Error) -> Self {
        Self(json!({ "error": error.to_string() }))
    }
}

impl From<serde_json::Error> for Trouble {
    fn from(error: serde_json::Error) -> Self {
        Self(json!({ "error": error.to_string() }))
    }
}

impl Trouble {
    pub(crate) fn new(what: impl Into<String>, instead: impl Into<String>) -> Self {
        Self(json!({ "error": what.into(), "instead": instead.into() }))
    }
}

impl Server {
    /// Answers off the runtime's thread: reading blocks.
    pub(crate) async fn answer(
        &self,
        answer: impl FnOnce(&Place) -> Answer + Send + 'static,
    ) -> Result<CallToolResult, ErrorData> {
        let place = Arc::clone(&self.place);
        let answered = tokio::task::spawn_blocking(move || answer(&place)).await;
        let answered = answered.map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        Ok(match answered.and_then(bounded) {
            Ok(value) => CallToolResult::structured(value),
            Err(Trouble(value)) => CallToolResult::structured_error(value),
        })
    }
}

fn bounded(mut value: Value) -> Answer {
    shorten(&mut value);
    let bytes = value.to_string().len();
    if bytes <= BYTES_MAX {
        return Ok(value);
    }
    Err(Trouble::new(
        format!("the answer takes {bytes} bytes, over the limit of {BYTES_MAX}"),
        "ask for less: a lower limit, or a filter",
    ))
}

/// Cuts long texts, wherever they stand.
fn shorten(value: &mut Value) {
    match value {
        Value::String(text) if text.len() > TEXT_MAX => {
            text.truncate(text.floor_char_boundary(TEXT_MAX));
            text.push('…');
        }
        Value::Array(values) => values.iter_mut().for_each(shorten),
        Value::Object(fields) => fields.values_mut().for_each(shorten),
        _ => {}
    }
}

/// The run that is meant.
pub(crate) fn the_run(place: &Place, asked: &str) -> Result<RunSummary, Trouble> {
    match find(&place.journal, asked)? {
        Found::One(run) => Ok(*run),
        Found::None => Err(Trouble::new(
            format!("no run `{asked}` is in the journal"),
            "list_runs shows what there is; a run is named by its id, its short id (r_1a2b3c4d) or its workflow id",
        )),
        Found::Several(runs) => {
            let shown: Vec<Value> = runs.iter().take(CANDIDATES_MAX).map(brief).collect();
            Err(Trouble(json!({
                "error": format!("`{asked}` names {} runs", runs.len()),
                "instead": "name one by its id",
                "candidates": shown,
            })))
        }
    }
}

/// A run in a list.
pub(crate) fn brief(run: &RunSummary) -> Value {
    let mut told = json!({
        "run": run.run,
        "workflow": run.workflow,
        "workflow_id": run.workflow_id,
        "status": run.status,
        "started_us": run.started_at,
        "updated_us": run.updated_at,
        "attempts": run.attempts,
        "failures": run.failures,
        "cost_usd": run.spent.cost.as_usd(),
        "tokens": run.spent.usage.tokens(),
    });
    let more = [
        ("tenant", run.tenant.as_ref().map(|tenant| json!(tenant))),
        ("ended_us", run.ended_at.map(|at| json!(at))),
        ("wake_us", run.wake_at.map(|at| json!(at))),
        ("doing", Some(&run.doing).filter(|doing| !doing.is_empty()).map(|doing| json!(doing))),
        ("parked", run.parked.map(|reason| json!(reason))),
        ("class", run.class.map(|class| json!(class))),
        ("message", run.message.as_ref().map(|message| json!(message))),
        ("unpriced_charges", (run.spent.unpriced > 0).then(|| json!(run.spent.unpriced))),
    ];
    if let Some(told) = told.as_object_mut() {
        told.extend(more.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    }
    told
}
