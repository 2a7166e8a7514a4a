//! The tools that look.

use std::time::Duration;

use midwatch_inspect::{CostQuery, Inspector, candidates, cost, gates, owner, stalls};
use midwatch_journal::{Fold, Journal, Order, RunQuery, Status};
use midwatch_observe::Timeline;
use midwatch_observe::cost::By;
use midwatch_observe::timeline::Entry;
use midwatch_workflow::Timestamp;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::CallToolResult;
use rmcp::{ErrorData, tool, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::{Answer, Trouble, brief, the_run};
use crate::server::{Place, Server, clock};

/// Which run.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct OneRun {
    /// The run: its id (32 hex digits), its short id (r_1a2b3c4d), or its workflow id such as order-42.
    pub(crate) run: String,
}

/// Which runs to list.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct WhichRuns {
    /// Only of this workflow.
    workflow: Option<String>,
    /// Only in these states: running, waiting, compensating, paused, parked, completed, failed, compensated, cancelled.
    status: Vec<String>,
    /// Only for this tenant.
    tenant: Option<String>,
    /// Only those whose workflow id contains this.
    text: Option<String>,
    /// newest (default), oldest, costliest or stalest.
    order: Option<String>,
    /// How many: 1 to 100, 20 by default.
    limit: Option<u32>,
}

/// How many.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct HowMany {
    /// How many: 1 to 20, 10 by default.
    limit: Option<u32>,
}

/// What of a run's history.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct History {
    /// The run: its id, its short id (r_1a2b3c4d), or its workflow id.
    run: String,
    /// How many entries, the latest: 1 to 200, 40 by default.
    #[serde(default)]
    limit: Option<u32>,
}

/// What costs to add up.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct WhatCosts {
    /// workflow (default), run, step, model, target, tenant or day.
    by: Option<String>,
    /// Only of this workflow.
    workflow: Option<String>,
    /// Only for this tenant.
    tenant: Option<String>,
    /// Only runs that started within so many hours.
    hours: Option<u32>,
}

/// When a run counts as silent.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Silence {
    /// How many minutes without progress: 5 by default.
    minutes: Option<u32>,
}

#[tool_router(router = looking, vis = "pub(crate)")]
impl Server {
    /// Lists runs with status, age, attempts and cost, newest first. Filter by workflow, status, tenant or workflow id.
    #[tool(annotations(title = "List runs", read_only_hint = true, open_world_hint = false))]
    async fn list_runs(&self, which: Parameters<WhichRuns>) -> Result<CallToolResult, ErrorData> {
        self.answer(move |place| list(place, which.0)).await
    }

    /// Lists the open runs that most need somebody (stuck, parked, expensive or slow), each with verdict, cause and a
    /// headline. The place to begin when something is said to be wrong.
    #[tool(annotations(title = "What needs attention", read_only_hint = true, open_world_hint = false))]
    async fn needs_attention(&self, many: Parameters<HowMany>) -> Result<CallToolResult, ErrorData> {
        self.answer(move |place| attention(place, many.0.limit)).await
    }

    /// Says why a run is slow, stuck, expensive, failed, parked or waiting rightly: one verdict and cause, the evidence by
    /// event number, the causes that are excluded, what else is affected, whether a retry is safe, and what to do next.
    #[tool(annotations(title = "Why is a run as it is", read_only_hint = true, open_world_hint = false))]
    async fn why(&self, run: Parameters<OneRun>) -> Result<CallToolResult, ErrorData> {
        self.answer(move |place| {
            let run = the_run(place, &run.0.run)?;
            Ok(serde_json::to_value(inspector(place).why(run.run)?)?)
        })
        .await
    }

    /// Shows what a run did: its summary, and the latest entries of its history (steps with all their attempts, waits,
    /// child runs, signals, what undoes what), each with event numbers.
    #[tool(annotations(title = "Show a run", read_only_hint = true, open_world_hint = false))]
    async fn show_run(&self, history: Parameters<History>) -> Result<CallToolResult, ErrorData> {
        self.answer(move |place| show(place, &history.0)).await
    }

    /// Adds up what runs cost: by workflow, run, step, model, target, tenant or day, with what failed attempts wasted, what
    /// caches saved, and what has no price.
    #[tool(annotations(title = "Cost", read_only_hint = true, open_world_hint = false))]
    async fn cost(&self, what: Parameters<WhatCosts>) -> Result<CallToolResult, ErrorData> {
        self.answer(move |place| costs(place, what.0)).await
    }

    /// Lists runs that make no progress although nothing holds them back; runs that wait rightly (a timer, a signal, a
    /// person, a closed gate, a full queue, a pause) are none. Says too whether any process owns the journal.
    #[tool(annotations(title = "Stalled runs", read_only_hint = true, open_world_hint = false))]
    async fn stalls(&self, silence: Parameters<Silence>) -> Result<CallToolResult, ErrorData> {
        self.answer(move |place| stalled(place, silence.0.minutes)).await
    }
}

