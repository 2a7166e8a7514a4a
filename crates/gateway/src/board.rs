//! Shows other processes how the gates stand, beside the journal, and learns at the start what the process before knew.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use midwatch_gates::Gates;
use midwatch_journal::Board;
use midwatch_workflow::gate::GateView;
use midwatch_workflow::{GateState, Name, Timestamp};

/// How often other processes are shown how the gates stand.
const SHOWN_EVERY: Duration = Duration::from_secs(1);

/// What was shown last.
pub(crate) struct Shown {
    journal: PathBuf,
    worker: String,
    last: Mutex<(Timestamp, Vec<GateView>)>,
}

/// What the last board beside the journal says of the targets.
pub(crate) fn known(journal: &Path) -> HashMap<Name, GateState> {
    let board = Board::read(journal).unwrap_or_else(|error| {
        tracing::warn!(%error, "gates begin without what was known of their targets");
        None
    });
    let gates = board.map(|board| board.gates).unwrap_or_default();
    gates.into_iter().map(|gate| (gate.target, gate.state)).collect()
}

impl Shown {
    pub(crate) fn new(journal: &Path) -> Self {
        let worker = format!("gateway, process {}", std::process::id());
        Self { journal: journal.to_owned(), worker, last: Mutex::default() }
    }

    /// Shows how the gates stand, once a second at most: when that has changed, and always while anybody waits.
    pub(crate) fn show(&self, gates: &Gates, now: Timestamp) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let views = gates.views();
        let is_news = views != last.1 || views.iter().any(|gate| gate.waiting > 0);
        if !is_news || now.since(last.0) < SHOWN_EVERY {
            return;
        }
        *last = (now, views.clone());
        let board = Board { at: now, worker: self.worker.clone(), gates: views };
        if let Err(error) = board.write(&self.journal) {
            tracing::warn!(%error, "other processes cannot see the gates");
        }
    }
}
