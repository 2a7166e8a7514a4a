//! Ends that the journal misses.
//!
//! A worker that dies right after the server took a run's end had no time to write it, and no worker is given a closed run
//! again. Asked where the run stands, the server lets a worker replay it: that makes all its events again, and the mirror
//! writes those that the journal misses.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use midwatch_journal::{Journal, Order, RunQuery, RunSummary, Status};
use midwatch_workflow::{Name, RunId};
use temporalio_client::{
    Client, RpcOptions, UntypedQuery, UntypedWorkflowHandle, WorkflowDescribeOptions,
    WorkflowExecutionStatus, WorkflowQueryOptions,
};
use temporalio_common::UntypedWorkflow;
use temporalio_common::data_converters::RawValue;
use tokio::time::{Instant, sleep};

use crate::drive::temporal_id;
use crate::wire::STATUS;

/// How long the mirror usually takes at most to write what the server has told of.
const LAG: Duration = Duration::from_secs(1);

/// How long a replay may take.
const REPLAY: Duration = Duration::from_secs(5);

/// How often runs that are open in the journal are compared with the server.
const EVERY: Duration = Duration::from_secs(300);

/// How many runs are compared each time, those first that have been silent for longest.
const COMPARED_MAX: usize = 1000;

/// How many at once.
const AT_ONCE: usize = 8;

/// Brings the journal up to what the server knows.
#[derive(Clone)]
pub(crate) struct CatchUp {
    pub(crate) client: Client,
    pub(crate) journal: Arc<dyn Journal>,
}

impl CatchUp {
    /// Lets the journal come up with a run that has ended at the server, so that whoever reads it next sees the end too.
    pub(crate) async fn end(&self, run: RunId, temporal: &str) {
        if self.has_end(run, LAG).await {
            return;
        }
        self.replay(temporal).await;
        if !self.has_end(run, LAG).await {
            tracing::warn!(%run, temporal, "the journal lacks the end of a run that has ended at the server");
        }
    }

    /// Compares runs that are open in the journal with the server, now and every five minutes.
    pub(crate) async fn tend(self) -> Infallible {
        loop {
            let runs = futures_util::stream::iter(self.open_runs().await);
            runs.for_each_concurrent(AT_ONCE, |run| self.compare(run)).await;
            sleep(EVERY).await;
        }
    }

    async fn compare(&self, run: RunSummary) {
        let temporal = temporal_id(&Name::Owned(run.workflow), &run.workflow_id);
        if self.has_closed(&temporal).await {
            self.end(run.run, &temporal).await;
        }
    }

    async fn open_runs(&self) -> Vec<RunSummary> {
        let journal = Arc::clone(&self.journal);
        let query = RunQuery {
            statuses: Status::ALL.into_iter().filter(|status| !status.is_ended()).collect(),
            order: Order::Stalest,
            limit: COMPARED_MAX,
            ..RunQuery::default()
        };
        let read = tokio::task::spawn_blocking(move || journal.runs(&query)).await;
        read.ok().and_then(Result::ok).unwrap_or_default()
    }

    /// Whether a run's own code has ended it at the server. Who has no answer asks again later.
    async fn has_closed(&self, temporal: &str) -> bool {
        let described = self.handle(temporal).describe(WorkflowDescribeOptions::default()).await;
        described.is_ok_and(|run| {
            matches!(
                run.status(),
                WorkflowExecutionStatus::Completed
                    | WorkflowExecutionStatus::Failed
                    | WorkflowExecutionStatus::Canceled
            )
        })
    }

    /// Lets a worker replay a run. What it answers is in the journal as well.
    async fn replay(&self, temporal: &str) {
        let rpc = RpcOptions::builder().timeout(REPLAY).build();
        let options = WorkflowQueryOptions::builder().rpc_options(rpc).build();
        let asked = self.handle(temporal).query(UntypedQuery::new(STATUS), RawValue::empty(), options).await;
        if let Err(error) = asked {
            tracing::debug!(temporal, %error, "no worker replays the run");
        }
    }

    fn handle(&self, temporal: &str) -> UntypedWorkflowHandle<Client> {
        self.client.get_workflow_handle::<UntypedWorkflow>(temporal)
    }

    /// Whether the journal has a run's end, or has it within so long.
    async fn has_end(&self, run: RunId, within: Duration) -> bool {
        let until = Instant::now() + within;
        loop {
            let journal = Arc::clone(&self.journal);
            match tokio::task::spawn_blocking(move || journal.run(run)).await {
                Ok(Ok(Some(summary))) if summary.ended_at.is_some() => return true,
                Ok(Ok(_)) if Instant::now() < until => sleep(Duration::from_millis(10)).await,
                _ => return false,
            }
        }
    }
}
