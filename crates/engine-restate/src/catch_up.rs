//! Ends that the journal misses: of runs that were killed at the server, or whose journal lost its last events.
//!
//! Restate gives a process no invocation again that has completed. So runs that are open in the journal are compared with
//! what the server lists, and what it says of an end is written.
//!
//! No run is ended that may be open: the server must list its invocation as completed, and no driver may have it here. One
//! that the server does not list at all may be a run of another server. So it must be missing twice in a row, and the
//! server must be known to hold a run of this journal that began before the missing one was last heard of.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use midwatch_journal::{
    Append, Appended, Error, Fold, Journal, Order, RunQuery, RunSummary, Status, given_up,
};
use midwatch_workflow::{Class, Event, EventKind, RunId, RunResult, Timestamp};
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::client::{Address, Client, ServerError};
use crate::host::Host;
use crate::listing::{Completion, Listed};
use crate::translate::{key_of, now};

/// How many runs are compared each time, those first that have been silent for longest.
const COMPARED_MAX: usize = 1000;

/// How many are asked for at once.
const AT_ONCE: usize = 100;

/// How many runs are asked for, to find out whether this is the server of this journal.
const WITNESSES_MAX: usize = 10;

/// How long a driver may take to notice that the server has ended its run.
const NOTICE: Duration = Duration::from_secs(5);

/// Brings the journal up to what the server lists. Clones share what they know.
#[derive(Clone)]
pub(crate) struct CatchUp {
    pub(crate) client: Client,
    pub(crate) host: Arc<Host>,
    /// Runs that the server did not list when it was last asked.
    pub(crate) missing: Arc<Mutex<HashSet<RunId>>>,
}

/// An end that the run's own code does not write.
enum End {
    /// The run's own, which the journal missed.
    Own(RunResult),
    /// The server's: neither the run's code nor a compensation ran.
    Forced(Class, String),
    /// Somebody cancelled a run that the server does not list.
    Ordered { reason: String, by: String, why: String },
}

impl CatchUp {
    /// Compares runs that are open in the journal with the server, now and again.
    pub(crate) async fn tend(self) -> Infallible {
        loop {
            if let Err(error) = self.compare_all().await {
                tracing::debug!(%error, "open runs are not compared with the server");
            }
            sleep(self.host.options.compare_every).await;
        }
    }

    /// Lets the journal come up with a run that has ended at the server; gives the end as the journal has it then.
    pub(crate) async fn end(&self, run: RunId, address: &Address) -> Option<RunResult> {
        const LOOK: Duration = Duration::from_millis(20);
        for _ in 0..NOTICE.as_millis() / LOOK.as_millis() {
            if let Some(result) = self.recorded(run).await {
                return Some(result);
            }
            if !self.host.is_here(run) {
                break;
            }
            sleep(LOOK).await;
        }
        let listed = self.client.listed(std::slice::from_ref(address)).await.ok()?;
        let listed = listed.into_iter().find(|listed| listed.address() == *address)?;
        if let Err(error) = self.close(run, &listed).await {
            tracing::warn!(%run, %error, "the end of a run is not in its journal yet");
        }
        self.recorded(run).await
    }

    /// Ends a run that the server does not list, because somebody cancels it.
    pub(crate) async fn end_by_order(&self, run: RunId, reason: &str, by: &str) -> bool {
        let told = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        let admin = &self.host.options.admin;
        let why = format!("cancelled by {by}{told}; the Restate server at {admin} does not know it");
        let end = End::Ordered { reason: reason.to_owned(), by: by.to_owned(), why };
        self.write(run, end, now()).await;
        self.recorded(run).await.is_some()
    }

    /// How a run ended that the journal has ended.
    pub(crate) async fn recorded(&self, run: RunId) -> Option<RunResult> {
        let read = self.read(move |journal| {
            let Some(summary) = journal.run(run)?.filter(|summary| summary.ended_at.is_some()) else {
                return Ok(None);
            };
            Ok(journal.events(run, summary.events - 1)?.pop())
        });
        match read.await??.kind {
            EventKind::RunEnded { result } => Some(result),
            _ => None,
        }
    }

    async fn compare_all(&self) -> Result<(), ServerError> {
        let open = Status::ALL.into_iter().filter(|status| !status.is_ended()).collect();
        let query =
            RunQuery { statuses: open, order: Order::Stalest, limit: COMPARED_MAX, ..RunQuery::default() };
        let mut open = self.runs(query).await;
        open.retain(|run| !self.host.is_here(run.run));
        let (listed, missing) = self.listed(open).await?;
        for (run, listed) in &listed {
            self.close(run.run, listed).await?;
        }
        let before = std::mem::take(&mut *self.missing());
        let gone: Vec<&RunSummary> = missing.iter().filter(|run| before.contains(&run.run)).collect();
        if !gone.is_empty() {
            let since = self.known_since(&listed).await?;
            for run in gone {
                self.give_up(run, since).await;
            }
        }
        *self.missing() = missing.into_iter().map(|run| run.run).collect();
        Ok(())
    }

    /// A run that the server has not listed twice.
    async fn give_up(&self, run: &RunSummary, known_since: Option<Timestamp>) {
        let admin = &self.host.options.admin;
        if known_since.is_some_and(|since| since <= run.updated_at) {
            let why = format!("no longer known to the Restate server at {admin}");
            self.write(run.run, End::Forced(Class::Unknown, why), now()).await;
        } else {
            tracing::warn!(
                run = %run.run, admin,
                "the server knows neither this run nor others of its journal: is it the right one? \
                 `midwatch cancel` ends the run in the journal"
            );
        }
    }

