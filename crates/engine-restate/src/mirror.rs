//! The mirror: the run's events, written into a midwatch journal as they would be by any other engine.
//!
//! Restate's history is the truth, and a replay of it says everything again. So the mirror begins with what the journal
//! already has of the run, compares what is said with it, and writes what is new. Events that come from a process and not
//! from the history (heartbeats, the start of an attempt that had to wait, parking by the engine) are skipped over.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use midwatch_engine_attempt::Durable;
use midwatch_journal::{Append, Appended, Error, Fold, Journal, Status};
use midwatch_workflow::event::Note;
use midwatch_workflow::{Event, EventKind, Mismatch, Op, OpId, ParkReason, RunId, RunStarted, Timestamp};
use tokio::time::Instant;

/// A run's part of the journal.
pub(crate) struct Mirror {
    journal: Arc<dyn Journal>,
    run: RunId,
    /// Where the run stands after all events that were said so far.
    pub(crate) fold: Fold,
    /// What the journal has and the replay has not said yet.
    ahead: VecDeque<Event>,
    /// Attempts that the journal had before this life of the run.
    earlier: HashSet<OpId>,
    /// Said and not written yet.
    unwritten: Vec<Event>,
    /// Attempts that wait until what is unwritten is durable.
    waiting: Vec<Durable>,
    /// Whether an earlier life of the run left it parked by the engine; what is new says that it no longer is.
    was_parked: bool,
    /// The time of the last event: times do not step back.
    last: Timestamp,
    progress: Arc<Progress>,
    sent: u64,
    /// What the summary last said of the run's status, and when.
    summarized: (Status, Instant),
    /// Whether something was written since.
    is_owed: bool,
}

/// What became of the appends.
#[derive(Default)]
struct Progress {
    /// How many events are durable.
    durable: AtomicU64,
    /// The one who waits for that: the run's driver.
    waiter: AtomicWaker,
    failed: OnceLock<Error>,
}

/// What saying an event came to.
pub(crate) type Said = Result<(), Box<Mismatch>>;

/// How long a summary of a busy run may trail its journal.
const SUMMARY_LAG: Duration = Duration::from_secs(1);

impl Mirror {
    /// Takes up a run's part of the journal, which has these events of it, or begins it.
    pub(crate) fn open(
        journal: Arc<dyn Journal>,
        start: &RunStarted,
        at: Timestamp,
        worker: &str,
        recorded: Vec<Event>,
    ) -> Self {
        let run = start.run;
        let mut ahead = VecDeque::from(recorded);
        let known = ahead.len() as u64;
        let first = ahead.pop_front().filter(|event| matches!(event.kind, EventKind::RunStarted(_)));
        let is_new = first.is_none();
        let first =
            first.unwrap_or_else(|| Event { at, kind: EventKind::RunStarted(Box::new(start.clone())) });
        let fold = match &first.kind {
            EventKind::RunStarted(start) => Fold::begin(start, first.at),
            _ => Fold::begin(start, first.at),
        };
        let whose = ahead.iter().rev().find_map(|event| match &event.kind {
            EventKind::Recovered { worker } => Some(worker.clone()),
            _ => None,
        });
        let whose = whose.unwrap_or_else(|| fold.summary.worker.clone());
        let last = ahead.back().map_or(first.at, |event| event.at);
        let mut mirror = Self {
            journal,
            run,
            summarized: (fold.summary.status, Instant::now()),
            fold,
            ahead,
            earlier: HashSet::new(),
            was_parked: false,
            unwritten: Vec::new(),
            waiting: Vec::new(),
            last,
            progress: Arc::new(Progress { durable: AtomicU64::new(known), ..Progress::default() }),
            sent: known,
            is_owed: false,
        };
        mirror.was_parked = mirror.halted().is_some();
        if is_new {
            mirror.unwritten.push(first);
        } else if whose != worker && !mirror.is_over() {
            mirror.put_aside(EventKind::Recovered { worker: worker.to_owned() }, at);
        }
        mirror
    }

    /// The highest operation that the journal has.
    pub(crate) fn ops_ahead(&self) -> u32 {
        self.ahead.iter().filter_map(|event| event.kind.op()).map(|op| op.0).max().unwrap_or(0)
    }

