//! Ends that the journal misses.
//!
//! A worker that dies right after the server took a run's end had no time to write it, and no worker is given a closed run
//! again. Asked where the run stands, the server lets a worker replay it: that makes all its events again, and the mirror
//! writes those that the journal misses. What no replay makes is written from what the server says: that it terminated the
//! run, or that its time was over there, or an end of the run's own that no worker here can replay any more.
//!
//! No run is ended that may be open: the server must have closed its last execution. One that the server does not know at
//! all may be a run of another server. So it must be missing twice in a row, and the server must be known to hold runs of
//! this journal from before the missing one was last heard of.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use midwatch_journal::{Journal, Order, RunQuery, RunSummary, Status};
use midwatch_workflow::{Class, EventKind, Registry, RunId, RunResult, Timestamp};
use temporalio_client::errors::WorkflowQueryError;
use temporalio_client::tonic::Code;
use temporalio_client::{Client, RpcOptions, UntypedQuery, WorkflowQueryOptions};
use temporalio_common::data_converters::RawValue;
use tokio::time::{Instant, sleep};

use crate::ends::End;
use crate::ids::temporal_ids;
use crate::mirror::Mirror;
use crate::standing::{Closed, Standing, standing};
use crate::wire::STATUS;

/// How long the mirror usually takes at most to write what the server has told of.
const LAG: Duration = Duration::from_secs(1);

/// How long a replay may take.
const REPLAY: Duration = Duration::from_secs(5);

/// How often a replay is tried to which no worker comes.
const REPLAYS_MAX: u32 = 3;

/// How many runs are compared each time, those first that have been silent for longest.
const COMPARED_MAX: usize = 1000;

/// How many ended runs are asked for, to find out whether this is the server of this journal.
const WITNESSES_MAX: usize = 20;

/// How many at once.
const AT_ONCE: usize = 8;

/// Brings the journal up to what the server knows. Clones share what they know.
#[derive(Clone)]
pub(crate) struct CatchUp {
    pub(crate) client: Client,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) mirror: Mirror,
    /// Where the server is, for people.
    pub(crate) address: String,
    /// How often all open runs are compared with the server.
    pub(crate) every: Duration,
    pub(crate) known: Arc<Mutex<Known>>,
}

/// What comparing has found out so far.
#[derive(Default)]
pub(crate) struct Known {
    /// When the first run of this journal began that the server knows.
    since: Option<Timestamp>,
    /// Runs that the server did not know when it was last asked.
    missing: HashSet<RunId>,
    /// How often nobody came to replay a run.
    tried: HashMap<RunId, u32>,
}

/// What came of asking for a replay.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Replayed {
    /// A worker has replayed the run, this one or another.
    Yes,
    /// This worker cannot.
    Cannot,
    /// No worker came: one may come later.
    NotNow,
}

impl CatchUp {
    /// Lets the journal come up with a run that has ended at the server, so that whoever reads it next sees the end too.
    pub(crate) async fn end(&self, run: RunId, temporal: &str) {
        if self.has_end(run, LAG).await {
            return;
        }
        if let Standing::Closed(closed) = standing(&self.client, run, &[temporal.to_owned()]).await {
            self.close(run, &closed).await;
        }
        if !self.has_end(run, Duration::ZERO).await {
            tracing::warn!(%run, temporal, "the journal lacks the end of a run that has ended at the server");
        }
    }

    /// Ends a run by an order that the server refused, because it knows no open execution of it; says whether it was the
    /// order that ended it.
    pub(crate) async fn end_by_order(&self, run: RunId, temporal: &str, reason: &str, by: &str) -> bool {
        if !matches!(standing(&self.client, run, &[temporal.to_owned()]).await, Standing::Missing) {
            return false;
        }
        let told = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        let why =
            format!("cancelled by {by}{told}; the Temporal server at {} does not know it", self.address);
        let end = End::Ordered { reason: reason.to_owned(), by: by.to_owned(), why };
        self.mirror.ended(run, end, now());
        self.has_end(run, REPLAY).await
    }

    /// How a run ended that the journal has ended.
    pub(crate) async fn recorded(&self, run: RunId) -> Option<RunResult> {
        let journal = Arc::clone(&self.journal);
        let read = move || {
            let summary = journal.run(run).ok()??;
            summary.ended_at?;
            journal.events(run, summary.events - 1).ok()?.pop()
        };
        match tokio::task::spawn_blocking(read).await.ok()??.kind {
            EventKind::RunEnded { result } => Some(result),
            _ => None,
        }
    }

    /// Compares runs that are open in the journal with the server, now and again.
    pub(crate) async fn tend(self) -> Infallible {
        loop {
            self.compare_all().await;
            sleep(self.every).await;
        }
    }

