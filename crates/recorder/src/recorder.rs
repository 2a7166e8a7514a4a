//! The recorder: finds runs or begins them, and ends those that nobody calls any more.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use midwatch_journal::spool::Spool;
use midwatch_journal::sqlite::SqliteJournal;
use midwatch_journal::{Journal, Lease, RunQuery, RunSummary};
use midwatch_workflow::{RunStarted, Timestamp, WorkflowId};

use crate::ask::{NewRun, Options};
use crate::booked::Place;
use crate::error::Error;
use crate::marks;
use crate::recovery::recover;
use crate::run::{Run, RunCell};
use crate::shared::Shared;
use crate::state::RunState;
use crate::writer::Writer;

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
        let shared = Shared::new(journal, options, spool);
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
            workflow_id: new.workflow_id,
            input: if new.is_held { marks::held(new.input) } else { new.input },
            budget: new.budget,
            traceparent: new.traceparent,
            tenant: new.tenant,
            worker: self.shared.options.worker_name(),
            ..RunStarted::bare(new.run, new.workflow)
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
        self.shared.writer().flush();
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
        self.shared.writer().stop();
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
