//! One run, as callers hold it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use midwatch_journal::RunSummary;
use midwatch_workflow::event::{Note, TimerPurpose};
use midwatch_workflow::{Amount, DelayReason, GiveUp, RunId, RunResult, Spent, Timestamp};
use tokio::sync::Notify;

use crate::ask::NewAttempt;
use crate::attempt::{Attempt, Wait};
use crate::error::Error;
use crate::orders::{Standing, Stop};
use crate::shared::Shared;
use crate::state::{RunState, Told, Use};

/// A run in the recorder's memory.
pub(crate) struct RunCell {
    pub(crate) id: RunId,
    state: Mutex<RunState>,
    /// The last event that is durable.
    pub(crate) durable: AtomicU64,
    pub(crate) changed: Notify,
    pub(crate) stop: Stop,
    /// What the journal refused of this run.
    pub(crate) failed: OnceLock<Error>,
}

impl RunCell {
    pub(crate) fn new(state: RunState) -> Arc<Self> {
        let id = state.fold.summary.run;
        let stop = Stop::default();
        stop.tell(state.standing());
        Arc::new(Self {
            id,
            state: Mutex::new(state),
            durable: AtomicU64::new(0),
            changed: Notify::new(),
            stop,
            failed: OnceLock::new(),
        })
    }

    /// No foreign code runs under this lock, so a poisoned one still holds a whole state.
    pub(crate) fn lock(&self) -> MutexGuard<'_, RunState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        self.failed.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// All up to this event is in the journal.
    pub(crate) fn written(&self, upto: u64) {
        self.durable.fetch_max(upto, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    pub(crate) fn fail(&self, error: Error) {
        let _ = self.failed.set(error);
        self.changed.notify_waiters();
    }
}

/// A recorded run. Clones are the same run.
#[derive(Clone)]
pub struct Run {
    pub(crate) shared: Arc<Shared>,
    pub(crate) cell: Arc<RunCell>,
}

impl Run {
    /// The run.
    pub fn id(&self) -> RunId {
        self.cell.id
    }

    /// What all its attempts have spent that have ended.
    pub fn spent(&self) -> Spent {
        self.cell.lock().fold.summary.spent
    }

    /// Whether it takes calls, as people want it.
    pub fn standing(&self) -> Standing {
        self.cell.lock().standing()
    }

    /// Waits until nobody holds it.
    pub async fn resumed(&self) {
        loop {
            let mut changed = std::pin::pin!(self.cell.changed.notified());
            changed.as_mut().enable();
            if !matches!(self.standing(), Standing::Paused(_)) {
                return;
            }
            changed.await;
        }
    }

    /// Who has stopped it for good, and why; `None` while nobody has. Takes no lock.
    pub fn stop_word(&self) -> Option<&str> {
        self.cell.stop.word()
    }

    /// Waits until somebody stops it for good, and gives who, and why: for calls under way. Takes no lock until it waits.
    pub async fn stopped(&self) -> &str {
        self.cell.stop.told().await
    }

    /// By how much people have raised its budget.
    pub fn raised(&self) -> Amount {
        self.cell.lock().orders.raised
    }

    /// Where it stands.
    pub fn summary(&self) -> RunSummary {
        let mut state = self.cell.lock();
        state.fold.summarize();
        state.fold.summary.clone()
    }

    /// Whether an attempt was told under this [`mark`](NewAttempt::mark).
    pub fn knows(&self, mark: &str) -> bool {
        self.cell.lock().knows(mark)
    }

    /// From now on these are known; for as long as the run is in memory.
    pub fn learn(&self, marks: impl IntoIterator<Item = String>) {
        let mut state = self.cell.lock();
        marks.into_iter().for_each(|mark| state.learn_mark(mark));
    }

    /// A watched attempt that is under way, by its mark, also if another process began it.
    pub fn under_way(&self, mark: &str) -> Option<Attempt> {
        let (op, use_of) = self.cell.lock().under_way(mark)?;
        Some(Attempt::new(self.clone(), op, use_of, 0))
    }

    /// Whether anything is under way in it.
    pub fn is_busy(&self) -> bool {
        !self.cell.lock().fold.open.is_empty()
    }

    /// Begins an attempt. When this returns, it and its bounds outlive the process.
    ///
    /// # Errors
    /// [`Error`]: the call must not be made then.
    pub fn begin(&self, new: NewAttempt, now: Timestamp) -> Result<Attempt, Error> {
        self.begin_as(new, None, now)
    }

    /// Begins the next attempt at what failed before.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub fn begin_again(&self, new: NewAttempt, before: &Use, now: Timestamp) -> Result<Attempt, Error> {
        self.begin_as(new, Some(before), now)
    }

    fn begin_as(&self, new: NewAttempt, before: Option<&Use>, now: Timestamp) -> Result<Attempt, Error> {
        self.shared.check()?;
        self.cell.check()?;
        let call = new.mark.clone().filter(|_| !new.is_watched);
        let mut state = self.cell.lock();
        let (op, use_of, told) = state.schedule(new, before, now);
        let upto = told.last;
        self.shared.told(&self.cell, &mut state, &told)?;
        if let Some(call) = call {
            self.shared.booked().add(call, &state.fold.summary);
        }
        drop(state);
        Ok(Attempt::new(self.clone(), op, use_of, upto))
    }

    /// Says that the next attempt at what failed is made after a wait; `of` is the most attempts there will be.
    pub fn wait(
        &self,
        failed: &Use,
        until: Timestamp,
        of: u32,
        because: DelayReason,
        now: Timestamp,
    ) -> Wait {
        let Use { step, nth, attempt } = failed.clone();
        let purpose = TimerPurpose::Retry { step: step.into_owned(), nth, attempt: attempt + 1, of, because };
        let mut state = self.cell.lock();
        let (op, told) = state.wait(until, purpose, now);
        self.tell(&mut state, &told);
        drop(state);
        Wait::new(self.clone(), op)
    }

    /// Says that what failed is not tried again.
    pub fn gave_up(&self, failed: &Use, because: GiveUp, now: Timestamp) {
        let Use { step, nth, attempt } = failed.clone();
        self.note(Note::GaveUp { step: step.into_owned(), nth, attempts: attempt, because }, now);
    }

    /// Says what people should see beside the run.
    pub fn status(&self, text: impl Into<String>, now: Timestamp) {
        self.note(Note::Status(text.into()), now);
    }

    fn note(&self, note: Note, now: Timestamp) {
        let mut state = self.cell.lock();
        let told = state.note(note, now);
        self.tell(&mut state, &told);
    }

    /// Ends the run, unless something is under way or it has ended: with this result, or as its last attempt ended.
    pub fn end(&self, result: Option<RunResult>, now: Timestamp) {
        let mut state = self.cell.lock();
        if let Some(told) = state.end(result, now) {
            self.tell(&mut state, &told);
        }
    }

    /// Tells what has happened already: if it cannot be kept, the next attempt is refused, and not this.
    pub(crate) fn tell(&self, state: &mut RunState, told: &Told) {
        if let Err(error) = self.shared.told(&self.cell, state, told) {
            tracing::error!(run = %self.cell.id, %error, "what happened is not on record");
        }
    }

    /// Waits until all up to this event is synced in the journal.
    pub(crate) async fn durable(&self, upto: u64) -> Result<(), Error> {
        loop {
            let mut changed = std::pin::pin!(self.cell.changed.notified());
            changed.as_mut().enable();
            self.shared.check()?;
            self.cell.check()?;
            if self.cell.durable.load(Ordering::Acquire) >= upto {
                return Ok(());
            }
            self.shared.hurry();
            changed.await;
        }
    }
}
