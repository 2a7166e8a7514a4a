//! The thread that judges every reading of the journal and tells receivers.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use midwatch_inspect::{Inspector, gates};
use midwatch_journal::sqlite::SqliteJournal;
use midwatch_observe::alert::{Explained, Notification, State, judge};
use midwatch_observe::metrics::{Metrics, family};
use midwatch_observe::{Standing, shell};
use midwatch_workflow::Timestamp;
use reqwest::Client;
use tokio::sync::oneshot;

use super::config::Plan;
use super::keep::{Sole, keep, kept};
use super::receiver::Receiver;
use super::send::{client, deliver};
use crate::watch::{Error, Watch, clock};

/// So many findings of a rule are explained.
const EXPLAINED_MAX: usize = 10;
/// How often it looks whether the journal was read anew.
const LOOK: Duration = Duration::from_millis(200);
/// So long a round that is under way may take to end when the watch stops.
const GRACE: Duration = Duration::from_secs(3);
/// After a failure a receiver is left alone for so long, twice as long after each other, up to the second.
const REST: Duration = Duration::from_secs(5);
const REST_MAX: Duration = Duration::from_secs(300);

/// Tells receivers what the rules find, until it is dropped.
#[derive(Debug)]
pub struct Alerter {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Alerter {
    /// Begins to judge what `watch` finds in the journal at `path`. `None` if another process tells receivers about it.
    ///
    /// # Errors
    /// If the journal cannot be read, or there is no thread or HTTP client to be had.
    pub fn start(path: impl Into<PathBuf>, plan: Plan, watch: &Watch) -> Result<Option<Self>, Error> {
        let path = path.into();
        let Some(sole) = Sole::take(&path)? else { return Ok(None) };
        let journal = SqliteJournal::open_reader(&path)?;
        let client = client().map_err(|why| Error::Thread(std::io::Error::other(why)))?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Thread)?;
        let mut state = kept(&path).unwrap_or_else(|error| {
            tracing::warn!(%error, "alerts begin without what was known of them");
            None
        });
        if let Some(state) = &mut state {
            state.keep_receivers(plan.receivers.iter().map(|receiver| receiver.audience.name.as_str()));
        }
        let own = Arc::clone(&watch.alerts);
        let found = Arc::clone(&watch.found);
        let mut work = Work {
            db: db_option(&path),
            path,
            journal,
            plan,
            client,
            state: state.unwrap_or_default(),
            resting: HashMap::new(),
            own,
            _sole: sole,
        };
        let (stop, mut stopped) = oneshot::channel();
        let is_stopping = Arc::new(AtomicBool::new(false));
        let is_last = Arc::clone(&is_stopping);
        let rounds = async move {
            let mut judged = None;
            while !is_last.load(Ordering::Relaxed) {
                let standing = found.read().unwrap_or_else(PoisonError::into_inner).standing.clone();
                if let Some(standing) = standing.filter(|standing| judged != Some(standing.now)) {
                    judged = Some(standing.now);
                    work.round(&standing).await;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        let thread = std::thread::Builder::new()
            .name("midwatch-alerts".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    let mut rounds = pin!(rounds);
                    tokio::select! {
                        _ = &mut stopped => is_stopping.store(true, Ordering::Relaxed),
                        () = &mut rounds => return,
                    }
                    // What is cut off after that counts as not accepted, and is due again at the next start.
                    let _ = tokio::time::timeout(GRACE, rounds).await;
                });
            })
            .map_err(Error::Thread)?;
        Ok(Some(Self { stop: Some(stop), thread: Some(thread) }))
    }
}

impl Drop for Alerter {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there was reported when it happened.
            let _ = thread.join();
        }
    }
}

/// The thread's own state.
struct Work {
    path: PathBuf,
    /// What commands need so that they find the journal.
    db: String,
    journal: SqliteJournal,
    plan: Plan,
    client: Client,
    state: State,
    /// Receivers that failed: until when they are left alone, and for how long the last time.
    resting: HashMap<String, (Instant, Duration)>,
    own: Arc<Mutex<Metrics>>,
    _sole: Sole,
}

