//! Where a run stands at the server: whether an execution of it is open there, or how the last one was closed.
//!
//! Temporal knows workflow ids; several runs may have had one, one after the other, and a run may have had several
//! executions. So an answer counts only if it is about the run that was asked for.

use std::time::SystemTime;

use futures_util::StreamExt as _;
use midwatch_workflow::{RunId, Timestamp};
use temporalio_client::errors::WorkflowInteractionError;
use temporalio_client::grpc::WorkflowService as _;
use temporalio_client::tonic::Request;
use temporalio_client::{
    Client, HistoryEventFilterType, UntypedWorkflowHandle, WorkflowDescribeOptions,
    WorkflowExecutionDescription, WorkflowExecutionInfo, WorkflowExecutionStatus,
    WorkflowFetchHistoryOptions,
};
use temporalio_client::{NamespacedClient as _, tonic};
use temporalio_common::UntypedWorkflow;
use temporalio_common::protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_common::protos::temporal::api::workflowservice::v1::GetWorkflowExecutionHistoryReverseRequest;

use crate::ends::End;
use crate::time::timestamp;
use crate::wire::{MEMO_RUN, Start, read};

/// Where a run stands at the server.
#[derive(Debug)]
pub(crate) enum Standing {
    /// An execution of this id is open.
    Open(String),
    /// All are closed.
    Closed(Closed),
    /// The server knows no execution of it: there is none of its id, or another run has that now.
    Missing,
    /// The server did not say.
    Untold,
}

/// The last execution of a run.
#[derive(Debug)]
pub(crate) struct Closed {
    /// Its workflow.
    pub(crate) workflow: String,
    /// The workflow id at the server.
    pub(crate) temporal: String,
    /// The server's id of that execution.
    pub(crate) execution: String,
    /// Whether the run's own code ended it.
    pub(crate) is_own: bool,
    /// When.
    pub(crate) at: Timestamp,
}

/// Asks the server where a run stands that has one of these ids there.
pub(crate) async fn standing(client: &Client, run: RunId, ids: &[String]) -> Standing {
    for temporal in ids {
        match standing_as(client, run, temporal).await {
            Standing::Missing => {}
            standing => return standing,
        }
    }
    Standing::Missing
}

async fn standing_as(client: &Client, run: RunId, temporal: &str) -> Standing {
    let handle = client.get_workflow_handle::<UntypedWorkflow>(temporal);
    let described = match handle.describe(WorkflowDescribeOptions::default()).await {
        Ok(described) => described,
        Err(WorkflowInteractionError::NotFound(status)) if is_about_execution(&status) => {
            return Standing::Missing;
        }
        Err(error) => {
            tracing::debug!(%run, temporal, %error, "the server does not say where a run stands");
            return Standing::Untold;
        }
    };
    match holder(client, &described).await {
        Some(holder) if holder == run => {}
        Some(_) => return Standing::Missing,
        None => return Standing::Untold,
    }
    let closed = |is_own| {
        let at = timestamp(described.close_time().unwrap_or_else(SystemTime::now));
        let (temporal, execution) = (temporal.to_owned(), described.run_id().to_owned());
        let workflow = described.workflow_type().to_owned();
        Standing::Closed(Closed { workflow, temporal, execution, is_own, at })
    };
    match described.status() {
        WorkflowExecutionStatus::Completed
        | WorkflowExecutionStatus::Failed
        | WorkflowExecutionStatus::Canceled => closed(true),
        WorkflowExecutionStatus::Terminated | WorkflowExecutionStatus::TimedOut => closed(false),
        // One that goes on in a new execution is closed as such for a moment at most.
        _ => Standing::Open(temporal.to_owned()),
    }
}

/// Whether the server says that it has no such execution, and not that it has no such namespace.
fn is_about_execution(status: &tonic::Status) -> bool {
    const NAMESPACE: &[u8] = b"NamespaceNotFound";
    !status.details().windows(NAMESPACE.len()).any(|part| part == NAMESPACE)
}

/// The run that an execution belongs to: as its memo says, or its start; one that was started by hand is called after its
/// first execution.
async fn holder(client: &Client, described: &WorkflowExecutionDescription) -> Option<RunId> {
    if let Some(run) = read::<RunId>(described.memo().raw_value(MEMO_RUN)) {
        return Some(run);
    }
    let history = handle(client, described.id(), described.run_id())
        .fetch_history(WorkflowFetchHistoryOptions::default())
        .next()
        .await;
    match history?.ok()?.attributes? {
        Attributes::WorkflowExecutionStartedEventAttributes(started) => {
            let start = started.input.as_ref().and_then(|input| read::<Start>(input.payloads.get(1)));
            start.map_or_else(|| started.first_execution_run_id.parse().ok(), |start| Some(start.start.run))
        }
        _ => None,
    }
}

impl Closed {
    /// How it was closed; `None` if the server does not say.
    pub(crate) async fn end(&self, client: &Client) -> Option<End> {
        let close = WorkflowFetchHistoryOptions::builder()
            .skip_archival(true)
            .event_filter_type(HistoryEventFilterType::CloseEvent);
        let events = self.handle(client).fetch_history(close.build()).into_events().await;
        events.ok()?.pop()?.attributes.and_then(End::read)
    }

    /// The number of the event with which the last task began that counts; 0 if none does. What a replay makes of events
    /// beyond it never happened: the server was never told of it.
    pub(crate) async fn last_task(&self, client: &Client) -> Option<u32> {
        let execution =
            WorkflowExecution { workflow_id: self.temporal.clone(), run_id: self.execution.clone() };
        let mut asked = GetWorkflowExecutionHistoryReverseRequest {
            namespace: client.namespace(),
            execution: Some(execution),
            maximum_page_size: 100,
            next_page_token: Vec::new(),
        };
        loop {
            let page = Request::new(asked.clone());
            let page = client.clone().get_workflow_execution_history_reverse(page).await.ok()?.into_inner();
            for event in page.history?.events {
                if let Some(Attributes::WorkflowTaskCompletedEventAttributes(task)) = event.attributes {
                    return u32::try_from(task.started_event_id).ok();
                }
            }
            if page.next_page_token.is_empty() {
                return Some(0);
            }
            asked.next_page_token = page.next_page_token;
        }
    }

    /// That very execution.
    pub(crate) fn handle(&self, client: &Client) -> UntypedWorkflowHandle<Client> {
        handle(client, &self.temporal, &self.execution)
    }
}

/// One execution.
fn handle(client: &Client, temporal: &str, execution: &str) -> UntypedWorkflowHandle<Client> {
    let info = WorkflowExecutionInfo::builder()
        .namespace(client.namespace())
        .workflow_id(temporal)
        .run_id(execution)
        .build();
    info.bind_untyped(client.clone())
}
