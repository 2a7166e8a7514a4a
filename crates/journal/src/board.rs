//! What the owner of a journal shows of its gates: a small file beside the journal, replaced as a whole.
//!
//! It is no part of the record: it says how things stand in one process now, as the lock's text says which process that
//! is. Whoever carries out the runs writes it, at most once a second; anybody may read it. The next owner begins with
//! what it says. Losing it costs some calls to find out the same again.

use std::path::{Path, PathBuf};

use midwatch_workflow::Timestamp;
use midwatch_workflow::gate::GateView;
use serde::{Deserialize, Serialize};

use crate::{Error, beside};

/// The gates of an engine at one moment.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Board {
    /// When this was so. While anybody waits at a gate it is said anew every second: older than that, the process is gone.
    pub at: Timestamp,
    /// The process.
    pub worker: String,
    /// Its gates, by target.
    pub gates: Vec<GateView>,
}

impl Board {
    /// The file beside this journal.
    pub fn path(journal: &Path) -> PathBuf {
        beside::path(journal, "gates")
    }

    /// What is shown beside this journal, if anything ever was.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Damaged`].
    pub fn read(journal: &Path) -> Result<Option<Self>, Error> {
        beside::read(&Self::path(journal))
    }

    /// Shows this beside the journal, in place of what was there. Not durable, and need not be.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, journal: &Path) -> Result<(), Error> {
        beside::write(&Self::path(journal), self)
    }

    /// The gate of a target.
    pub fn gate(&self, target: &str) -> Option<&GateView> {
        self.gates.iter().find(|gate| gate.target == target)
    }
}

#[cfg(test)]
mod tests {
    use midwatch_workflow::gate::HeldBy;
    use midwatch_workflow::{Gate, GatePolicy};

    use super::*;

    #[test]
    fn what_is_shown_is_read_back_and_nothing_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("midwatch.db");
        assert_eq!(Board::read(&journal).unwrap(), None);
        let now = Timestamp::from_micros(1_790_000_000_000_000);
        let mut state = Gate::new(GatePolicy::default(), 1, now).state(now);
        let until = now + std::time::Duration::from_secs(20);
        state.closed = Some(midwatch_workflow::gate::GateClosed { until, because: HeldBy::CoolDown });
        let gates = vec![GateView { target: "openai:gpt-4o".into(), waiting: 23, state }];
        let board = Board { at: now, worker: "w".into(), gates };
        board.write(&journal).unwrap();
        assert_eq!(Board::read(&journal).unwrap(), Some(board.clone()));
        assert_eq!(board.gate("openai:gpt-4o").map(|gate| gate.waiting), Some(23));
        let files = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(files, 1, "nothing else is left behind");
    }

    #[test]
    fn a_damaged_file_is_said_to_be_one() {
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("midwatch.db");
        std::fs::write(Board::path(&journal), "{").unwrap();
        assert!(matches!(Board::read(&journal), Err(Error::Damaged { .. })));
    }
}
