//! The engine as callers see it: runs are handed to Restate, and this process carries them out for it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use midwatch_engine_attempt::Admissions;
use midwatch_journal::{Journal, RunQuery};
use midwatch_workflow::gate::GateView;
use midwatch_workflow::{
    Engine, EngineError, Message, NewRun, OnDuplicate, Registry, RunId, RunResult, RunStarted, Started,
};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::Options;
use crate::catch_up::CatchUp;
use crate::client::{AGAIN, Accepted, Address, Attached, Client, Invocation, ServerError, sent_at};
use crate::endpoint::Server;
use crate::host::{Answer, Host};
use crate::translate::{Letter, Posted, RunInput, key_of, now, service_key};

/// Runs on a Restate server, carried out by this process. Dropping it stops everything here at once, as a crash would;
/// Restate hands its runs to whoever listens at the same address next.
pub struct Restate {
    host: Arc<Host>,
    client: Client,
    server: Server,
    listens: SocketAddr,
    /// Runs that were started here, as Restate addresses them.
    known: Mutex<HashMap<RunId, (Address, String)>>,
    /// Shows other processes how the gates stand.
    showing: AbortHandle,
    catch_up: CatchUp,
    /// Brings into the journal what the server has ended.
    tending: AbortHandle,
}

impl Drop for Restate {
    fn drop(&mut self) {
        self.showing.abort();
        self.tending.abort();
    }
}

/// How long whoever sends a message waits for the run's own answer. Restate has the message by then in any case.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// The most runs whose addresses are kept in memory; the journal knows the others.
const KNOWN_MAX: usize = 100_000;

impl Restate {
    /// Listens for Restate, and tells it which workflows are here. Events are mirrored into `journal`.
    ///
    /// # Errors
    /// If this process cannot listen, or the server cannot be told.
    pub async fn open(
        journal: Arc<dyn Journal>,
        registry: Registry,
        options: Options,
    ) -> Result<Self, EngineError> {
        let listener = TcpListener::bind(options.listen).await.map_err(unavailable)?;
        let listens = listener.local_addr().map_err(unavailable)?;
        let client = Client::new(&options.ingress, &options.admin);
        let uri = options.advertise.clone().unwrap_or_else(|| format!("http://{listens}"));
        let admissions = Admissions::open(&journal, options.admissions()).await.map_err(unavailable)?;
        let host = Host::new(journal, registry, admissions, options);
        let server = Server::start(Arc::clone(&host), listener).map_err(|why| unavailable(Wrong(why)))?;
        client.register(&uri).await.map_err(trouble)?;
        let showing = Arc::clone(&host);
        let showing = tokio::spawn(async move { showing.admissions.show().await }).abort_handle();
        let catch_up = CatchUp { client: client.clone(), host: Arc::clone(&host), missing: Arc::default() };
        let tending = tokio::spawn(catch_up.clone().tend()).abort_handle();
        Ok(Self { host, client, server, listens, known: Mutex::default(), showing, catch_up, tending })
    }

    /// The address that this process listens on.
    pub fn listens(&self) -> SocketAddr {
        self.listens
    }

    /// How many runs are in memory here.
    pub fn runs_in_memory(&self) -> usize {
        self.host.runs_in_memory()
    }

    /// The gates of all targets that turned up: what they know of their targets, and how many attempts wait at them.
    pub fn gates(&self) -> Vec<GateView> {
        self.host.admissions.gates()
    }

    /// What the server says of a run that the journal does not: whether it backs off, is paused, or has no code.
    ///
    /// # Errors
    /// If there is no such run, or the server was not reached.
    pub async fn invocation(&self, run: RunId) -> Result<Option<Invocation>, EngineError> {
        let (address, _) = self.locate(run)?;
        self.client.invocation(&address).await.map_err(trouble)
    }