fn inspector(place: &Place) -> Inspector<'_> {
    Inspector::new(&place.journal, clock(), owner(&place.path)).with_gates(gates(&place.path))
}

fn list(place: &Place, which: WhichRuns) -> Answer {
    let limit = which.limit.unwrap_or(20).clamp(1, 100) as usize;
    let statuses = which.status.iter().map(|status| status.parse::<Status>());
    let statuses = statuses.collect::<Result<Vec<_>, _>>();
    let statuses = statuses.map_err(|error| Trouble::new(error, "leave status out for all"))?;
    let order: Order = match which.order {
        None => Order::Newest,
        Some(order) => word("order", &order, "newest, oldest, costliest or stalest")?,
    };
    let mut runs = place.journal.runs(&RunQuery {
        workflow: which.workflow,
        statuses,
        tenant: which.tenant,
        text: which.text,
        order,
        limit: limit + 1,
        ..RunQuery::default()
    })?;
    let has_more = runs.len() > limit;
    runs.truncate(limit);
    Ok(json!({ "runs": runs.iter().map(brief).collect::<Vec<_>>(), "has_more": has_more }))
}

fn attention(place: &Place, limit: Option<u32>) -> Answer {
    let limit = limit.unwrap_or(10).clamp(1, 20) as usize;
    let mut found = candidates(&place.journal, &inspector(place), clock(), limit)?;
    found.retain(|candidate| candidate.urgency() > 0);
    found.sort_by_key(|candidate| std::cmp::Reverse(candidate.urgency()));
    let told = found.iter().take(limit).map(|candidate| {
        let mut told = brief(&candidate.run);
        told["verdict"] = json!(candidate.answer.verdict);
        told["cause"] = json!(candidate.answer.cause);
        told["headline"] = json!(candidate.answer.headline);
        told
    });
    Ok(json!({ "runs": told.collect::<Vec<_>>() }))
}

fn show(place: &Place, history: &History) -> Answer {
    let limit = history.limit.unwrap_or(40).clamp(1, 200) as usize;
    let found = the_run(place, &history.run)?;
    let events = place.journal.events(found.run, 0)?;
    let summary = Fold::of(&events).map_or(found, |fold| fold.summary);
    let Some(timeline) = Timeline::of(&events) else {
        return Err(Trouble::new(
            "the run does not begin with its start",
            "midwatch doctor checks the journal",
        ));
    };
    let left_out = timeline.entries.len().saturating_sub(limit);
    let entries = timeline.entries.iter().skip(left_out).map(without_payloads);
    Ok(json!({
        "summary": brief(&summary),
        "entries": entries.collect::<Result<Vec<_>, _>>()?,
        "entries_left_out": left_out,
        "end": timeline.end,
    }))
}

/// An entry without what steps were given and gave: that may be large, and is nobody's business here.
fn without_payloads(entry: &Entry) -> Result<Value, serde_json::Error> {
    let mut told = serde_json::to_value(entry)?;
    strip(&mut told);
    Ok(told)
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for name in ["input", "payload", "progress"] {
                fields.remove(name);
            }
            if let Some(output) = fields.get_mut("ok") {
                *output = json!("…");
            }
            fields.values_mut().for_each(strip);
        }
        Value::Array(values) => values.iter_mut().for_each(strip),
        _ => {}
    }
}

fn costs(place: &Place, what: WhatCosts) -> Answer {
    let by = what.by.as_deref().unwrap_or("workflow");
    let by: By = word("by", by, "workflow, run, step, model, target, tenant or day")?;
    let ago = what.hours.map(|hours| u64::from(hours) * 3_600_000_000);
    let since = ago.map(|ago| Timestamp::from_micros(clock().as_micros().saturating_sub(ago)));
    let query = CostQuery { workflow: what.workflow, tenant: what.tenant, since, ..CostQuery::default() };
    let (report, has_more) = cost(&place.journal, &query, by)?;
    let mut told = serde_json::to_value(report)?;
    told["has_more_runs"] = json!(has_more);
    Ok(told)
}

fn stalled(place: &Place, minutes: Option<u32>) -> Answer {
    let limit = Duration::from_secs(60 * u64::from(minutes.unwrap_or(5).max(1)));
    let found = stalls(&place.journal, clock(), limit)?;
    let shown: Vec<_> = found.stalls.iter().take(50).collect();
    Ok(json!({
        "stalls": shown,
        "count": found.stalls.len(),
        "is_bounded": found.is_bounded,
        "owner": owner(&place.path),
    }))
}

/// Reads a word that is one of few.
fn word<T: serde::de::DeserializeOwned>(name: &str, word: &str, known: &str) -> Result<T, Trouble> {
    serde_json::from_value(json!(word))
        .map_err(|_| Trouble::new(format!("`{word}` is no value of `{name}`"), format!("say {known}")))
}
