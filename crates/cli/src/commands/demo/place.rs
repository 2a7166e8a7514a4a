//! Where the journal goes: an earlier demo's makes room, anybody else's is left alone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use midwatch_journal::sqlite::{Options, SqliteJournal};
use midwatch_journal::{Journal, Lease, RunQuery};

use super::worker::TENANT;
use crate::error::Error;

/// What became of a journal that was there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Earlier {
    /// There was none.
    Nothing,
    /// It was an earlier demo's and is gone.
    Removed,
    /// It was an earlier demo's and has this name now.
    Kept(PathBuf),
}

/// Whether the journal of an earlier demo is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Keep {
    Yes,
    No,
}

/// Makes room at `db`.
///
/// # Errors
/// If there is something that is not an earlier demo's, or somebody is at work on it.
pub(super) fn make_room(db: &Path, keep: Keep) -> anyhow::Result<Earlier> {
    if !db.try_exists()? {
        return Ok(Earlier::Nothing);
    }
    let _lease = Lease::acquire(db)?;
    if !is_a_demo(&SqliteJournal::open_reader(db)?)? {
        let what = format!("{} holds runs that are not the demo's", db.display());
        let instead = Some("name another file: midwatch demo --db demo.db".to_owned());
        return Err(Error::Usage { what, instead }.into());
    }
    match keep {
        Keep::No => {
            files(db).iter().try_for_each(|file| gone(fs::remove_file(file)))?;
            Ok(Earlier::Removed)
        }
        Keep::Yes => {
            let kept = free_name(db)?;
            // Closing copies the log into the file, so that there is one file to rename.
            SqliteJournal::open(db, Options::default())?.close()?;
            fs::rename(db, &kept)?;
            Ok(Earlier::Kept(kept))
        }
    }
}

/// Whether every run in it is a demo's.
fn is_a_demo(journal: &SqliteJournal) -> anyhow::Result<bool> {
    const PAGE: usize = 1_000;
    let mut query = RunQuery { limit: PAGE, ..RunQuery::default() };
    loop {
        let page = journal.runs(&query)?;
        if page.iter().any(|run| run.tenant.as_deref() != Some(TENANT)) {
            return Ok(false);
        }
        if page.len() < PAGE {
            return Ok(true);
        }
        query.skip += PAGE;
    }
}

/// A journal's files: the file itself last, so that whatever is left if we stop between is found the next time.
fn files(db: &Path) -> [PathBuf; 3] {
    ["-shm", "-wal", ""].map(|ending| {
        let mut name = db.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    })
}

/// `midwatch.1.db`, or the next number that is free.
fn free_name(db: &Path) -> io::Result<PathBuf> {
    for number in 1..10_000 {
        let name = db.with_extension(format!("{number}.db"));
        if !name.try_exists()? {
            return Ok(name);
        }
    }
    Err(io::Error::other("no name is free for the earlier journal"))
}

fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
