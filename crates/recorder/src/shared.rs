//! What all handles of a recorder share: the runs in memory, and the way of what is told into spool and journal.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use midwatch_journal::Journal;
use midwatch_journal::spool::Spool;
use midwatch_workflow::WorkflowId;

use crate::ask::Options;
use crate::booked::Booked;
use crate::error::Error;
use crate::run::RunCell;
use crate::state::{RunState, Told};
use crate::writer::Writer;

type Runs = HashMap<(String, WorkflowId), Arc<RunCell>>;

/// What all handles share.
pub(crate) struct Shared {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) options: Options,
    pub(crate) spool: Spool,
    writer: Writer,
    runs: Mutex<Runs>,
    /// Held while a run is looked up in the journal, so that it is looked up once.
    pub(crate) opening: Mutex<()>,
    /// The calls that were made here, so that who hears of one elsewhere does not count it again.
    booked: Mutex<Booked>,
    /// How many bytes were told and are not in the journal.
    behind: AtomicUsize,
    /// Letters that were taken in and are to be removed.
    pub(crate) answered: Mutex<Vec<u64>>,
    failed: OnceLock<Error>,
}

impl Shared {
    pub(crate) fn new(journal: Arc<dyn Journal>, options: Options, spool: Spool) -> Arc<Self> {
        Arc::new(Self {
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
        })
    }

    pub(crate) fn runs(&self) -> MutexGuard<'_, Runs> {
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

    /// Keeps a run in memory, with what is told of it first.
    pub(crate) fn take_in(
        self: &Arc<Self>,
        state: RunState,
        told: Option<Told>,
    ) -> Result<Arc<RunCell>, Error> {
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

    /// The journal is to hear of a run.
    pub(crate) fn dirty(&self, cell: &Arc<RunCell>, state: &mut RunState) {
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
}
