//! What commits took: counted by whoever writes, and shown beside the journal for whoever watches it.
//!
//! Like the gates it is no part of the record. It begins anew with every owner.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use midwatch_workflow::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Error, beside};

/// Commits by how long they took.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Commits {
    /// When the owner began to count.
    pub since: Timestamp,
    /// How many took at most so many microseconds as [`Commits::BOUNDS`] says, not added up; the last one is for all beyond.
    pub buckets: Vec<u64>,
    /// The sum, in microseconds.
    pub micros: u64,
}

impl Commits {
    /// The upper bounds of the buckets, in microseconds.
    pub const BOUNDS: [u64; 13] =
        [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 10_000_000];

    /// What the last owner of this journal counted, if any did.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Damaged`].
    pub fn read(journal: &Path) -> Result<Option<Self>, Error> {
        beside::read(&beside::path(journal, "commits"))
    }

    fn count(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = Self::BOUNDS.partition_point(|bound| *bound < micros);
        self.buckets[bucket] += 1;
        self.micros = self.micros.saturating_add(micros);
    }
}

/// So often they are shown at most.
const SHOWN_EVERY: Duration = Duration::from_secs(2);

/// The committer's own count.
pub(crate) struct Meter {
    commits: Commits,
    has_unshown: bool,
    /// The first commit is shown at once.
    shown: Option<Instant>,
}

impl Meter {
    pub(crate) fn new() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let commits = Commits {
            since: Timestamp::from_micros(0) + since,
            buckets: vec![0; Commits::BOUNDS.len() + 1],
            micros: 0,
        };
        Self { commits, has_unshown: false, shown: None }
    }

    pub(crate) fn count(&mut self, took: Duration) {
        self.commits.count(took);
        self.has_unshown = true;
    }

    /// In how long what was counted is to be shown; `None` if all is.
    pub(crate) fn due_in(&self) -> Option<Duration> {
        let shown = self.shown.map_or(SHOWN_EVERY, |shown| shown.elapsed());
        self.has_unshown.then(|| SHOWN_EVERY.saturating_sub(shown))
    }

    /// What is to be shown now, if anything is; it counts as shown.
    pub(crate) fn take_due(&mut self) -> Option<Commits> {
        let is_due = self.due_in() == Some(Duration::ZERO);
        if is_due { self.take_all() } else { None }
    }

    /// What was not shown yet, whether or not it is due; it counts as shown.
    pub(crate) fn take_all(&mut self) -> Option<Commits> {
        self.shown = Some(Instant::now());
        std::mem::take(&mut self.has_unshown).then(|| self.commits.clone())
    }
}

/// Shows it. Whoever watches sees older figures if that fails, and loses nothing else.
pub(crate) fn show(journal: &Path, commits: &Commits) {
    let _ = beside::write(&beside::path(journal, "commits"), commits);
}
