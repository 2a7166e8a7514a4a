//! What a run asks for, as the server's own primitives: attempts are activities with one try, waits are timers, children
//! are child workflows.
//!
//! Nothing here inherits the workflow's cancellation: what a cancellation ends is the run's decision.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{Either, LocalBoxFuture, join, select};
use midwatch_workflow::{Attempt, Child, Class, Ended, Failure, Message, OpId, Payload, RunInfo, RunResult};
use temporalio_client::UntypedSignal;
use temporalio_common::data_converters::RawValue;
use temporalio_common::error::{
    ActivityExecutionError, ChildWorkflowExecutionError, ChildWorkflowStartError, IncomingError,
};
use temporalio_common::protos::temporal::api::common::v1::Payload as Raw;
use temporalio_common::{ActivityCloseTimeouts, RetryPolicy, UntypedActivity, UntypedWorkflow};
use temporalio_sdk::{
    ActivityCancellationType, ActivityOptions, ChildWorkflowOptions, ParentClosePolicy,
    SignalWorkflowOptions, TimeoutType, TimerOptions, TimerResult, WorkflowCancellationToken,
    WorkflowContext,
};

use crate::host::Host;
use crate::ids::temporal_id;
use crate::shown::at_first;
use crate::translate::Input;
use crate::wire::{
    BYTES_MAX, Beat, Call, LastWord, MESSAGE, Report, Start, arguments, raw, raw_of, read, read_payload,
};

/// What the server is asked for.
pub(crate) enum Asked {
    Attempt { op: OpId, attempt: Box<Attempt>, call: Box<Call>, lost_after: Duration },
    Timer { op: OpId, after: Duration },
    Child { op: OpId, child: Box<Child>, start: Box<Start> },
}

impl Asked {
    pub(crate) fn op(&self) -> OpId {
        match self {
            Asked::Attempt { op, .. } | Asked::Timer { op, .. } | Asked::Child { op, .. } => *op,
        }
    }
}

/// Asks the server; what is given back tells what came of it.
pub(crate) fn perform(
    cx: &WorkflowContext<Host>,
    asked: Asked,
    token: WorkflowCancellationToken,
    parent: &RunInfo,
) -> LocalBoxFuture<'static, Option<Input>> {
    match asked {
        Asked::Timer { op, after } => {
            let timer = timer(cx, after, token);
            timer.map(move |fired| fired.then_some(Input::Fired(op))).boxed_local()
        }
        Asked::Attempt { op, attempt, call, lost_after } => {
            let activity = activity(cx, *attempt, call, lost_after, token);
            activity.map(move |report| Some(Input::Ended(op, report))).boxed_local()
        }
        Asked::Child { op, child, start } => {
            let by = format!("parent {}", parent.run);
            let child = run_child(cx, *child, *start, by, token);
            child.map(move |result| Some(Input::ChildEnded(op, result))).boxed_local()
        }
    }
}

/// Waits; gives whether the wait came to its end.
pub(crate) fn timer(
    cx: &WorkflowContext<Host>,
    after: Duration,
    token: WorkflowCancellationToken,
) -> LocalBoxFuture<'static, bool> {
    let cx = cx.clone();
    async move {
        let options = TimerOptions::builder(after.max(Duration::from_millis(1))).cancellation_token(token);
        cx.timer(options.build()).await == TimerResult::Fired
    }
    .boxed_local()
}

fn activity(
    cx: &WorkflowContext<Host>,
    attempt: Attempt,
    call: Box<Call>,
    lost_after: Duration,
    token: WorkflowCancellationToken,
) -> LocalBoxFuture<'static, Report> {
    let bytes = attempt.input.as_str().len();
    if bytes > BYTES_MAX {
        let message = format!("payload of {bytes} bytes is over Temporal's limit of {BYTES_MAX} bytes");
        return std::future::ready(report(Failure::new(Class::InvalidRequest, message))).boxed_local();
    }
    let cx = cx.clone();
    async move {
        // The attempt's own limit ends it; the server's only catches a worker that is stuck.
        // Its wait for places in the worker's queues and at its gates is within it.
        let limit = attempt.timeout.saturating_add(attempt.queue_timeout).saturating_add(lost_after * 2);
        let summary = match attempt.attempt {
            1 => format!("{}#{}", attempt.step, attempt.nth),
            number => format!("{}#{} attempt {number}", attempt.step, attempt.nth),
        };
        let options = ActivityOptions::with_close_timeouts(ActivityCloseTimeouts::StartToClose(limit))
            .activity_id(format!("{}", call.op.0))
            .schedule_to_start_timeout(attempt.queue_timeout)
            .heartbeat_timeout(lost_after)
            .cancellation_type(ActivityCancellationType::WaitCancellationCompleted)
            .cancellation_token(token)
            .retry_policy(RetryPolicy::builder().maximum_attempts(1).build())
            .summary(summary)
            .build();
        let input = arguments([raw(attempt.input.as_str()), raw_of(&call)]);
        let name = UntypedActivity::new(attempt.step.to_string());
        match cx.execute_activity(name, input, options).await {
            Ok(output) => read(output.payloads.first()).unwrap_or_else(|| report(unreadable())),
            Err(error) => report_of(error, &attempt),
        }
    }
    .boxed_local()
}

fn report(failure: Failure) -> Report {
    Report { ended: Ended::Failed(failure), charges: Vec::new(), beats: Vec::new() }
}

fn unreadable() -> Failure {
    Failure::new(Class::Unknown, "the activity gave something that is no report of midwatch's")
}

