//! The recorder: finds runs or begins them, and ends those that nobody calls any more.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use midwatch_journal::sqlite::SqliteJournal;
use midwatch_journal::{Journal, Lease, Letter, RunQuery, RunSummary};
use midwatch_workflow::{Class, Failure, Message, RunId, RunResult, RunStarted, Timestamp, WorkflowId};

use crate::ask::{NewRun, Options};
use crate::booked::{Booked, Place};
use crate::error::Error;
use crate::marks;
use crate::orders::Standing;
use crate::recovery::recover;
use crate::run::{Run, RunCell};
use crate::spool::Spool;
use crate::state::{RunState, Told};
use crate::writer::Writer;

/// So many letters are read at once; those that wait for an engine among them.
const LETTERS_AT_ONCE: usize = 1_000;

/// Writes runs that others carry out. Clones share it.
#[derive(Clone)]
pub struct Recorder {
    shared: Arc<Shared>,
    own: Option<Arc<Own>>,
}

/// A journal that the recorder opened itself.
struct Own {
    journal: Arc<SqliteJournal>,
    lease: Mutex<Option<Lease>>,
}

type Runs = HashMap<(String, WorkflowId), Arc<RunCell>>;

/// What all handles share.
pub(crate) struct Shared {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) options: Options,
    pub(crate) spool: Spool,
    writer: Writer,
    runs: Mutex<Runs>,
    /// Held while a run is looked up in the journal, so that it is looked up once.
    opening: Mutex<()>,
    /// The calls that were made here, so that who hears of one elsewhere does not count it again.
    booked: Mutex<Booked>,
    /// How many bytes were told and are not in the journal.
    behind: AtomicUsize,
    /// Letters that were taken in and are to be removed.
    answered: Mutex<Vec<u64>>,
    failed: OnceLock<Error>,
}

impl Recorder {
    /// Opens a journal file for itself, and takes up what an earlier recorder left in it. Reads the disk.
    ///
    /// # Errors
    /// Those of the journal; [`midwatch_journal::Error::Owned`] if another process has it.
    pub fn open(path: impl Into<PathBuf>, options: Options, now: Timestamp) -> Result<Self, Error> {
        let path = path.into();
        let lease = Lease::acquire(&path)?;
        let journal = Arc::new(SqliteJournal::open(&path, midwatch_journal::sqlite::Options::default())?);
        let recorder = Self::on(Arc::clone(&journal) as Arc<dyn Journal>, Some(path), options, now)?;
        let own = Own { journal, lease: Mutex::new(Some(lease)) };
        Ok(Self { own: Some(Arc::new(own)), ..recorder })
    }

    /// Records into a journal that the caller owns. With the path of its file what is told outlives the process at once;
    /// without, when it is in the journal. One recorder a journal. Reads the disk.
    ///
    /// # Errors
    /// Those of the journal.
    pub fn on(
        journal: Arc<dyn Journal>,
        path: Option<PathBuf>,
        options: Options,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let fail = |error| Error::Spool(Arc::new(error));
        let (spool, left) = match &path {
            Some(path) => Spool::open(path).map_err(fail)?,
            None => (Spool::none(), Vec::new()),
        };
        let found = recover(&*journal, left, &options.worker_name(), now)?;
        spool.clear().map_err(fail)?;
        let shared = Arc::new(Shared {
            journal,
            writer: Writer::new(options.linger),
            options,
            spool,
            runs: Mutex::default(),
            opening: Mutex::default(),
            booked: Mutex::default(),
            behind: AtomicUsize::new(0),
            answered: Mutex::default(),
            failed: OnceLock::new(),
        });
        Writer::start(&shared).map_err(fail)?;
        for (state, told) in found {
            shared.take_in(state, Some(told))?;
        }
        Ok(Self { shared, own: None })
    }

    /// The journal.
    pub fn journal(&self) -> &Arc<dyn Journal> {
        &self.shared.journal
    }

    /// A run that is in memory. Touches no disk.
    pub fn find(&self, workflow: &str, id: &WorkflowId) -> Option<Run> {
        // The key is owned; lookups are short beside what a call costs.
        let cell = self.shared.runs().get(&(workflow.to_owned(), id.clone())).cloned()?;
        Some(self.handle(cell))
    }