impl Work {
    async fn round(&mut self, standing: &Standing) {
        let before = self.state.clone();
        let now = standing.now;
        let mut findings = judge(&self.plan.rules, standing);
        findings.iter_mut().for_each(|finding| finding.next.push_str(&self.db));
        self.state.update(&self.plan.rules, findings, self.plan.resolve_after, now);
        self.explain(standing);
        self.tell(now).await;
        self.count(now);
        if self.state != before
            && let Err(error) = keep(&self.path, &self.state)
        {
            tracing::warn!(%error, "what receivers were told is not kept: they hear it again after a restart");
        }
    }

    /// Asks `why` for what somebody is about to hear of.
    fn explain(&mut self, standing: &Standing) {
        let wanted = self.state.unexplained(EXPLAINED_MAX, standing.now);
        if wanted.is_empty() {
            return;
        }
        let inspector =
            Inspector::new(&self.journal, clock(), standing.owner.clone()).with_gates(gates(&self.path));
        for (key, run) in wanted {
            match inspector.why(run) {
                Ok(answer) => {
                    let mut explained = Explained::from(answer);
                    explained.next.iter_mut().for_each(|next| next.push_str(&self.db));
                    self.state.explain(&key, explained);
                }
                Err(error) => tracing::warn!(%error, %run, "an alert is told without its cause"),
            }
        }
    }

    /// Tells all receivers at the same time; each one gets its messages one after the other.
    async fn tell(&mut self, now: Timestamp) {
        let ready = |receiver: &&Receiver| {
            self.resting.get(&receiver.audience.name).is_none_or(|(until, _)| *until <= Instant::now())
        };
        let due: Vec<(&Receiver, Vec<Notification>)> = self
            .plan
            .receivers
            .iter()
            .filter(ready)
            .map(|receiver| (receiver, self.state.due(&receiver.audience, now)))
            .filter(|(_, due)| !due.is_empty())
            .collect();
        let telling = due.into_iter().map(|(receiver, due)| send(&self.client, receiver, due, &self.path));
        for (name, taken, failed) in join_all(telling).await {
            for notification in &taken {
                self.state.accepted(&name, notification, now);
            }
            let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
            own.add(&family::NOTIFICATIONS, &[&name, "accepted"], taken.len() as u64);
            own.add(&family::NOTIFICATIONS, &[&name, "failed"], u64::from(failed));
            drop(own);
            if failed {
                let rest = self.resting.get(&name).map_or(REST, |(_, rest)| (*rest * 2).min(REST_MAX));
                self.resting.insert(name, (Instant::now() + rest, rest));
            } else {
                self.resting.remove(&name);
            }
        }
    }

    #[allow(clippy::cast_precision_loss)] // a handful
    fn count(&self, now: Timestamp) {
        let firing = self.state.firing(now);
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        for rule in &self.plan.rules {
            let count = firing.iter().filter(|item| item.finding.rule == rule.name).count();
            own.set(&family::ALERTS, &[&rule.name], count as f64);
        }
    }
}

/// Sends what is due until one is not taken: what the receiver took, and whether something failed.
async fn send(
    client: &Client,
    receiver: &Receiver,
    due: Vec<Notification>,
    journal: &Path,
) -> (String, Vec<Notification>, bool) {
    let name = receiver.audience.name.clone();
    let mut taken = Vec::new();
    for notification in due {
        match deliver(client, receiver, &notification, journal, clock()).await {
            Ok(_) => taken.push(notification),
            Err(trouble) => {
                tracing::warn!(receiver = %name, why = %trouble.why, "a notification was not taken; it is due again");
                return (name, taken, true);
            }
        }
    }
    (name, taken, false)
}

/// ` --db FILE`, or nothing where a command finds the journal by itself.
fn db_option(path: &Path) -> String {
    if path == Path::new("midwatch.db") {
        return String::new();
    }
    format!(" --db {}", shell(&path.display().to_string()))
}
