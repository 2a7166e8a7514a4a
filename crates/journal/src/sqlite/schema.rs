//! The file's format: how it is recognised, and how an older one becomes the newest.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::trouble::explain;
use crate::Error;

/// Marks the file as a midwatch journal: the letters `MWAT` in SQLite's `application_id`.
pub(super) const APPLICATION_ID: i32 = 0x4d57_4154;

/// Script n makes format n out of format n − 1. A script that was released never changes.
const MIGRATIONS: [&str; 1] = [include_str!("migrations/0001.sql")];

/// The newest format that is known here.
#[allow(clippy::cast_possible_truncation)] // a handful
pub(super) const FORMAT: u32 = MIGRATIONS.len() as u32;

/// What a file turned out to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found {
    /// Nothing: it was just created.
    Empty,
    /// A journal of this format.
    Format(u32),
}

/// Looks at a file without changing it.
pub(super) fn inspect(connection: &Connection, path: &Path) -> Result<Found, Error> {
    let read =
        |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(|error| explain(path, error));
    let application = read("PRAGMA application_id")?;
    let format = read("PRAGMA user_version")?;
    if application == 0 && format == 0 && read("SELECT count(*) FROM sqlite_schema")? == 0 {
        return Ok(Found::Empty);
    }
    if application != i64::from(APPLICATION_ID) {
        return Err(Error::NotAJournal { path: path.to_owned() });
    }
    match u32::try_from(format) {
        Ok(format @ 1..=FORMAT) => Ok(Found::Format(format)),
        Ok(found @ 1..) => Err(Error::Newer { path: path.to_owned(), found, known: FORMAT }),
        _ => Err(Error::Damaged { what: format!("{} has the impossible format {format}", path.display()) }),
    }
}

/// Brings the file to the newest format, wholly or not at all.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), Error> {
    let begun = connection.transaction_with_behavior(TransactionBehavior::Immediate);
    let transaction = begun.map_err(|error| explain(path, error))?;
    // Inside the transaction: another process may have migrated it in between.
    let from = match inspect(&transaction, path)? {
        Found::Empty => 0,
        Found::Format(format) => format,
    };
    let missing = MIGRATIONS.iter().zip(1u32..).filter(|(_, format)| *format > from);
    for (script, format) in missing {
        let stamp = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {format};");
        let run = transaction.execute_batch(script).and_then(|()| transaction.execute_batch(&stamp));
        run.map_err(|error| explain(path, error))?;
    }
    transaction.commit().map_err(|error| explain(path, error))
}