    /// The patches that the run has taken.
    pub(crate) fn patches_ahead(&self) -> BTreeSet<String> {
        let patch = |event: &Event| match &event.kind {
            EventKind::Noted { note: Note::Patched(id), .. } => Some(id.clone()),
            _ => None,
        };
        self.ahead.iter().filter_map(patch).collect()
    }

    /// Whether the journal has the run's end.
    fn is_over(&self) -> bool {
        self.ahead.iter().any(|event| matches!(event.kind, EventKind::RunEnded { .. }))
    }

    /// Whether the journal is ahead of what was said: a replay is under way.
    pub(crate) fn is_ahead(&mut self) -> bool {
        self.skip();
        !self.ahead.is_empty()
    }

    /// Says that the workflow asked for something.
    ///
    /// # Errors
    /// The journal records something else at this place.
    pub(crate) fn ask(&mut self, op: &Op, kind: EventKind, at: Timestamp) -> Said {
        self.skip();
        let Some(recorded) = self.ahead.front() else {
            self.go_on(at);
            self.add(kind, at);
            return Ok(());
        };
        op.check(&recorded.kind)?;
        if let EventKind::AttemptScheduled(_) = kind {
            self.earlier.insert(op.id);
        }
        self.confirm();
        Ok(())
    }

    /// Says that something happened.
    ///
    /// # Errors
    /// The journal records something else at this place.
    pub(crate) fn tell(&mut self, kind: EventKind, at: Timestamp) -> Said {
        self.skip();
        let Some(recorded) = self.ahead.front() else {
            self.go_on(at);
            self.add(kind, at);
            return Ok(());
        };
        let is_same = recorded.kind.op() == kind.op()
            && std::mem::discriminant(&recorded.kind) == std::mem::discriminant(&kind);
        if !is_same {
            return Err(Box::new(Mismatch::new(&recorded.kind, format!("{kind:?}"))));
        }
        self.confirm();
        Ok(())
    }

    /// Says something that comes from this process and not from the history.
    pub(crate) fn put_aside(&mut self, kind: EventKind, at: Timestamp) {
        match &kind {
            EventKind::Parked { .. } | EventKind::Unparked { .. } => self.was_parked = false,
            _ => {}
        }
        self.skip();
        if self.ahead.is_empty() {
            self.go_on(at);
            self.add(kind, at);
            return;
        }
        // During a replay it stands at the journal's end, and is taken in when the replay comes there.
        self.last = self.last.max(at);
        let event = Event { at: self.last, kind };
        self.unwritten.push(event.clone());
        self.ahead.push_back(event);
    }

    /// Tells these when all that was said so far is durable.
    pub(crate) fn tell_when_durable(&mut self, waiting: Vec<Durable>) {
        self.waiting.extend(waiting);
    }

    /// Whether an attempt was asked for in an earlier life of the run, and what the journal says of it.
    pub(crate) fn is_earlier(&mut self, op: OpId) -> bool {
        self.skip();
        self.earlier.contains(&op)
    }

    /// Why the engine has parked the run, after all that the journal has.
    pub(crate) fn halted(&self) -> Option<ParkReason> {
        let last = self.ahead.iter().rev().find_map(|event| match &event.kind {
            EventKind::Parked { op: None, reason, .. } => Some(Some(*reason)),
            EventKind::Unparked { .. } => Some(None),
            _ => None,
        });
        last.unwrap_or(self.fold.halted)
    }

    /// The history is taken in, and the run waits for what comes.
    pub(crate) fn caught_up(&mut self, at: Timestamp) {
        if !self.is_ahead() {
            self.go_on(at);
        }
    }

    /// Beyond what the journal has, the run goes on: the engine's reason to park it is gone.
    fn go_on(&mut self, at: Timestamp) {
        if std::mem::take(&mut self.was_parked) && self.fold.halted.is_some() {
            self.add(EventKind::Unparked { by: "replay".to_owned() }, at);
        }
    }

    /// Takes in what comes from a process.
    fn skip(&mut self) {
        while self.ahead.front().is_some_and(|event| is_aside(&event.kind)) {
            self.confirm();
        }
    }

