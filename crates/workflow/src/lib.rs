//! Definitions and decisions of midwatch workflows.
//!
//! A workflow is a coroutine: an [`Execution`] is advanced, says which operations ([`Op`]) it needs, and is told their
//! [`Outcome`]s. Everything that happened is an [`Event`]. Retry, compensation, budgets and cancellation are decided here,
//! once for every engine.
//!
//! What this crate is not: it knows no runtime, no clock, no disk and no network. Time and randomness are arguments.

mod call;
mod context;
mod definition;
pub mod engine;
pub mod event;
mod execution;
mod failure;
mod history;
mod id;
mod key;
mod money;
pub mod op;
mod pattern;
mod payload;
pub mod policy;
mod registry;
mod start;
mod state;
mod step_context;
mod time;
mod trace;
mod usage;

pub use call::{ChildCall, SignalCall, StepCall};
pub use context::Context;
pub use definition::{
    Data, KeyScope, Name, Named, Step, StepDefinition, StepOptions, Workflow, WorkflowDefinition,
    WorkflowOptions, step_fn, workflow_fn,
};
pub use engine::{Engine, EngineError, ForkKeys, Message, NewRun, OnDuplicate, Started};
pub use event::{Ended, Event, EventKind, ParkReason, Resolution, RunResult, RunStarted};
pub use execution::{Advanced, Execution, Progress, panic_message};
pub use failure::{Class, Failure};
pub use history::{after_rewind, effective, recorded};
pub use id::{InvalidId, OpId, RunId, WorkflowId};
pub use key::{KEY_BYTES_MAX, attempt_key, key_base, step_key};
pub use money::{InvalidMoney, Money};
pub use op::{Attempt, Child, Mismatch, Op, OpKind, Outcome};
pub use pattern::approval::Approval;
pub use payload::Payload;
pub use policy::{
    Amount, Backoff, Budget, Decision, DelayReason, Gate, GatePolicy, GateState, GiveUp, Headroom, Jitter,
    OnReached, Pool, Retried, RetryPolicy, Timeouts, Tried, gate, pool,
};
pub use registry::Registry;
pub use state::{OPS_PENDING_MAX, Recorded};
pub use step_context::{AttemptInfo, Reporter, Reservation, RunInfo, StepContext, Used};
pub use time::Timestamp;
pub use trace::{LOG_TARGET, SpanId, SpanOf, Traceparent};
pub use usage::{Certainty, Charge, Spent, Usage};
