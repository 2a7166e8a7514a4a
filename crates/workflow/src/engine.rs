//! The engine as callers see it: start runs, reach them, wait for them.

use futures_util::future::BoxFuture;

use crate::{Budget, Name, Payload, Resolution, RunId, RunResult, WorkflowId};

/// What carries runs out. Narrow on purpose: history is read from the journal.
pub trait Engine: Send + Sync + 'static {
    /// Starts a run; starting a workflow id twice starts it once.
    fn start(&self, run: NewRun) -> BoxFuture<'_, Result<Started, EngineError>>;

    /// Sends something to a run. The answer comes when it is recorded, not when the run has reacted.
    fn send(&self, run: RunId, message: Message) -> BoxFuture<'_, Result<(), EngineError>>;

    /// Waits until the run has ended.
    fn result(&self, run: RunId) -> BoxFuture<'_, Result<RunResult, EngineError>>;

    /// Carries out runs until `stop` is ready; then lets attempts under way end within the engine's drain limit.
    fn host<'a>(&'a self, stop: BoxFuture<'a, ()>) -> BoxFuture<'a, Result<(), EngineError>>;
}

/// A run to be started.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// The workflow's registered name.
    pub workflow: Name,
    /// The user's id; the run id if there is none.
    pub workflow_id: Option<WorkflowId>,
    /// The workflow's input.
    pub input: Payload,
    /// What to do if the id is taken.
    pub on_duplicate: OnDuplicate,
    /// What the run may spend, instead of the workflow's own budget.
    pub budget: Option<Budget>,
    /// How long it may take, instead of the workflow's own limit.
    pub timeout: Option<std::time::Duration>,
    /// The W3C `traceparent` that it joins.
    pub traceparent: Option<String>,
    /// For whom it runs.
    pub tenant: Option<String>,
}

impl NewRun {
    /// A run of a workflow with nothing but its input.
    pub fn new(workflow: impl Into<Name>, input: Payload) -> Self {
        Self {
            workflow: workflow.into(),
            workflow_id: None,
            input,
            on_duplicate: OnDuplicate::Attach,
            budget: None,
            timeout: None,
            traceparent: None,
            tenant: None,
        }
    }
}

/// What to do if a workflow id is taken by another run of the workflow, ended or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnDuplicate {
    /// Give the run that there is.
    #[default]
    Attach,
    /// Fail.
    Fail,
}

/// A run that was started, or that there was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Started {
    /// The run.
    pub run: RunId,
    /// Whether this call started it.
    pub is_new: bool,
}

/// What can be sent to a run.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// A signal.
    Signal {
        /// Its name.
        name: String,
        /// What it brings.
        payload: Payload,
        /// The sender's id for it: a repeat of the same id is ignored.
        id: Option<String>,
    },
    /// Stop, and compensate.
    Cancel {
        /// Why.
        reason: String,
        /// Who.
        by: String,
    },
    /// Start no further attempt.
    Pause {
        /// Why.
        reason: String,
        /// Who.
        by: String,
    },
    /// Go on after a pause.
    Resume {
        /// Who.
        by: String,
    },
    /// Answer the oldest parked operation, or that of this step's name.
    Resolve {
        /// The step; the oldest parked operation if there is none.
        step: Option<String>,
        /// The answer.
        resolution: Resolution,
        /// Who.
        by: String,
    },
    /// Try again: ends a retry wait now, resolves a parked operation with retry, or rewinds a failed run that undid nothing.
    Retry {
        /// Who.
        by: String,
    },
    /// Make a new run that keeps this one's journal up to an event.
    Fork {
        /// The new run.
        run: RunId,
        /// The last event that it keeps.
        event: u64,
        /// Whether the steps that it repeats keep the parent's idempotency keys.
        keys: ForkKeys,
        /// Who.
        by: String,
    },
    /// Raise the run's budget, and go on if it is parked for it.
    RaiseBudget {
        /// By how many dollars.
        usd: crate::Money,
        /// By how many tokens.
        tokens: u64,
        /// Who.
        by: String,
    },
}

/// Which idempotency keys a fork uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForkKeys {
    /// The parent's, so that what the parent had done is not done again.
    #[default]
    Parent,
    /// New ones: the fork does everything anew.
    Own,
}

/// Why an engine could not do what was asked. Trouble of the engine, never journaled.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// There is no such run.
    #[error("[MW0101] there is no run {0}")]
    UnknownRun(RunId),
    /// No workflow of that name is registered here.
    #[error("[MW0102] no workflow `{0}` is registered; register it before the engine opens")]
    UnknownWorkflow(String),
    /// The workflow id is taken.
    #[error("[MW0103] workflow id `{id}` is taken by run {run}")]
    Duplicate {
        /// The id.
        id: WorkflowId,
        /// The run that has it.
        run: RunId,
    },
    /// The run cannot take this message in its state.
    #[error("[MW0104] run {run} {why}")]
    Refused {
        /// The run.
        run: RunId,
        /// Why, and what to do instead.
        why: String,
    },
    /// The engine has stopped or is stopping.
    #[error("[MW0105] the engine is stopping")]
    Stopped,
    /// The server behind the engine was not reached.
    #[error(
        "[MW0107] {server} was not reached at {address}: {why}; start it, or name its address with {setting}"
    )]
    NotReached {
        /// What it is.
        server: &'static str,
        /// Where it was looked for.
        address: String,
        /// What came instead of an answer.
        why: String,
        /// How its address is set.
        setting: &'static str,
    },
    /// The journal, or the server behind the engine, failed.
    #[error("{0}")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}