fn report_of(error: ActivityExecutionError, attempt: &Attempt) -> Report {
    let cause = match &error {
        ActivityExecutionError::Cancelled(cancelled) => {
            return read(first(cancelled.raw_details())).unwrap_or_else(|| report(stopped()));
        }
        ActivityExecutionError::Failed(failed) => failed.cause(),
        _ => None,
    };
    match cause {
        Some(IncomingError::Application(failure)) => read(first(failure.raw_details()))
            .unwrap_or_else(|| report(Failure::new(Class::Unknown, error_text(&error)))),
        Some(IncomingError::Cancelled(cancelled)) => {
            read(first(cancelled.raw_details())).unwrap_or_else(|| report(stopped()))
        }
        Some(IncomingError::Timeout(timeout)) if timeout.timeout_type() == TimeoutType::ScheduleToStart => {
            let message = format!("no worker took it for {:?}", attempt.queue_timeout);
            report(Failure::new(Class::Timeout, message))
        }
        Some(IncomingError::Timeout(timeout)) => lost(read(first(timeout.raw_last_heartbeat_details()))),
        _ => report(Failure::new(Class::Unknown, error_text(&error))),
    }
}

fn first(payloads: Option<&[Raw]>) -> Option<&Raw> {
    payloads.and_then(<[Raw]>::first)
}

fn stopped() -> Failure {
    Failure::new(Class::Cancelled, "told to stop")
}

/// The worker fell silent: the attempt may have had its effect, and spent at least what was heard of last.
fn lost(word: Option<LastWord>) -> Report {
    let LastWord { progress, charges } = word.unwrap_or_default();
    let failure = Failure::new(Class::Lost, "the process died during the attempt").ambiguous();
    let beat =
        |progress| Beat { at: midwatch_workflow::Timestamp::default(), progress, charges: charges.clone() };
    let beats = progress.map(beat).into_iter().collect();
    Report { ended: Ended::Failed(failure), charges, beats }
}

fn error_text(error: &impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Starts a child and waits for its end; a cancelled token tells it to stop, and its end is still awaited.
fn run_child(
    cx: &WorkflowContext<Host>,
    child: Child,
    start: Start,
    by: String,
    token: WorkflowCancellationToken,
) -> LocalBoxFuture<'static, Result<Payload, Failure>> {
    let cx = cx.clone();
    async move {
        let shared = cx.state(|host| std::sync::Arc::clone(&host.shared));
        if shared.registry.workflow(&child.workflow).is_none() {
            let message = format!("no workflow `{}` is registered", child.workflow);
            return Err(Failure::new(Class::InvalidRequest, message));
        }
        let id = temporal_id(&child.workflow, &child.workflow_id);
        let options = ChildWorkflowOptions::builder()
            .workflow_id(id.clone())
            .parent_close_policy(ParentClosePolicy::Abandon)
            .maybe_search_attributes(start.terms.is_indexed.then(|| at_first(&child.workflow_id)))
            .cancellation_token(WorkflowCancellationToken::new())
            .build();
        let input = arguments([raw(child.input.as_str()), raw_of(&start)]);
        let name = UntypedWorkflow::new(child.workflow.to_string());
        let started = cx.start_child_workflow(name, input, options).await;
        let started = started.map_err(|error| not_started(&error, &id))?;
        let handle = cx.external_workflow(id, None);
        let ended = match select(started.result(), std::pin::pin!(token.cancelled())).await {
            Either::Left((ended, _)) => ended,
            Either::Right(((), result)) => {
                let reason = "its parent was cancelled".to_owned();
                let message = arguments([raw_of(&Message::Cancel { reason, by })]);
                let options =
                    SignalWorkflowOptions::builder().cancellation_token(WorkflowCancellationToken::new());
                let signal = UntypedSignal::<UntypedWorkflow>::new(MESSAGE);
                // A child that has ended meanwhile cannot be told, and need not.
                join(handle.signal(signal, message, options.build()), result).await.1
            }
        };
        child_result(ended)
    }
    .boxed_local()
}

fn not_started(error: &ChildWorkflowStartError, id: &str) -> Failure {
    match error {
        ChildWorkflowStartError::StartFailed { .. } => {
            Failure::new(Class::InvalidRequest, format!("workflow id `{id}` is taken by another run"))
        }
        error => Failure::new(Class::Unknown, error_text(error)),
    }
}

/// The server ended a child by itself; why, and what is left to undo, stands in the child's own journal.
fn forced(class: Class, how: &str) -> Failure {
    Failure::new(class, format!("{how} at the Temporal server")).ambiguous()
}

fn child_result(ended: Result<RawValue, ChildWorkflowExecutionError>) -> Result<Payload, Failure> {
    let error = match ended {
        Ok(output) => return read_payload(output.payloads.first()).ok_or_else(unreadable),
        Err(error) => error,
    };
    let details = match error.cause() {
        Some(IncomingError::Application(failure)) => first(failure.raw_details()),
        Some(IncomingError::Cancelled(cancelled)) => first(cancelled.raw_details()),
        Some(IncomingError::Terminated(_)) => return Err(forced(Class::Cancelled, "terminated")),
        Some(IncomingError::Timeout(_)) => return Err(forced(Class::Timeout, "timed out")),
        _ => None,
    };
    match read::<RunResult>(details) {
        Some(RunResult::Failed { failure, .. }) => Err(failure),
        _ => Err(Failure::new(Class::Unknown, error_text(&error))),
    }
}