    /// Lets attempts under way end within the drain limit, and leaves all runs to Restate.
    pub async fn shut_down(&self) {
        self.tending.abort();
        self.host.stop();
        let drained = async {
            while self.host.runs_in_memory() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(self.host.options.drain, drained).await.is_err() {
            tracing::warn!("attempts were still under way at the end of the drain limit");
        }
        self.server.abort();
        self.host.admissions.show_last();
    }

    fn known(&self) -> MutexGuard<'_, HashMap<RunId, (Address, String)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a run is, and its invocation if that is known.
    fn locate(&self, run: RunId) -> Result<(Address, Option<String>), EngineError> {
        if let Some((address, invocation)) = self.known().get(&run) {
            return Ok((address.clone(), Some(invocation.clone())));
        }
        let summary = self.host.journal.run(run).map_err(unavailable)?;
        let summary = summary.ok_or(EngineError::UnknownRun(run))?;
        let key = key_of(summary.claims_workflow_id(), &summary.workflow_id, run);
        Ok((Address { service: self.host.service(&summary.workflow), key }, None))
    }

    async fn begin(&self, new: NewRun) -> Result<Started, EngineError> {
        let workflow = self.host.registry.workflow(&new.workflow);
        let workflow = workflow.ok_or_else(|| EngineError::UnknownWorkflow(new.workflow.to_string()))?;
        let on_duplicate = new.on_duplicate;
        let start = RunStarted::of(workflow, new, RunId::new(now(), random_bytes()), "");
        let address = Address { service: self.host.service(&start.workflow), key: service_key(&start) };
        let input = RunInput { start, at: sent_at() };
        let id = input.start.run;
        self.host.hands_over(id);
        let accepted = self.client.start(&address, &input).await.map_err(trouble);
        if !accepted.as_ref().is_ok_and(Accepted::is_new) {
            self.host.keeps(id);
        }
        let (accepted, start) = (accepted?, input.start);
        let run = match accepted.is_new() {
            true => start.run,
            false => self.holder(&start).await?,
        };
        let mut known = self.known();
        if known.len() < KNOWN_MAX {
            known.insert(run, (address, accepted.invocation_id.clone()));
        }
        match on_duplicate {
            OnDuplicate::Fail if !accepted.is_new() => {
                Err(EngineError::Duplicate { id: start.workflow_id, run })
            }
            OnDuplicate::Attach | OnDuplicate::Fail => Ok(Started { run, is_new: accepted.is_new() }),
        }
    }

    /// The run that has a workflow id, as the journal says; it may be about to say so.
    async fn holder(&self, start: &RunStarted) -> Result<RunId, EngineError> {
        const LOOKS: u32 = 40;
        let query = RunQuery {
            workflow: Some(start.workflow.clone()),
            workflow_id: Some(start.workflow_id.to_string()),
            ..RunQuery::default()
        };
        for _ in 0..LOOKS {
            let runs = self.host.journal.runs(&query).map_err(unavailable)?;
            if let Some(holder) = runs.iter().find(|run| run.claims_workflow_id()) {
                return Ok(holder.run);
            }
            tokio::time::sleep(AGAIN).await;
        }
        let id = &start.workflow_id;
        Err(unavailable(Wrong(format!("workflow id `{id}` is taken by a run that is not in this journal"))))
    }

    async fn deliver(&self, run: RunId, message: Message) -> Result<(), EngineError> {
        let refused = |why: String| EngineError::Refused { run, why };
        let (address, invocation) = self.locate(run)?;
        if let Some(summary) = self.host.journal.run(run).map_err(unavailable)?
            && summary.ended_at.is_some()
        {
            return Err(refused(format!("has ended ({}): on Restate that is for good", summary.status)));
        }
        if let Message::Retry { by } = &message
            && self.host.retry_parked(run, by)
        {
            return Ok(());
        }
        let invocation = match invocation {
            Some(invocation) if self.host.is_here(run) => invocation,
            known => match self.client.invocation(&address).await.map_err(trouble)? {
                // One that has ended takes no message, and says nothing.
                Some(found) if found.status == "completed" => {
                    return self.too_late(run, &address, message).await;
                }
                Some(found) => found.id,
                // One that was just handed over may not be listed yet.
                None => match known {
                    Some(invocation) => invocation,
                    None => return self.too_late(run, &address, message).await,
                },
            },
        };
        let id = fastrand::u64(1..);
        let posted = Posted { invocation, letter: Letter { message, at: sent_at(), id } };
        let answer = self.host.await_answer(id);
        let sent = self.client.post(&self.host.mailbox(), &posted).await;
        if sent.is_err() {
            self.host.forget_answer(id);
            return sent.map_err(trouble);
        }
        let answer = self.hear(run, answer).await;
        self.host.forget_answer(id);
        answer.map_err(refused)
    }

    /// The run is over at the server, or not known there: the journal is told, and then whoever sent the message. A run
    /// that the server does not know is ended by whoever cancels it.
    async fn too_late(&self, run: RunId, address: &Address, message: Message) -> Result<(), EngineError> {
        let why = match (self.catch_up.end(run, address).await, message) {
            (Some(RunResult::Failed { failure, .. }), _) => {
                format!("has ended ({failure}): on Restate that is for good")
            }
            (Some(RunResult::Completed(_)), _) => "has ended (completed)".to_owned(),
            (None, message) => {
                let is_known = self.client.invocation(address).await.map_err(trouble)?.is_some();
                match message {
                    _ if is_known => "has ended at the server: on Restate that is for good".to_owned(),
                    Message::Cancel { reason, by } if self.catch_up.end_by_order(run, &reason, &by).await => {
                        return Ok(());
                    }
                    _ => format!(
                        "is not known to the Restate server at {}; `midwatch cancel` ends it in the journal",
                        self.host.options.admin
                    ),
                }
            }
        };
        Err(EngineError::Refused { run, why })
    }

    /// Waits for what a run says to a message, unless it is carried out elsewhere, or parked: Restate keeps it then.
    async fn hear(&self, run: RunId, mut answer: oneshot::Receiver<Answer>) -> Answer {
        const LOOKS: u32 = 100;
        for _ in 0..LOOKS {
            match tokio::time::timeout(ANSWER_WAIT / LOOKS, &mut answer).await {
                Ok(answer) => return answer.unwrap_or(Ok(())),
                Err(_) if self.host.is_parked(run) => return Ok(()),
                Err(_) => {}
            }
        }
        Ok(())
    }

    async fn await_end(&self, run: RunId) -> Result<RunResult, EngineError> {
        let (address, invocation) = self.locate(run)?;
        // The key of a run that was not started here may be another one's by now.
        if invocation.is_none()
            && let Some(result) = self.catch_up.recorded(run).await
        {
            return Ok(result);
        }
        loop {
            match self.client.attach(&address).await {
                Ok(Some(Attached::Own(result))) => {
                    // One that was not started here may have ended while its journal was away.
                    if invocation.is_none() {
                        self.catch_up.end(run, &address).await;
                    }
                    return Ok(result);
                }
                // The journal tells it better: it knows what is left to undo.
                Ok(Some(Attached::Forced(result))) => {
                    return Ok(self.catch_up.end(run, &address).await.unwrap_or(result));
                }
                // It ended so long ago that only the journal knows.
                Ok(None) => {
                    return self.catch_up.recorded(run).await.ok_or(EngineError::UnknownRun(run));
                }
                // The server comes back, and so does the run.
                Err(ServerError::Unreached { uri, why }) if !self.host.is_stopping() => {
                    tracing::debug!(uri, why, "waiting for the server");
                    tokio::time::sleep(AGAIN).await;
                }
                Err(error) => return Err(trouble(error)),
            }
        }
    }
}

impl Engine for Restate {
    fn start(&self, run: NewRun) -> BoxFuture<'_, Result<Started, EngineError>> {
        Box::pin(self.begin(run))
    }

    fn send(&self, run: RunId, message: Message) -> BoxFuture<'_, Result<(), EngineError>> {
        Box::pin(self.deliver(run, message))
    }

    fn result(&self, run: RunId) -> BoxFuture<'_, Result<RunResult, EngineError>> {
        Box::pin(self.await_end(run))
    }

    fn host<'a>(&'a self, stop: BoxFuture<'a, ()>) -> BoxFuture<'a, Result<(), EngineError>> {
        Box::pin(async move {
            stop.await;
            self.shut_down().await;
            Ok(())
        })
    }
}

/// What has no error type of its own.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Wrong(String);

/// What the server did not do, as its caller is told.
fn trouble(error: ServerError) -> EngineError {
    match error {
        ServerError::Unreached { uri, why } => EngineError::NotReached {
            server: "Restate",
            address: uri,
            why,
            setting: "`.ingress(url)` and `.admin(url)`",
        },
        error => unavailable(error),
    }
}

fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> EngineError {
    EngineError::Unavailable(Box::new(error))
}

fn random_bytes() -> [u8; 10] {
    let mut bytes = [0; 10];
    fastrand::fill(&mut bytes);
    bytes
}
