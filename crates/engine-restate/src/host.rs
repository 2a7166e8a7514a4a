//! What all runs of this process share.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use midwatch_engine_attempt::Admissions;
use midwatch_journal::{Error, Journal};
use midwatch_workflow::{Event, Registry, RunId};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use crate::Options;
use crate::translate::service_name;

/// What all runs of this process share.
pub(crate) struct Host {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) registry: Registry,
    pub(crate) options: Options,
    pub(crate) admissions: Admissions,
    /// The runs in memory, and whether the engine has parked them.
    runs: Mutex<HashMap<RunId, Active>>,
    /// Who waits for what comes of a letter.
    answers: Mutex<HashMap<u64, oneshot::Sender<Answer>>>,
    /// Runs that this process has handed to Restate and not taken up yet: the journal has nothing of them.
    unbegun: Mutex<HashSet<RunId>>,
    is_stopping: AtomicBool,
}

/// The most runs of which it is kept in memory that the journal has nothing; of others it is asked.
const UNBEGUN_MAX: usize = 100_000;

struct Active {
    life: u64,
    nudges: UnboundedSender<Nudge>,
    is_parked: bool,
}

/// What came of a letter: recorded, or refused for this reason.
pub(crate) type Answer = Result<(), String>;

/// What reaches a run from within the process.
pub(crate) enum Nudge {
    /// Somebody says that the reason is gone for which the engine has parked it.
    Retry(String),
    /// The host is stopping.
    Stop,
}

/// A run's place in memory, given up when dropped.
pub(crate) struct Presence {
    host: Arc<Host>,
    run: RunId,
    life: u64,
    pub(crate) nudges: UnboundedReceiver<Nudge>,
}

impl Host {
    pub(crate) fn new(
        journal: Arc<dyn Journal>,
        registry: Registry,
        admissions: Admissions,
        options: Options,
    ) -> Arc<Self> {
        Arc::new(Self {
            admissions,
            journal,
            registry,
            options,
            runs: Mutex::default(),
            answers: Mutex::default(),
            unbegun: Mutex::default(),
            is_stopping: AtomicBool::new(false),
        })
    }

    // No foreign code runs under these locks, so poisoned ones still hold whole states.
    fn runs(&self) -> MutexGuard<'_, HashMap<RunId, Active>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answers(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Answer>>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unbegun(&self) -> MutexGuard<'_, HashSet<RunId>> {
        self.unbegun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The service of a workflow.
    pub(crate) fn service(&self, workflow: &str) -> String {
        service_name(&self.options.prefix, workflow)
    }

    /// The service through which messages reach runs.
    pub(crate) fn mailbox(&self) -> String {
        service_name(&self.options.prefix, "midwatch.mailbox")
    }

    /// Takes a run up into memory.
    pub(crate) fn enter(self: &Arc<Self>, run: RunId) -> Presence {
        let (sender, nudges) = unbounded_channel();
        let life = fastrand::u64(..);
        self.runs().insert(run, Active { life, nudges: sender, is_parked: false });
        Presence { host: Arc::clone(self), run, life, nudges }
    }

    /// Tells a run that the engine has parked to try again; says whether there is such a run here.
    pub(crate) fn retry_parked(&self, run: RunId, by: &str) -> bool {
        let runs = self.runs();
        let parked = runs.get(&run).filter(|active| active.is_parked);
        parked.is_some_and(|active| active.nudges.send(Nudge::Retry(by.to_owned())).is_ok())
    }

    /// Whether the engine has parked a run here.
    pub(crate) fn is_parked(&self, run: RunId) -> bool {
        self.runs().get(&run).is_some_and(|active| active.is_parked)
    }

    /// Whether a run is in memory.
    pub(crate) fn is_here(&self, run: RunId) -> bool {
        self.runs().contains_key(&run)
    }

    /// How many runs are in memory.
    pub(crate) fn runs_in_memory(&self) -> usize {
        self.runs().len()
    }

    /// Waits for what comes of a letter.
    pub(crate) fn await_answer(&self, letter: u64) -> oneshot::Receiver<Answer> {
        let (sender, answer) = oneshot::channel();
        self.answers().insert(letter, sender);
        answer
    }

    /// Says what came of a letter; a replay says it to nobody.
    pub(crate) fn answer(&self, letter: u64, answer: Answer) {
        if let Some(sender) = self.answers().remove(&letter) {
            let _ = sender.send(answer);
        }
    }

    /// No longer waits for an answer.
    pub(crate) fn forget_answer(&self, letter: u64) {
        self.answers().remove(&letter);
    }

    /// A run with an id that this process has just made is about to be handed to Restate.
    pub(crate) fn hands_over(&self, run: RunId) {
        let mut unbegun = self.unbegun();
        if unbegun.len() < UNBEGUN_MAX {
            unbegun.insert(run);
        }
    }

    /// Restate has not taken a run that was to be handed over.
    pub(crate) fn keeps(&self, run: RunId) {
        self.unbegun().remove(&run);
    }

    /// What the journal has of a run that is taken up.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub(crate) async fn recorded(&self, run: RunId) -> Result<Vec<Event>, Error> {
        if self.unbegun().remove(&run) {
            return Ok(Vec::new());
        }
        let journal = Arc::clone(&self.journal);
        let read = tokio::task::spawn_blocking(move || journal.events(run, 0)).await;
        read.unwrap_or(Err(Error::Closed))
    }

    /// Has all runs leave when their attempts have ended.
    pub(crate) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        // Whoever enters later sees it without being told.
        for active in self.runs().values() {
            let _ = active.nudges.send(Nudge::Stop);
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }
}

impl Presence {
    /// Says whether the engine has parked the run.
    pub(crate) fn set_parked(&self, is_parked: bool) {
        if let Some(active) = self.host.runs().get_mut(&self.run) {
            active.is_parked = is_parked;
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let mut runs = self.host.runs();
        // The next life of the run may be here already.
        if runs.get(&self.run).is_some_and(|active| active.life == self.life) {
            runs.remove(&self.run);
        }
    }
}
