//! Sums over all runs, from indexes alone: what no list of bounded length can say.

use midwatch_workflow::{Money, Timestamp};
use rusqlite::Connection;

use super::append::column;
use crate::Status;

/// What runs are added up by, beside their status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SumBy {
    /// The day on which they started (UTC), as the number of days since 1970.
    Day,
    /// The workflow.
    Workflow,
}

/// A sum over runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sum {
    /// The day's number, or the workflow's name.
    pub key: String,
    /// The status that they all have.
    pub status: Status,
    /// How many runs.
    pub runs: u64,
    /// What they cost.
    pub cost: Money,
}

/// Adds up. The index by cost holds all that is asked for.
pub(super) fn add_up(connection: &Connection, by: SumBy, since: Timestamp) -> rusqlite::Result<Vec<Sum>> {
    let key = match by {
        SumBy::Day => "started_at / 86400000000",
        SumBy::Workflow => "workflow",
    };
    let sql = format!(
        "SELECT CAST({key} AS TEXT) AS key, count(*), sum(cost) FROM runs INDEXED BY runs_by_cost
         WHERE status = ?1 AND started_at >= ?2 GROUP BY key"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut sums = Vec::new();
    for status in Status::ALL {
        let rows = statement.query_map((status.as_str(), column(since.as_micros())), |row| {
            let (runs, cost) = (row.get(1)?, Money::from_picos(row.get(2)?));
            Ok(Sum { key: row.get(0)?, status, runs, cost })
        })?;
        for sum in rows {
            sums.push(sum?);
        }
    }
    Ok(sums)
}

/// Counts runs by status.
pub(super) fn counts(connection: &Connection) -> rusqlite::Result<Vec<(Status, u64)>> {
    let mut statement = connection.prepare_cached("SELECT count(*) FROM runs WHERE status = ?1")?;
    let count = |status: Status| Ok((status, statement.query_row([status.as_str()], |row| row.get(0))?));
    Status::ALL.into_iter().map(count).collect()
}
