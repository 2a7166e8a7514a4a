//! The task that writes the mirror's events: many runs at once, each in its order.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use midwatch_journal::replay::Unreplayable;
use midwatch_journal::{Append, Appended, Error, Journal};
use midwatch_workflow::{Event, RunId, Timestamp};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use crate::ends::End;
use crate::mirror::{Stands, Told};
use crate::mirror_run::MirroredRun;
use crate::time::timestamp;

/// How long the server may take to refuse a task: after that, silence is consent.
const CONSENT: Duration = Duration::from_millis(250);

/// How long to wait before a journal that failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// How many runs may be about to be ended.
const CUTS_MAX: usize = 10_000;

pub(crate) struct Writer {
    journal: Arc<dyn Journal>,
    worker: String,
    receiver: UnboundedReceiver<Told>,
    /// How many events wait for the journal.
    waiting: Arc<AtomicUsize>,
    runs: HashMap<RunId, MirroredRun>,
    tasks: HashMap<Arc<str>, RunId>,
    /// Runs that are about to be ended because the server has closed their execution by itself, and how much of its history
    /// counts.
    cuts: HashMap<RunId, (Arc<str>, u32)>,
    /// When a journal that failed is tried again.
    again: Option<Instant>,
    is_closed: bool,
}

impl Writer {
    pub(crate) fn new(
        journal: Arc<dyn Journal>,
        worker: String,
        receiver: UnboundedReceiver<Told>,
        waiting: Arc<AtomicUsize>,
    ) -> Self {
        Self {
            journal,
            worker,
            receiver,
            waiting,
            runs: HashMap::new(),
            tasks: HashMap::new(),
            cuts: HashMap::new(),
            again: None,
            is_closed: false,
        }
    }

    /// Writes until the mirror is closed and all is written, or cannot be.
    pub(crate) async fn write(mut self) {
        while !self.is_closed {
            self.hear().await;
            self.consent();
            self.append_all().await;
        }
    }

    /// Takes in what the mirror was told, or waits until something is due.
    async fn hear(&mut self) {
        let consent = self.runs.values().filter_map(MirroredRun::tentative_since).min();
        let due = [consent.map(|since| since + CONSENT), self.again].into_iter().flatten().min();
        let told = match due {
            None => self.receiver.recv().await,
            Some(due) => tokio::select! {
                biased;
                told = self.receiver.recv() => told,
                () = sleep_until(due) => return,
            },
        };
        let Some(told) = told else {
            self.is_closed = true;
            return;
        };
        self.take(told).await;
        while let Ok(told) = self.receiver.try_recv() {
            self.take(told).await;
        }
    }

    async fn take(&mut self, told: Told) {
        match told {
            Told::Events { task, run, first, length, events } => {
                self.waiting.fetch_sub(events.len(), Ordering::Relaxed);
                if self.cuts.get(&run).is_some_and(|(of, cut)| *of == task && length > *cut) {
                    return;
                }
                self.succeed(&task, run);
                self.tasks.insert(task, run);
                let now = Instant::now();
                let Some(mirrored) = self.run(run).await else { return };
                let taken = mirrored.take(first, events, now);
                if let Err(mismatch) = taken
                    && let Some((reason, what)) = Unreplayable::Mismatch(mismatch).obstacle()
                {
                    mirrored.halt(reason, what, timestamp(SystemTime::now()));
                }
            }
            Told::Halted { task, run, reason, message } => {
                self.tasks.insert(task, run);
                if let Some(mirrored) = self.run(run).await {
                    mirrored.halt(reason, message, timestamp(SystemTime::now()));
                }
            }
            Told::Accepted(task) => self.decide(&task, Stands::Yes),
            Told::Evicted(task, stands) => {
                self.decide(&task, stands);
                self.tasks.remove(&task);
            }
            Told::Cut { run, task, length } => {
                if self.cuts.len() >= CUTS_MAX {
                    self.cuts.clear();
                }
                self.cuts.insert(run, (task, length));
            }
            Told::Ended { run, end, at } => {
                self.cuts.remove(&run);
                self.end(run, &end, at).await;
            }
            Told::Closed => {
                self.runs.values_mut().for_each(|run| run.decide(Stands::Yes));
                self.is_closed = true;
            }
        }
    }

    /// Ends a run as the server says, unless it has ended by itself. What was told of it before stands in the journal first;
    /// a journal that is away is told again when the run is next compared with the server.
    async fn end(&mut self, id: RunId, end: &End, at: Timestamp) {
        if let Some(run) = self.runs.get_mut(&id) {
            run.decide(Stands::Yes);
        }
        self.append_all().await;
        if self.runs.get(&id).is_some_and(|run| !run.is_still()) {
            return;
        }
        self.runs.remove(&id);
        let journal = Arc::clone(&self.journal);
        let Ok(Ok(events)) = tokio::task::spawn_blocking(move || journal.events(id, 0)).await else { return };
        let mut run = MirroredRun::of(&events, &self.worker);
        run.end(end, &events, at);
        self.runs.insert(id, run);
    }

