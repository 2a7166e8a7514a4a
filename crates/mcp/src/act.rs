//! The tools that act.

use std::time::Duration;

use midwatch_steer::{Cancel, Desk, Order, Pause, Resume, Retry, Signal, Waits, deliver, report};
use midwatch_workflow::Payload;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::CallToolResult;
use rmcp::{ErrorData, tool, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::answer::{Answer, Trouble, the_run};
use crate::server::{Place, Server, clock};

/// How long an effect is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which run to retry.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct RetryRun {
    /// The run: its id, its short id (r_1a2b3c4d), or its workflow id.
    run: String,
    /// Whether a step that would be tried again later is tried now.
    #[serde(default)]
    now: bool,
}

/// Which run, and why.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Reasoned {
    /// The run: its id, its short id (r_1a2b3c4d), or its workflow id.
    run: String,
    /// Why, for the people who read the journal.
    reason: String,
}

/// Which run to let go on.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ResumeRun {
    /// The run: its id, its short id (r_1a2b3c4d), or its workflow id.
    run: String,
}

/// Which signal for which run.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct SignalRun {
    /// The run: its id, its short id (r_1a2b3c4d), or its workflow id.
    run: String,
    /// The signal's name, as the workflow waits for it.
    name: String,
    /// What it brings: any JSON, null by default.
    #[serde(default)]
    payload: Value,
    /// An id of this signal: sent twice, it counts once.
    #[serde(default)]
    id: Option<String>,
}

#[tool_router(router = acting, vis = "pub(crate)")]
impl Server {
    /// Tries a run again: a failed one goes on from the step that failed, a parked one from where it stands; with `now`, a
    /// wait before the next attempt ends. Ask `why` first: it says whether a retry is safe.
    #[tool(annotations(
        title = "Retry a run",
        read_only_hint = false,
        destructive_hint = false,
        open_world_hint = true
    ))]
    async fn retry_run(&self, retry: Parameters<RetryRun>) -> Result<CallToolResult, ErrorData> {
        let RetryRun { run, now } = retry.0;
        self.answer(move |place| {
            let waits = if now { Waits::End } else { Waits::Keep };
            send(place, &run, &Retry { waits, now: clock(), by: place.by.clone() })
        })
        .await
    }

    /// Tells a run to stop for good; what it did is undone by its compensations. Cannot be taken back.
    #[tool(annotations(
        title = "Cancel a run",
        read_only_hint = false,
        destructive_hint = true,
        open_world_hint = true
    ))]
    async fn cancel_run(&self, cancel: Parameters<Reasoned>) -> Result<CallToolResult, ErrorData> {
        let Reasoned { run, reason } = cancel.0;
        self.answer(move |place| send(place, &run, &Cancel { reason, by: place.by.clone() })).await
    }

    /// Holds a run: attempts under way end, none start, until it is resumed.
    #[tool(annotations(
        title = "Pause a run",
        read_only_hint = false,
        destructive_hint = false,
        idempotent_hint = true
    ))]
    async fn pause_run(&self, pause: Parameters<Reasoned>) -> Result<CallToolResult, ErrorData> {
        let Reasoned { run, reason } = pause.0;
        self.answer(move |place| send(place, &run, &Pause { reason, by: place.by.clone() })).await
    }

    /// Lets a paused run go on.
    #[tool(annotations(
        title = "Resume a run",
        read_only_hint = false,
        destructive_hint = false,
        idempotent_hint = true
    ))]
    async fn resume_run(&self, resume: Parameters<ResumeRun>) -> Result<CallToolResult, ErrorData> {
        self.answer(move |place| send(place, &resume.0.run, &Resume { by: place.by.clone() })).await
    }

    /// Sends a signal to a run, such as an approval that it waits for; `why` and `show_run` say what it waits for.
    #[tool(annotations(
        title = "Signal a run",
        read_only_hint = false,
        destructive_hint = false,
        open_world_hint = true
    ))]
    async fn signal_run(&self, signal: Parameters<SignalRun>) -> Result<CallToolResult, ErrorData> {
        let SignalRun { run, name, payload, id } = signal.0;
        self.answer(move |place| {
            let payload = Payload::of(&payload).map_err(|failure| {
                Trouble::new(format!("payload: {failure}"), "send less, or a reference to it")
            })?;
            send(place, &run, &Signal { name, payload, id })
        })
        .await
    }
}

fn send(place: &Place, asked: &str, order: &dyn Order) -> Answer {
    let run = the_run(place, asked)?;
    let desk = Desk { journal: &place.journal, path: &place.path, patience: PATIENCE, clock: &clock };
    let mut told = Value::Null;
    deliver(order, &[run], &desk, |run, outcome| {
        told = report(run, outcome);
        Ok::<_, midwatch_journal::Error>(())
    })?;
    Ok(told)
}
