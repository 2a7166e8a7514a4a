//! Letters that people left for recorded runs, taken in and carried out.

use std::sync::{Arc, PoisonError};

use midwatch_journal::Letter;
use midwatch_workflow::{Class, Failure, Message, RunId, RunResult, Timestamp};

use crate::error::Error;
use crate::orders::Standing;
use crate::run::RunCell;
use crate::shared::Shared;
use crate::state::RunState;

/// So many letters are read at once; those that wait for an engine among them.
const LETTERS_AT_ONCE: usize = 1_000;

impl Shared {
    pub(crate) fn hear(&self, now: Timestamp) -> Result<(), Error> {
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
    pub(crate) fn end_if_cancelled(&self, cell: &Arc<RunCell>, state: &mut RunState, now: Timestamp) {
        let Standing::Cancelled(why) = state.standing() else { return };
        let failure = Failure::new(Class::Cancelled, why);
        let result = RunResult::Failed { failure, compensated: 0, resolved: 0 };
        if let Some(told) = state.end(Some(result), now)
            && let Err(error) = self.told(cell, state, &told)
        {
            tracing::error!(run = %cell.id, %error, "the end of a run is not on record");
        }
    }
}