    /// The workflow of the latest recorded run that has this workflow id. Reads the disk unless the run is in memory.
    ///
    /// # Errors
    /// Those of the journal.
    pub fn named(&self, id: &WorkflowId) -> Result<Option<String>, Error> {
        if let Some((workflow, _)) = self.shared.runs().keys().find(|(_, known)| known == id) {
            return Ok(Some(workflow.clone()));
        }
        let query = RunQuery { workflow_id: Some(id.as_str().to_owned()), limit: 100, ..RunQuery::default() };
        let found = self.shared.journal.runs(&query)?;
        Ok(found.into_iter().find(|run| run.is_recorded()).map(|run| run.workflow))
    }

    /// Where a call was booked that was made here, by its [`mark`](crate::NewAttempt::mark), or by the `response_id` in its
    /// output as `id:…`. The latest 100,000 are known.
    pub fn booked(&self, mark: &str) -> Option<Place> {
        self.shared.booked().place(mark)
    }

    /// Finds the run of this workflow and workflow id, or begins it. Reads the disk unless the run is in memory.
    ///
    /// # Errors
    /// [`Error::NotRecorded`] if an engine carries out a run of that name; those of the journal.
    pub fn run(&self, new: NewRun, now: Timestamp) -> Result<Run, Error> {
        self.shared.check()?;
        if let Some(run) = self.find(&new.workflow, &new.workflow_id) {
            return Ok(run);
        }
        let _opening = self.shared.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(run) = self.find(&new.workflow, &new.workflow_id) {
            return Ok(run);
        }
        if self.shared.runs().len() >= self.shared.options.runs_max {
            self.shared.make_room();
        }
        let cell = match self.known(&new)? {
            Some(known) if !known.is_recorded() => return Err(Error::NotRecorded(known.run)),
            Some(known) => match RunState::of(&self.shared.journal.events(known.run, 0)?) {
                Some(state) => self.shared.take_in(state, None)?,
                None => return Err(Error::NotRecorded(known.run)),
            },
            None => {
                let new = self.with_free_id(new, now)?;
                let began = new.began;
                let (state, told) = RunState::begin(self.start(new), began);
                self.shared.take_in(state, Some(told))?
            }
        };
        Ok(self.handle(cell))
    }

    fn known(&self, new: &NewRun) -> Result<Option<RunSummary>, Error> {
        let query = RunQuery {
            workflow: Some(new.workflow.clone()),
            workflow_id: Some(new.workflow_id.as_str().to_owned()),
            limit: 100,
            ..RunQuery::default()
        };
        let found = self.shared.journal.runs(&query)?;
        Ok(found.into_iter().find(RunSummary::claims_workflow_id))
    }

    /// Two runs may belong to one trace: the second gets an id of its own.
    fn with_free_id(&self, new: NewRun, now: Timestamp) -> Result<NewRun, Error> {
        let is_here = self.shared.runs().values().any(|cell| cell.id == new.run);
        if is_here || self.shared.journal.run(new.run)?.is_some() {
            let run = new.run.derive(now, format!("{}/{}", new.workflow, new.workflow_id).as_bytes());
            return Ok(NewRun { run, ..new });
        }
        Ok(new)
    }

    fn start(&self, new: NewRun) -> RunStarted {
        RunStarted {
            run: new.run,
            workflow: new.workflow,
            workflow_id: new.workflow_id,
            input: if new.is_held { marks::held(new.input) } else { new.input },
            timeout: None,
            budget: new.budget,
            parent: None,
            forked_from: None,
            key_base: None,
            traceparent: new.traceparent,
            tenant: new.tenant,
            worker: self.shared.options.worker_name(),
        }
    }

    fn handle(&self, cell: Arc<RunCell>) -> Run {
        Run { shared: Arc::clone(&self.shared), cell }
    }

    /// Ends runs that nobody has called for long, lets ended ones out of memory, and brings lists up to date. To be called
    /// several times a second: lists trail by at most a second then.
    pub fn tend(&self, now: Timestamp) {
        self.shared.tend(now);
    }

    /// Takes in the letters that people left for its runs: to cancel, pause and resume them, and to raise their budgets; see
    /// [`Run::standing`], [`Run::stopped`] and [`Run::raised`]. For whoever can keep a run from going on. Reads the disk.
    ///
    /// # Errors
    /// Those of the journal; what was not taken in comes again.
    pub fn hear(&self, now: Timestamp) -> Result<(), Error> {
        self.shared.hear(now)
    }

    /// Waits until everything that was told is synced in the journal. Blocks.
    ///
    /// # Errors
    /// If the journal failed.
    pub fn flush(&self) -> Result<(), Error> {
        self.shared.writer.flush();
        self.shared.check()
    }

    /// Ends the runs that have nothing under way and are not held, for when nobody is there any more for their next call. One
    /// that comes all the same takes its run up again.
    pub fn end_idle(&self) {
        self.shared.end_idle();
    }