    async fn compare_all(&self) {
        let open = Status::ALL.into_iter().filter(|status| !status.is_ended()).collect();
        let open =
            RunQuery { statuses: open, order: Order::Stalest, limit: COMPARED_MAX, ..RunQuery::default() };
        let open = self.runs(open).await;
        let missing: Vec<RunSummary> = futures_util::stream::iter(open)
            .map(|run| async { (!self.compare(&run).await).then_some(run) })
            .buffer_unordered(AT_ONCE)
            .filter_map(std::future::ready)
            .collect()
            .await;
        let before = std::mem::take(&mut self.known().missing);
        let gone: Vec<&RunSummary> = missing.iter().filter(|run| before.contains(&run.run)).collect();
        if !gone.is_empty() && self.known().since.is_none() {
            self.look_for_witnesses().await;
        }
        let since = self.known().since;
        for run in gone {
            if since.is_some_and(|since| since <= run.updated_at) {
                let why = format!("no longer known to the Temporal server at {}", self.address);
                self.mirror.ended(run.run, End::Forced { class: Class::Unknown, why }, now());
            } else {
                tracing::warn!(
                    run = %run.run, address = self.address,
                    "the server knows neither this run nor others of its journal: is it the right one? \
                     `midwatch cancel` ends the run in the journal"
                );
            }
        }
        self.known().missing = missing.into_iter().map(|run| run.run).collect();
    }

    /// Brings one run up to the server; says whether that may know it.
    async fn compare(&self, run: &RunSummary) -> bool {
        match standing(&self.client, run.run, &temporal_ids(run)).await {
            Standing::Missing => return false,
            Standing::Untold => return true,
            Standing::Open(_) => {}
            Standing::Closed(closed) => {
                if !self.has_end(run.run, LAG).await {
                    self.close(run.run, &closed).await;
                }
            }
        }
        self.knows(run);
        true
    }

    /// The server knows a run of this journal.
    fn knows(&self, run: &RunSummary) {
        let mut known = self.known();
        known.since = Some(known.since.map_or(run.started_at, |since| since.min(run.started_at)));
    }

    /// Looks among runs that have ended for some that the server knows.
    async fn look_for_witnesses(&self) {
        let ended = Status::ALL.into_iter().filter(|status| status.is_ended()).collect();
        let ended = RunQuery { statuses: ended, limit: WITNESSES_MAX, ..RunQuery::default() };
        for run in self.runs(ended).await {
            let standing = standing(&self.client, run.run, &temporal_ids(&run)).await;
            if let Standing::Open(_) | Standing::Closed(_) = standing {
                self.knows(&run);
            }
        }
    }

    /// Brings the end of a run into the journal: by a replay as far as that goes, and then as the server tells it.
    async fn close(&self, run: RunId, closed: &Closed) {
        let temporal = closed.temporal.as_str();
        if !closed.is_own {
            let Some(last_task) = closed.last_task(&self.client).await else { return };
            self.mirror.cut(run, &closed.execution, last_task);
        }
        let is_done = match self.replay(closed).await {
            Replayed::Cannot => true,
            Replayed::NotNow => false,
            Replayed::Yes if closed.is_own && self.has_end(run, LAG).await => return,
            // An end of its own that is not here was replayed by another worker, with a journal of its own.
            Replayed::Yes => !closed.is_own,
        };
        if !is_done && self.may_try_again(run) {
            tracing::info!(%run, temporal, "no worker replays here a run that has ended: it is tried again");
            return;
        }
        self.known().tried.remove(&run);
        if let Some(end) = closed.end(&self.client).await {
            tracing::warn!(%run, temporal, ?end, "the journal is told the end of a run that it missed");
            self.mirror.ended(run, end, closed.at);
            self.has_end(run, REPLAY).await;
        }
    }

    fn may_try_again(&self, run: RunId) -> bool {
        let mut known = self.known();
        let tried = known.tried.entry(run).or_default();
        *tried += 1;
        *tried < REPLAYS_MAX
    }

    /// Lets a worker replay a run. What it answers is in the journal as well.
    async fn replay(&self, closed: &Closed) -> Replayed {
        // Asked about a workflow that it does not know, the SDK's worker ends.
        if self.registry.workflow(&closed.workflow).is_none() {
            return Replayed::Cannot;
        }
        let rpc = RpcOptions::builder().timeout(REPLAY).build();
        let options = WorkflowQueryOptions::builder().rpc_options(rpc).build();
        let execution = closed.handle(&self.client);
        let Err(error) = execution.query(UntypedQuery::new(STATUS), RawValue::empty(), options).await else {
            return Replayed::Yes;
        };
        tracing::debug!(temporal = closed.temporal, %error, "no worker replays the run");
        match error {
            WorkflowQueryError::Rpc(status) if is_passing(status.code()) => Replayed::NotNow,
            _ => Replayed::Cannot,
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn runs(&self, query: RunQuery) -> Vec<RunSummary> {
        let journal = Arc::clone(&self.journal);
        let read = tokio::task::spawn_blocking(move || journal.runs(&query)).await;
        read.ok().and_then(Result::ok).unwrap_or_default()
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

/// Whether a call that failed so may succeed later: no worker polls, or the server is busy.
fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Unavailable
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::Internal
            | Code::Unknown
    )
}

fn now() -> Timestamp {
    crate::time::timestamp(std::time::SystemTime::now())
}