    /// When a run of this journal began that the server certainly knows.
    async fn known_since(&self, listed: &[(RunSummary, Listed)]) -> Result<Option<Timestamp>, ServerError> {
        let ended = Status::ALL.into_iter().filter(|status| status.is_ended()).collect();
        let ended = RunQuery { statuses: ended, limit: WITNESSES_MAX, ..RunQuery::default() };
        let (ended, _) = self.listed(self.runs(ended).await).await?;
        let mut known: Vec<&(RunSummary, Listed)> = listed.iter().chain(&ended).collect();
        known.sort_by_key(|(run, _)| run.started_at);
        for (run, listed) in known.into_iter().take(WITNESSES_MAX) {
            if self.client.run_of(&listed.id).await? == Some(run.run) {
                return Ok(Some(run.started_at));
            }
        }
        Ok(None)
    }

    /// Those of the runs that the server lists, with what it lists, and those that it does not.
    async fn listed(
        &self,
        runs: Vec<RunSummary>,
    ) -> Result<(Vec<(RunSummary, Listed)>, Vec<RunSummary>), ServerError> {
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for runs in runs.chunks(AT_ONCE) {
            let addresses: Vec<Address> = runs.iter().map(|run| self.address(run)).collect();
            let listed = self.client.listed(&addresses).await?;
            let mut listed: HashMap<Address, Listed> =
                listed.into_iter().map(|listed| (listed.address(), listed)).collect();
            for (run, address) in runs.iter().zip(addresses) {
                match listed.remove(&address) {
                    Some(listed) => found.push((run.clone(), listed)),
                    None => missing.push(run.clone()),
                }
            }
        }
        Ok((found, missing))
    }

    fn address(&self, run: &RunSummary) -> Address {
        let key = key_of(run.claims_workflow_id(), &run.workflow_id, run.run);
        Address { service: self.host.service(&run.workflow), key }
    }

    /// Writes the end of a run whose invocation has completed, if it is that run's, and nobody has it here.
    async fn close(&self, run: RunId, listed: &Listed) -> Result<(), ServerError> {
        let Some(completion) = listed.completion() else { return Ok(()) };
        if self.host.is_here(run) || self.client.run_of(&listed.id).await? != Some(run) {
            return Ok(());
        }
        let end = match completion {
            Completion::Failed(result) => End::Own(result),
            Completion::Output => match self.client.output(&listed.address()).await? {
                Some(output) => End::Own(RunResult::Completed(output)),
                None => return Ok(()),
            },
            Completion::Forced { code: 409, message } if message == "killed" => {
                End::Forced(Class::Cancelled, "killed at the Restate server".to_owned())
            }
            Completion::Forced { code, message } => {
                let class = if code == 409 { Class::Cancelled } else { Class::Unknown };
                End::Forced(class, format!("ended by the Restate server: {code} {message}"))
            }
        };
        self.write(run, end, listed.completed_at()).await;
        Ok(())
    }

    /// Ends a run in the journal, unless it has ended there, or somebody else has written more of it meanwhile.
    async fn write(&self, run: RunId, end: End, at: Timestamp) {
        let Some(events) = self.read(move |journal| journal.events(run, 0)).await else { return };
        let Some(append) = closing(run, &events, end, at) else { return };
        let (done, written) = oneshot::channel();
        self.host.journal.append(append, Box::new(move |result| drop(done.send(result))));
        match written.await.unwrap_or(Err(Error::Closed)) {
            Ok(Appended::Written) => {
                tracing::warn!(%run, "the journal was told the end of a run that it had missed");
            }
            Ok(Appended::Duplicate(_)) => {}
            Err(error) => {
                tracing::warn!(%run, %error, "the end of a run could not be written; it is tried again")
            }
        }
    }

    fn missing(&self) -> std::sync::MutexGuard<'_, HashSet<RunId>> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn runs(&self, query: RunQuery) -> Vec<RunSummary> {
        self.read(move |journal| journal.runs(&query)).await.unwrap_or_default()
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Journal) -> Result<T, Error> + Send + 'static,
    ) -> Option<T> {
        let journal = Arc::clone(&self.host.journal);
        tokio::task::spawn_blocking(move || read(&*journal)).await.ok()?.ok()
    }
}

/// What ends a run in the journal that has these events; `None` if it has ended.
fn closing(run: RunId, events: &[Event], end: End, at: Timestamp) -> Option<Append> {
    let mut fold = Fold::of(events).filter(|fold| fold.summary.ended_at.is_none())?;
    let (ordered, result) = match end {
        End::Own(result) => (None, result),
        End::Forced(class, why) => (None, given_up(events, class, &why)),
        End::Ordered { reason, by, why } => {
            let class = Class::Cancelled;
            (Some(EventKind::CancelRequested { class, reason, by }), given_up(events, class, &why))
        }
    };
    let at = at.max(fold.summary.updated_at);
    let kinds = ordered.into_iter().chain(fold.close(result));
    let more: Vec<Event> = kinds.map(|kind| Event { at, kind }).collect();
    more.iter().for_each(|event| fold.apply(event));
    Append::new(run, events.len() as u64 + 1, &more, Some(Box::new(fold.summary))).ok()
}