    /// Writes everything and closes a journal that the recorder opened. What is told later is lost. Blocks.
    ///
    /// # Errors
    /// If the journal failed: what it does not have is in the spool for the next start.
    pub fn close(&self) -> Result<(), Error> {
        let written = self.flush();
        self.shared.writer.stop();
        if written.is_ok() {
            self.shared.spool.clear().map_err(|error| Error::Spool(Arc::new(error)))?;
        }
        if let Some(own) = &self.own {
            let closed = own.journal.close();
            own.lease.lock().unwrap_or_else(PoisonError::into_inner).take();
            closed?;
        }
        written
    }
}

impl Shared {
    fn runs(&self) -> MutexGuard<'_, Runs> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn booked(&self) -> MutexGuard<'_, Booked> {
        self.booked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Whether more may be told.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.failed.get() {
            Some(error) => Err(error.clone()),
            None if self.behind.load(Ordering::Relaxed) > self.options.behind_max => Err(Error::Behind),
            None => Ok(()),
        }
    }

    fn take_in(self: &Arc<Self>, state: RunState, told: Option<Told>) -> Result<Arc<RunCell>, Error> {
        let mut state = state;
        let calls = state.take_calls();
        let summary = &state.fold.summary;
        let key = (summary.workflow.clone(), summary.workflow_id.clone());
        calls.into_iter().for_each(|call| self.booked().add(call, summary));
        let cell = RunCell::new(state);
        if let Some(told) = told {
            self.told(&cell, &mut cell.lock(), &told)?;
        }
        self.runs().insert(key, Arc::clone(&cell));
        Ok(cell)
    }

    /// Keeps what was told of a run, under the run's lock.
    pub(crate) fn told(&self, cell: &Arc<RunCell>, state: &mut RunState, told: &Told) -> Result<(), Error> {
        self.behind.fetch_add(told.text.len(), Ordering::Relaxed);
        let spooled = self.spool.write(cell.id, told.first, &told.text, state.held());
        self.dirty(cell, state);
        spooled.map_err(|error| {
            let error = Error::Spool(Arc::new(error));
            let _ = self.failed.set(error.clone());
            error
        })
    }

    fn dirty(&self, cell: &Arc<RunCell>, state: &mut RunState) {
        if !std::mem::replace(&mut state.is_dirty, true) {
            self.writer.add(Arc::clone(cell));
        }
    }

    pub(crate) fn hurry(&self) {
        self.writer.hurry();
    }

    /// Hands to the journal what a run has for it.
    pub(crate) fn write(self: &Arc<Self>, cell: &Arc<RunCell>) {
        let taken = {
            let mut state = cell.lock();
            state.is_dirty = false;
            state.take()
        };
        let Some(taken) = taken else { return };
        let (shared, cell) = (Arc::clone(self), Arc::clone(cell));
        self.writer.began();
        self.journal.append(
            taken.append,
            Box::new(move |result| {
                shared.behind.fetch_sub(taken.bytes, Ordering::Relaxed);
                match result {
                    Ok(midwatch_journal::Appended::Written) => {
                        shared.spool.release(taken.held);
                        cell.written(taken.upto);
                    }
                    Ok(midwatch_journal::Appended::Duplicate(run)) => cell.fail(Error::NotRecorded(run)),
                    Err(error @ midwatch_journal::Error::Conflict { .. }) => cell.fail(error.into()),
                    Err(error) => {
                        tracing::error!(%error, "the journal takes nothing more: calls are refused");
                        let _ = shared.failed.set(error.clone().into());
                        cell.fail(error.into());
                    }
                }
                // Before anybody is told that nothing is under way: a run in nobody's hands can leave memory then.
                drop(cell);
                shared.writer.ended();
            }),
        );
    }

    fn hear(&self, now: Timestamp) -> Result<(), Error> {
        // Held to the end: letters are read once at a time.
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        let letters = self.journal.letters(&answered, LETTERS_AT_ONCE)?;
        answered.clear();
        for Letter { id, run, message, .. } in letters {
            if self.take_letter(run, message, now)? {
                answered.push(id);
            }
        }
        Ok(())
    }

