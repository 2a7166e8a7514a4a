//! Drives one workflow execution from its start to its end, which may be another execution's start.

use std::sync::Arc;

use midwatch_workflow::{Class, Failure, Payload, RunId, RunResult, RunStarted, WorkflowId};
use temporalio_common::data_converters::RawValue;
use temporalio_common::error::ApplicationFailure;
use temporalio_common::protos::temporal::api::common::v1::Payload as Raw;
use temporalio_sdk::workflow_interceptors::WorkflowOutputValue;
use temporalio_sdk::{
    ContinueAsNewOptions, WaitConditionOptions, WorkflowCancellationToken, WorkflowContext,
    WorkflowTermination,
};

use crate::driver::{Driver, End};
use crate::host::Host;
use crate::leave::Carried;
use crate::polled::{is_patched, now, polled};
use crate::shown::name;
use crate::translate::Translation;
use crate::wire::{Start, Terms, arguments, raw, raw_of, read, read_payload};

type Output = Result<Box<dyn WorkflowOutputValue>, WorkflowTermination>;

/// Runs a workflow to its end.
pub(crate) async fn drive(cx: WorkflowContext<Host>, input: RawValue) -> Output {
    let shared = cx.state(|host| Arc::clone(&host.shared));
    let at = now(&cx);
    let Start { start, terms } = start_of(&cx, &input);
    let Some(workflow) = shared.registry.workflow(&start.workflow) else {
        let failure = Failure::new(Class::InvalidRequest, "the start names another workflow than its type");
        return finish(&RunResult::Failed { failure, compensated: 0, resolved: 0 }, false);
    };
    let carried = match input.payloads.get(2).map(|raw| Carried::unpack(raw).ok_or(())) {
        Some(Err(())) => {
            // Nothing is lost: the server tries again, and a worker that can read it goes on.
            cx.force_task_fail("what the run took along from its last execution cannot be read".to_owned());
            return std::future::pending().await;
        }
        Some(Ok(carried)) => Some(carried),
        None => None,
    };
    if terms.names_itself && carried.is_none() {
        name(&cx, &start);
    }
    let next = Start { start: RunStarted { input: Payload::null(), ..start.clone() }, terms };
    let registry = Arc::clone(&shared.registry);
    let translation = polled(&cx, || match carried {
        Some(carried) => Translation::resume(registry, workflow, start, carried, is_patched),
        None => Translation::begin(registry, workflow, start, at, is_patched),
    });
    let mut driver = Driver::new(cx.clone(), shared, translation, terms, input_bytes(&input));
    loop {
        let end = std::future::poll_fn(|task| driver.poll(task)).await;
        // Whoever sent an update is answered before the execution closes.
        let options =
            WaitConditionOptions::builder().cancellation_token(WorkflowCancellationToken::new()).build();
        let handlers = cx.clone();
        let _ = cx.wait_condition_with_options(|_| handlers.all_handlers_finished(), options).await;
        match end {
            End::Over(result) => return finish(&result, next.start.parent.is_some()),
            // What came meanwhile is applied first.
            End::Leaves(_) if !cx.state(|host| host.inbox.is_empty()) => {}
            End::Leaves(carried) => return leave(&cx, input, &next, carried),
        }
    }
}

/// How large a run's input is, with how it began.
fn input_bytes(input: &RawValue) -> usize {
    input.payloads.iter().take(2).map(|payload| payload.data.len()).sum()
}

/// Goes on in a new execution of the same id, with the same input. Memo and search attributes stay.
fn leave(cx: &WorkflowContext<Host>, input: RawValue, next: &Start, carried: Raw) -> Output {
    let data = input.payloads.into_iter().next().unwrap_or_else(|| raw("null"));
    let input = arguments([data, raw_of(next), carried]);
    match cx.continue_as_new(input, ContinueAsNewOptions::default()) {
        Ok(never) => match never {},
        Err(termination) => Err(termination),
    }
}

/// How the run began, as its starter said; one that was started by hand is given what is missing.
fn start_of(cx: &WorkflowContext<Host>, input: &RawValue) -> Start {
    let data = read_payload(input.payloads.first()).unwrap_or_else(Payload::null);
    if let Some(Start { start, terms }) = read(input.payloads.get(1)) {
        return Start { start: RunStarted { input: data, ..start }, terms };
    }
    let info = cx.info();
    let run: RunId = info.first_execution_run_id().parse().unwrap_or(RunId::from_bytes([0; 16]));
    let workflow_id = WorkflowId::new(info.workflow_id()).unwrap_or_else(|_| run.into());
    let start = RunStarted { workflow_id, input: data, ..RunStarted::bare(run, info.workflow_type()) };
    Start { start, terms: Terms::default() }
}

/// An end as Temporal shows it. A cancelled run is cancelled there too, unless it is a child: a parent is not given the
/// details of a cancellation, and needs them.
fn finish(result: &RunResult, is_child: bool) -> Output {
    match result {
        RunResult::Completed(output) => Ok(Box::new(arguments([raw(output.as_str())]))),
        RunResult::Failed { failure, .. } if failure.class == Class::Cancelled && !is_child => {
            Err(WorkflowTermination::cancelled_with_details(arguments([raw_of(result)])))
        }
        RunResult::Failed { failure, .. } => {
            let application = ApplicationFailure::builder(failure.to_string())
                .type_name(failure.class.to_string())
                .non_retryable(true)
                .details(arguments([raw_of(result)]));
            Err(application.build().into())
        }
    }
}
