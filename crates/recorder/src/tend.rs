//! When recorded runs end: nobody calls them any more, nobody says how they go on, or room is needed.

use std::sync::Arc;

use midwatch_workflow::{Class, Failure, RunResult, Timestamp};

use crate::orders::Standing;
use crate::run::RunCell;
use crate::shared::Shared;
use crate::state::RunState;

impl Shared {
    /// Ends whom nobody calls any more, and lets go of who has ended.
    pub(crate) fn tend(&self, now: Timestamp) {
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

    /// Ends whom nobody holds.
    pub(crate) fn end_idle(&self) {
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
    pub(crate) fn make_room(&self) {
        let mut cells: Vec<(Timestamp, Arc<RunCell>)> =
            self.runs().values().map(|cell| (cell.lock().touched, Arc::clone(cell))).collect();
        cells.sort_by_key(|(touched, _)| *touched);
        cells.truncate(cells.len().div_ceil(10));
        for (_, cell) in &cells {
            self.end(cell, &mut cell.lock());
        }
        drop(cells);
        self.writer().flush();
        self.forget_ended();
    }
}

fn silence_text(time: std::time::Duration) -> String {
    match time.as_secs() {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds => format!("{} min", seconds / 60),
    }
}
