//! A folder with a journal, and tales that are written into it.

#![allow(dead_code)] // not every test needs all of it

use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use midwatch_journal::sqlite::{Options, SqliteJournal};
use midwatch_journal::{Append, Fold, Journal};
use midwatch_observe::corpus::{Tale, World};
use midwatch_workflow::Timestamp;

/// A folder for one journal.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    path: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("midwatch.db");
        Self { folder, path }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The journal, open for writing.
    pub(crate) fn owner(&self) -> SqliteJournal {
        SqliteJournal::open(&self.path, Options::default()).unwrap()
    }

    /// Writes a tale.
    pub(crate) fn write(&self, journal: &SqliteJournal, tale: &Tale) {
        self.write_part(journal, tale, 0, tale.events.len());
    }

    /// Writes a tale on, from the event of this index.
    pub(crate) fn write_from(&self, journal: &SqliteJournal, tale: &Tale, from: usize) {
        self.write_part(journal, tale, from, tale.events.len());
    }

    /// Writes the events of a tale from one index up to another.
    pub(crate) fn write_part(&self, journal: &SqliteJournal, tale: &Tale, from: usize, to: usize) {
        let summary = Fold::of(&tale.events[..to]).map(|fold| Box::new(fold.summary));
        let (done, written) = channel();
        let append = Append::new(tale.run, from as u64 + 1, &tale.events[from..to], summary).unwrap();
        journal.append(append, Box::new(move |outcome| done.send(outcome).unwrap()));
        written.recv().unwrap().unwrap();
    }
}

/// A tale of `research` that reached its end so long ago.
pub(crate) fn told(n: u64, ago: Duration, tell: impl FnOnce(&mut Tale)) -> Tale {
    let mut tale = Tale::begin(World::of(0), n);
    tell(&mut tale);
    let now = Timestamp::from_micros(0) + SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let shift = now.since(tale.at).saturating_sub(ago);
    for event in &mut tale.events {
        event.at = event.at + shift;
    }
    tale.at = tale.at + shift;
    tale
}

/// Asks until there is an answer.
pub(crate) fn until<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing came within a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
}