    /// Does what a letter says; whether it is answered with that. Those to runs of an engine wait for it.
    fn take_letter(&self, run: RunId, message: Message, now: Timestamp) -> Result<bool, Error> {
        let cell = self.runs().values().find(|cell| cell.id == run).cloned();
        let Some(cell) = cell else {
            return Ok(self.journal.run(run)?.is_none_or(|run| run.is_recorded()));
        };
        let mut state = cell.lock();
        match state.order(message, now) {
            Ok(Some(told)) => self.told(&cell, &mut state, &told)?,
            Ok(None) => {}
            Err(why) => tracing::warn!(%run, why, "an order is not carried out"),
        }
        cell.stop.tell(state.standing());
        self.end_if_cancelled(&cell, &mut state, now);
        drop(state);
        cell.changed.notify_waiters();
        Ok(true)
    }

    /// Ends a run that was told to stop, once nothing of it is under way.
    fn end_if_cancelled(&self, cell: &Arc<RunCell>, state: &mut RunState, now: Timestamp) {
        let Standing::Cancelled(why) = state.standing() else { return };
        let failure = Failure::new(Class::Cancelled, why);
        let result = RunResult::Failed { failure, compensated: 0, resolved: 0 };
        if let Some(told) = state.end(Some(result), now)
            && let Err(error) = self.told(cell, state, &told)
        {
            tracing::error!(run = %cell.id, %error, "the end of a run is not on record");
        }
    }

    fn tend(&self, now: Timestamp) {
        let cells: Vec<Arc<RunCell>> = self.runs().values().cloned().collect();
        for cell in &cells {
            let mut state = cell.lock();
            let silence = now.since(state.touched);
            self.end_if_cancelled(cell, &mut state, now);
            if !state.is_held && silence >= self.options.idle {
                self.end(cell, &mut state);
            } else if state.is_held
                && let Some(told) = state.end_as_before()
            {
                // Whoever says when it is over has said so: this came late.
                if let Err(error) = self.told(cell, &mut state, &told) {
                    tracing::error!(run = %cell.id, %error, "the end of a run is not on record");
                }
            } else if state.is_held && silence >= self.options.held && !state.is_ended() {
                self.give_up(cell, &mut state, now);
            }
            if state.is_summary_due(now) {
                self.dirty(cell, &mut state);
            }
        }
        drop(cells);
        self.forget_ended();
    }

    /// Ends a run as of its last call: nothing has happened since, and so long it took. One that somebody holds stays.
    fn end(&self, cell: &Arc<RunCell>, state: &mut RunState) {
        if matches!(state.standing(), Standing::Paused(_)) {
            return;
        }
        if let Some(told) = state.end(None, state.touched)
            && let Err(error) = self.told(cell, state, &told)
        {
            tracing::error!(run = %cell.id, %error, "the end of a run is not on record");
        }
    }

    /// Nobody says any more how a held run goes on.
    fn give_up(&self, cell: &Arc<RunCell>, state: &mut RunState, now: Timestamp) {
        let silence = silence_text(now.since(state.touched));
        let lost = Failure::new(Class::Lost, format!("nothing was heard of it for {silence}")).ambiguous();
        if let Some(told) = state.lose_watched(&lost, now)
            && let Err(error) = self.told(cell, state, &told)
        {
            tracing::error!(run = %cell.id, %error, "the loss of a run is not on record");
        }
        let result = RunResult::Failed { failure: lost, compensated: 0, resolved: 0 };
        if let Some(told) = state.end(Some(result), now)
            && let Err(error) = self.told(cell, state, &told)
        {
            tracing::error!(run = %cell.id, %error, "the end of a run is not on record");
        }
    }

    fn end_idle(&self) {
        let cells: Vec<Arc<RunCell>> = self.runs().values().cloned().collect();
        for cell in &cells {
            let mut state = cell.lock();
            if !state.is_held {
                self.end(cell, &mut state);
            }
        }
    }

    /// Lets runs go that have ended, are written, and are in nobody's hands.
    fn forget_ended(&self) {
        self.runs().retain(|_, cell| {
            let state = cell.lock();
            let is_kept = !state.is_ended() || state.is_unwritten() || state.is_dirty;
            drop(state);
            is_kept || Arc::strong_count(cell) > 1
        });
    }

    /// Ends the longest idle tenth of the runs before their time.
    fn make_room(&self) {
        let mut cells: Vec<(Timestamp, Arc<RunCell>)> =
            self.runs().values().map(|cell| (cell.lock().touched, Arc::clone(cell))).collect();
        cells.sort_by_key(|(touched, _)| *touched);
        cells.truncate(cells.len().div_ceil(10));
        for (_, cell) in &cells {
            self.end(cell, &mut cell.lock());
        }
        drop(cells);
        self.writer.flush();
        self.forget_ended();
    }
}

fn silence_text(time: std::time::Duration) -> String {
    match time.as_secs() {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds => format!("{} min", seconds / 60),
    }
}