    /// An execution that goes on with a run ends the one before, whose last task counts then.
    fn succeed(&mut self, task: &Arc<str>, run: RunId) {
        if self.tasks.contains_key(task) {
            return;
        }
        let before: Vec<Arc<str>> =
            self.tasks.iter().filter(|(_, of)| **of == run).map(|(task, _)| Arc::clone(task)).collect();
        for task in before {
            self.decide(&task, Stands::Yes);
            self.tasks.remove(&task);
        }
    }

    fn decide(&mut self, task: &str, stands: Stands) {
        if let Some(mirrored) = self.tasks.get(task).and_then(|run| self.runs.get_mut(run)) {
            mirrored.decide(stands);
        }
    }

    fn consent(&mut self) {
        let now = Instant::now();
        for run in self.runs.values_mut() {
            if run.tentative_since().is_some_and(|since| since + CONSENT <= now) {
                run.decide(Stands::Yes);
            }
        }
    }

    /// The run as the mirror knows it, read from the journal if need be; `None` if that fails.
    async fn run(&mut self, run: RunId) -> Option<&mut MirroredRun> {
        if !self.runs.contains_key(&run) {
            let journal = Arc::clone(&self.journal);
            let read = tokio::task::spawn_blocking(move || journal.events(run, 0)).await;
            match read {
                Ok(Ok(events)) => drop(self.runs.insert(run, MirroredRun::of(&events, &self.worker))),
                Ok(Err(error)) => {
                    tracing::warn!(%run, %error, "the journal cannot be read: its run is not mirrored")
                }
                Err(_) => {}
            }
        }
        self.runs.get_mut(&run)
    }

    async fn append_all(&mut self) {
        if self.again.is_some_and(|again| again > Instant::now()) && !self.is_closed {
            return;
        }
        self.again = None;
        while self.append_round().await {}
        // What is neither in memory at the worker nor waits here is read again if need be.
        let active: std::collections::HashSet<RunId> = self.tasks.values().copied().collect();
        self.runs.retain(|id, run| !run.is_still() || active.contains(id));
    }

    /// Appends something of every run that has something; says whether to go on at once.
    async fn append_round(&mut self) -> bool {
        let mut under_way = Vec::new();
        for (id, run) in self.runs.iter_mut().filter(|(_, run)| !run.ready.is_empty()) {
            let Some((append, count)) = piece(*id, run) else {
                run.ready.clear();
                continue;
            };
            let (done, written) = oneshot::channel();
            self.journal.append(append, Box::new(move |result| drop(done.send(result))));
            under_way.push((*id, count, written));
        }
        let mut is_more = false;
        for (id, count, written) in under_way {
            is_more |= self.written(id, count, written.await.unwrap_or(Err(Error::Closed)));
        }
        is_more
    }

    fn written(&mut self, id: RunId, count: usize, result: Result<Appended, Error>) -> bool {
        let Some(run) = self.runs.get_mut(&id) else { return false };
        match result {
            Ok(Appended::Written) => {
                run.ready.drain(..count);
                return !run.ready.is_empty();
            }
            Ok(Appended::Duplicate(holder)) => {
                tracing::error!(run = %id, %holder, "the journal has another run of this workflow id");
                drop(self.runs.remove(&id));
            }
            Err(Error::Conflict { number, .. }) => {
                tracing::warn!(run = %id, number, "another process mirrors this run; it is read again when replayed");
                drop(self.runs.remove(&id));
            }
            Err(error) => {
                tracing::warn!(run = %id, %error, "the journal cannot be written; it is tried again");
                self.again = Some(Instant::now() + AGAIN);
            }
        }
        false
    }
}

/// As much of a run's events as one append takes, and how many that are. The summary is that of the last piece.
fn piece(id: RunId, run: &mut MirroredRun) -> Option<(Append, usize)> {
    let fold = run.fold.as_mut()?;
    fold.summarize();
    let first = fold.summary.events + 1 - run.ready.len() as u64;
    let mut count = run.ready.len();
    loop {
        let events: &[Event] = &run.ready[..count];
        let summary = Box::new(fold.summary.clone());
        match Append::new(id, first, events, Some(summary)) {
            Ok(append) => return Some((append, count)),
            Err(Error::TooLarge { .. }) if count > 1 => count = count.div_ceil(2),
            Err(error) => {
                tracing::error!(run = %id, %error, "events cannot be written");
                return None;
            }
        }
    }
}
