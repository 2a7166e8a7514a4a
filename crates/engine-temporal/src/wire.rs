//! The shapes in which midwatch's data travels through Temporal: as JSON payloads that its UI shows as they are.
//!
//! A workflow is given its input and, as a second argument, how the run began; an activity is given the step's input and,
//! as a second argument, which attempt it is. So both can be read, and started, by hand.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use midwatch_engine_attempt::{OwnBudget, Wish};
use midwatch_workflow::{
    Attempt, AttemptInfo, Budget, Charge, Ended, Name, OpId, Payload, Reporter, RunId, RunInfo, RunStarted,
    StepContext, Timestamp, WorkflowId,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use temporalio_common::data_converters::RawValue;
use temporalio_common::protos::temporal::api::common::v1::Payload as Raw;

/// The largest payload that a Temporal server takes by default is 2 MiB; some of it is ours.
pub(crate) const BYTES_MAX: usize = (2 << 20) - (64 << 10);

/// The signal that brings a [`midwatch_workflow::Message`]; all other names are signals of the workflow itself.
pub(crate) const MESSAGE: &str = "midwatch.message";

/// The query that gives a run's summary. A worker that has forgotten the run replays it first.
pub(crate) const STATUS: &str = "midwatch.status";

/// The memo field that holds the run's id.
pub(crate) const MEMO_RUN: &str = "midwatch_run";

/// The memo field, and the search attribute, that holds the user's id of the run.
pub(crate) const MEMO_WORKFLOW_ID: &str = "midwatch_workflow_id";

/// How a run began, as its workflow's second argument. A third is what it took along from an execution before.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Start {
    /// Its input is `null` here: it is the first argument.
    pub(crate) start: RunStarted,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) terms: Terms,
}

/// What its starter settled for a run and its children. Every worker keeps to it, whatever its own options are: so all
/// replay alike.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub(crate) struct Terms {
    /// After how many events of its history the run goes on in a new one, if the server does not suggest it before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) history_max: Option<u32>,
    /// Whether the server knows midwatch's search attributes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) is_indexed: bool,
    /// Whether the run writes its ids into its memo itself, with its first task: a child is started without a memo.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) names_itself: bool,
}

/// Which attempt an activity makes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Call {
    pub(crate) run: RunId,
    pub(crate) workflow_id: WorkflowId,
    pub(crate) workflow: Name,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trace: Option<String>,
    /// Whether that trace is not recorded.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) is_unsampled: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<String>,
    pub(crate) op: OpId,
    pub(crate) step: Name,
    pub(crate) nth: u32,
    pub(crate) attempt: u32,
    pub(crate) key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<Name>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) progress: Option<Payload>,
    pub(crate) timeout_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) heartbeat_ms: Option<u64>,
    /// The longest wait for a place in the queue or at the gate.
    #[serde(default)]
    pub(crate) queue_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) queue: Option<Name>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) priority: i8,
    /// What the step's budget leaves to the attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) budget: Option<Budget>,
    /// What the run may spend, and where it stood when it asked.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) own: OwnBudget,
    /// Whether it undoes a step.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) is_undoing: bool,
}

/// Where a run stands when it asks for an attempt.
#[derive(Clone, Debug, PartialEq, Default)]
pub(crate) struct Before {
    /// The last word of progress of the attempt before.
    pub(crate) progress: Option<Payload>,
    pub(crate) own: OwnBudget,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Call {
    pub(crate) fn of(run: &RunInfo, op: OpId, attempt: &Attempt, before: Before) -> Self {
        let has_own_trace = run.trace != *run.run.as_bytes();
        Self {
            run: run.run,
            workflow_id: run.workflow_id.clone(),
            workflow: run.workflow.clone(),
            trace: has_own_trace.then(|| run.trace.iter().map(|byte| format!("{byte:02x}")).collect()),
            is_unsampled: !run.is_sampled,
            tenant: run.tenant.clone(),
            op,
            step: attempt.step.clone(),
            nth: attempt.nth,
            attempt: attempt.attempt,
            key: attempt.key.to_string(),
            target: attempt.target.clone(),
            progress: before.progress,
            timeout_ms: millis(attempt.timeout),
            heartbeat_ms: attempt.heartbeat.map(millis),
            queue_ms: millis(attempt.queue_timeout),
            queue: attempt.queue.clone(),
            priority: attempt.priority,
            budget: attempt.budget,
            own: before.own,
            is_undoing: attempt.undoes.is_some(),
        }
    }

    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    pub(crate) fn heartbeat(&self) -> Option<Duration> {
        self.heartbeat_ms.map(Duration::from_millis)
    }

    pub(crate) fn queue_timeout(&self) -> Duration {
        Duration::from_millis(self.queue_ms)
    }

    pub(crate) fn wish(&self) -> Wish<'_> {
        let Self { queue, priority, target, attempt, .. } = self;
        Wish { queue: queue.as_ref(), priority: *priority, target: target.as_ref(), attempt: *attempt }
    }

    pub(crate) fn info(&self) -> RunInfo {
        let trace = self.trace.as_deref().and_then(|hex| u128::from_str_radix(hex, 16).ok());
        RunInfo {
            run: self.run,
            workflow_id: self.workflow_id.clone(),
            workflow: self.workflow.clone(),
            trace: trace.map_or(*self.run.as_bytes(), u128::to_be_bytes),
            is_sampled: !self.is_unsampled,
            tenant: self.tenant.clone(),
            // A history is reset by the server, under another run id of its own.
            rewinds: 0,
        }
    }

    pub(crate) fn context(&self, reporter: Arc<dyn Reporter>) -> StepContext {
        StepContext::new(AttemptInfo {
            run: Arc::new(self.info()),
            step: self.step.clone(),
            nth: self.nth,
            attempt: self.attempt,
            key: self.key.as_str().into(),
            target: self.target.clone(),
            progress: self.progress.clone(),
            reporter,
        })
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// What came of an attempt: an activity's result, or the details of its failure or cancellation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) ended: Ended,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) charges: Vec<Charge>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) beats: Vec<Beat>,
}

/// What an attempt said of its progress, and when by its worker's clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Beat {
    pub(crate) at: Timestamp,
    pub(crate) progress: Payload,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) charges: Vec<Charge>,
}

/// The details of a native heartbeat: what is known of an attempt whose worker died.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct LastWord {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) progress: Option<Payload>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) charges: Vec<Charge>,
}

/// JSON text as Temporal carries it.
pub(crate) fn raw(json: &str) -> Raw {
    let metadata = HashMap::from([("encoding".to_owned(), b"json/plain".to_vec())]);
    Raw { metadata, data: json.as_bytes().to_vec(), ..Raw::default() }
}

/// A value as Temporal carries it; what has no JSON form becomes `null`.
pub(crate) fn raw_of<T: Serialize>(value: &T) -> Raw {
    raw(&serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned()))
}

/// Arguments, or a result.
pub(crate) fn arguments<const N: usize>(payloads: [Raw; N]) -> RawValue {
    RawValue::new(payloads.into())
}

/// Reads a payload as a value.
pub(crate) fn read<T: DeserializeOwned>(raw: Option<&Raw>) -> Option<T> {
    serde_json::from_slice(&raw?.data).ok()
}

/// Reads a payload as data of the user's; one without data is `null`.
pub(crate) fn read_payload(raw: Option<&Raw>) -> Option<Payload> {
    let Some(raw) = raw.filter(|raw| !raw.data.is_empty()) else { return Some(Payload::null()) };
    Payload::from_json(std::str::from_utf8(&raw.data).ok()?).ok()
}
