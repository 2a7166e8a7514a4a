//! What the machine itself can do: the ceiling for whatever is durable.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

/// Rows a second that a bare SQLite loop commits, WAL and synchronous=FULL, with so many rows of 250 bytes a commit.
///
/// The rows are those of a journal: of a thousand runs in turn, and found by run and number.
pub(crate) fn rows_per_second(folder: &Path, batch: usize, time: Duration) -> anyhow::Result<f64> {
    let connection = open(folder)?;
    let begun = Instant::now();
    let mut rows = 0_i64;
    while begun.elapsed() < time {
        commit(&connection, batch, &mut rows)?;
    }
    #[allow(clippy::cast_precision_loss)]
    Ok(rows as f64 / begun.elapsed().as_secs_f64())
}

/// How long ten commits of one row take, each time.
pub(crate) fn ten_commits(folder: &Path, times: usize) -> anyhow::Result<Vec<Duration>> {
    let connection = open(folder)?;
    let mut rows = 0;
    (0..times)
        .map(|_| {
            let begun = Instant::now();
            for _ in 0..10 {
                commit(&connection, 1, &mut rows)?;
            }
            Ok(begun.elapsed())
        })
        .collect()
}

fn open(folder: &Path) -> anyhow::Result<Connection> {
    let connection = Connection::open(tempfile::tempdir_in(folder)?.keep().join("limit.db"))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(
        "CREATE TABLE row (run TEXT, number INTEGER, body BLOB, PRIMARY KEY (run, number)) WITHOUT ROWID",
    )?;
    Ok(connection)
}

fn commit(connection: &Connection, batch: usize, rows: &mut i64) -> anyhow::Result<()> {
    let body = [b'x'; 200];
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    {
        let mut insert = connection.prepare_cached("INSERT INTO row VALUES (?1, ?2, ?3)")?;
        for _ in 0..batch {
            let run = format!("run-{:06}", *rows % 1000 + *rows / 10_000 * 1000);
            insert.execute(params![run, *rows / 1000 % 10, body])?;
            *rows += 1;
        }
    }
    connection.prepare_cached("COMMIT")?.execute([])?;
    Ok(())
}

/// How often a second 4 KiB can be appended to a file and synced.
pub(crate) fn syncs_per_second(folder: &Path, time: Duration) -> anyhow::Result<f64> {
    let mut file = tempfile::tempfile_in(folder)?;
    let (block, begun, mut syncs) = ([7; 4096], Instant::now(), 0_u32);
    while begun.elapsed() < time {
        file.write_all(&block)?;
        rustix::fs::fdatasync(&file)?;
        syncs += 1;
    }
    Ok(f64::from(syncs) / begun.elapsed().as_secs_f64())
}
