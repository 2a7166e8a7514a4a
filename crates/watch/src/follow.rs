//! Follows the journal from its end on: every row is counted once, in commit order.

use midwatch_inspect::row;
use midwatch_journal::sqlite::SqliteJournal;
use midwatch_journal::{Error, Journal};
use midwatch_observe::metrics::Counts;

/// So many rows are read at once, and in one go before anything else gets its turn.
const ROWS_MAX: usize = 1_000;
const GO_MAX: usize = 50;

/// How far the journal has been counted.
#[derive(Debug)]
pub(crate) struct Follower {
    pub(crate) position: u64,
    pub(crate) counts: Counts,
}

/// Whether there is more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Progress {
    /// All is counted.
    AtTip,
    /// More is there.
    Behind,
}

impl Follower {
    /// Begins at the end.
    pub(crate) fn new(journal: &SqliteJournal) -> Result<Self, Error> {
        Ok(Self { position: journal.position()?, counts: Counts::default() })
    }

    /// Counts what is new, up to a bound.
    pub(crate) fn go_on(&mut self, journal: &SqliteJournal) -> Result<Progress, Error> {
        for _ in 0..GO_MAX {
            let rows = match journal.since(self.position, ROWS_MAX) {
                Ok(rows) => rows,
                // What stands behind a damaged row is still good. The row itself is lost to the counters.
                Err(error @ Error::Damaged { .. }) if self.position < journal.position()? => {
                    tracing::warn!(%error, position = self.position + 1, "a row is not counted");
                    self.position += 1;
                    continue;
                }
                Err(error) => return Err(error),
            };
            // Fewer rows than asked for may also mean that the next one is damaged.
            if rows.is_empty() {
                return Ok(Progress::AtTip);
            }
            for new in &rows {
                let needed = self.counts.needs(new.run, &new.events);
                let about = if needed { journal.run(new.run)? } else { None };
                self.counts.apply(new.run, &new.events, about.as_ref().map(row).as_ref());
                self.position = new.position;
            }
        }
        Ok(Progress::Behind)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use midwatch_journal::sqlite::Options;
    use midwatch_journal::{Append, Fold};
    use midwatch_observe::corpus::{Tale, World};
    use midwatch_observe::metrics::{Value, family};

    use super::*;

    fn write(journal: &SqliteJournal, n: u64) {
        let mut tale = Tale::begin(World::of(0), n);
        tale.complete();
        let summary = Fold::of(&tale.events).map(|fold| Box::new(fold.summary));
        let (done, written) = channel();
        let append = Append::new(tale.run, 1, &tale.events, summary).unwrap();
        journal.append(append, Box::new(move |outcome| done.send(outcome).unwrap()));
        written.recv().unwrap().unwrap();
    }

    #[test]
    fn a_damaged_row_is_passed_over_and_what_stands_behind_it_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("midwatch.db");
        let journal = SqliteJournal::open(&path, Options::default()).unwrap();
        let mut follower = Follower::new(&journal).unwrap();
        (1..=5).for_each(|n| write(&journal, n));
        let damage = "UPDATE journal SET body = '[{' WHERE position IN (2, 5)";
        rusqlite::Connection::open(&path).unwrap().execute_batch(damage).unwrap();
        assert_eq!(follower.go_on(&journal).unwrap(), Progress::AtTip);
        let ended = follower.counts.metrics.value(&family::RUNS_ENDED, &["research", "completed"]);
        assert_eq!(ended, Some(&Value::Counter(3)));
        assert_eq!(follower.position, journal.position().unwrap());
    }
}