    fn confirm(&mut self) {
        if let Some(event) = self.ahead.pop_front() {
            self.fold.apply(&event);
        }
    }

    fn add(&mut self, kind: EventKind, at: Timestamp) {
        self.last = self.last.max(at);
        let event = Event { at: self.last, kind };
        self.fold.apply(&event);
        self.unwritten.push(event);
    }

    /// Hands what is new to the journal, without waiting for it.
    ///
    /// # Errors
    /// If an earlier append failed, or this one cannot be encoded. Nothing is lost: a replay says it again.
    pub(crate) fn write(&mut self) -> Result<(), Error> {
        if let Some(error) = self.progress.failed.get() {
            return Err(error.clone());
        }
        if self.unwritten.is_empty() {
            self.flush_summary();
            return Ok(());
        }
        let events = std::mem::take(&mut self.unwritten);
        let first = self.sent + 1;
        let summary = self.summary_if_due();
        let append = Append::new(self.run, first, &events, summary)?;
        self.sent += events.len() as u64;
        let (progress, upto) = (Arc::clone(&self.progress), self.sent);
        let waiting = std::mem::take(&mut self.waiting);
        let done = move |result| {
            match result {
                Ok(Appended::Written) => {
                    progress.durable.fetch_max(upto, Ordering::AcqRel);
                    for durable in waiting {
                        let _ = durable.send(());
                    }
                }
                Ok(Appended::Duplicate(run)) => drop(progress.failed.set(Error::Conflict { run, number: 1 })),
                Err(error) => drop(progress.failed.set(error)),
            }
            progress.waiter.wake();
        };
        self.journal.append(append, Box::new(done));
        Ok(())
    }

    /// Writes the summary alone if it is due.
    pub(crate) fn flush_summary(&mut self) {
        if !self.is_owed {
            return;
        }
        if let Some(summary) = self.summary_if_due() {
            let summary = Some(summary);
            let append = Append { run: self.run, first: self.sent + 1, body: String::new(), summary };
            // A summary that cannot be written is no loss: it is recomputed from the journal.
            self.journal.append(append, Box::new(drop));
        }
    }

    /// When the summary is due at the latest.
    pub(crate) fn summary_due(&self) -> Option<Instant> {
        (self.is_owed && self.ahead.is_empty()).then(|| self.summarized.1 + SUMMARY_LAG)
    }

    fn summary_if_due(&mut self) -> Option<Box<midwatch_journal::RunSummary>> {
        self.is_owed = true;
        if !self.ahead.is_empty() {
            return None;
        }
        let is_first = self.fold.summary.events == 1 || self.sent == 0;
        let is_still = self.fold.is_idle() || self.fold.summary.ended_at.is_some();
        self.fold.summarize();
        let (status, at) = self.summarized;
        let is_due =
            is_first || is_still || status != self.fold.summary.status || at.elapsed() >= SUMMARY_LAG;
        is_due.then(|| {
            self.is_owed = false;
            self.summarized = (self.fold.summary.status, Instant::now());
            Box::new(self.fold.summary.clone())
        })
    }

    /// Waits until all that was written is durable.
    ///
    /// # Errors
    /// If the journal failed.
    pub(crate) async fn settle(&mut self) -> Result<(), Error> {
        self.write()?;
        // Mostly so: then nobody is to be woken.
        if self.progress.failed.get().is_none() && self.progress.durable.load(Ordering::Acquire) >= self.sent
        {
            return Ok(());
        }
        std::future::poll_fn(|cx| {
            self.progress.waiter.register(cx.waker());
            match self.progress.failed.get() {
                Some(error) => Poll::Ready(Err(error.clone())),
                None if self.progress.durable.load(Ordering::Acquire) >= self.sent => Poll::Ready(Ok(())),
                None => Poll::Pending,
            }
        })
        .await
    }
}

/// Whether an event comes from a process: a replay of the same history does not say it again.
fn is_aside(kind: &EventKind) -> bool {
    matches!(
        kind,
        EventKind::Heartbeat { .. }
            | EventKind::AttemptStarted { .. }
            | EventKind::Recovered { .. }
            | EventKind::Parked { op: None, .. }
            | EventKind::Unparked { .. }
    )
}
