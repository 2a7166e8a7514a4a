//! What only a journal in a file can do, or suffer.

mod damage;
mod handling;
mod names;
mod refusal;
mod sums;
mod watching;

use std::path::PathBuf;

use midwatch_journal::sqlite::{Options, SqliteJournal};
use midwatch_journal::{Append, Error};

use crate::build::*;

/// A folder for one journal.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("journal.db")
    }

    fn open(&self) -> Result<SqliteJournal, Error> {
        SqliteJournal::open(self.path(), Options::default())
    }

    /// Runs of five appends each, one after the other, in a closed file.
    fn filled(runs: u8) -> Self {
        let place = Self::new();
        let journal = place.open().unwrap();
        for number in 1..=runs {
            for append in history(number) {
                written(&journal, append);
            }
        }
        journal.close().unwrap();
        place
    }

    /// Changes the file as no journal would.
    fn meddle(&self, sql: &str) {
        rusqlite::Connection::open(self.path()).unwrap().execute_batch(sql).unwrap();
    }
}

/// The five appends of a run.
fn history(number: u8) -> Vec<Append> {
    let step = |first: u64, op| {
        append(run(number), first, &[event(first, scheduled(op)), event(first + 1, ended(op))])
    };
    vec![
        start(started(run(number), &format!("order-{number}")), 0),
        step(2, 1),
        step(4, 2),
        step(6, 3),
        append(run(number), 8, &[event(8, completed())]),
    ]
}

fn message<T>(outcome: Result<T, Error>) -> String {
    outcome.err().map(|error| error.to_string()).unwrap_or_default()
}
