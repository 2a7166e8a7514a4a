//! The names of all runs in memory, for whoever searches them again and again: no index finds a part of a name, and reading
//! one from end to end takes some 0.15 s for a million runs.
//!
//! A run's names never change and no run is ever removed, so what is known only grows: each search reads what came since.
//! Some 50 MB for a million runs.

use rusqlite::{Connection, params};

use crate::query::Text;

/// Beyond so many runs names are not kept, and searches read the index.
const RUNS_MAX: i64 = 3_000_000;
/// Up to so many new runs are looked up one by one; more are read from the indexes, all of them again.
const FEW_MAX: i64 = 20_000;

/// What is known of names.
#[derive(Default)]
pub(super) struct Names {
    /// Up to this row.
    upto: i64,
    /// Run ids, each with its row.
    runs: Vec<([u8; 16], i64)>,
    /// Workflow ids, each followed by a line end.
    text: String,
    /// Where each ends, and its row.
    ends: Vec<(usize, i64)>,
}

impl Names {
    /// Reads what came since. `false` if there are too many runs to keep their names.
    pub(super) fn catch_up(&mut self, connection: &Connection) -> rusqlite::Result<bool> {
        let sql = "SELECT ifnull(max(id), 0) FROM runs";
        let last: i64 = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        if last > RUNS_MAX {
            *self = Self::default();
            return Ok(false);
        }
        if last - self.upto > FEW_MAX {
            self.read_all(connection, last)?;
        } else if last > self.upto {
            self.read_new(connection, last)?;
        }
        self.upto = last;
        Ok(true)
    }

    /// Reads indexes alone: a row has its summary beside its names, and is forty times as long.
    fn read_all(&mut self, connection: &Connection, last: i64) -> rusqlite::Result<()> {
        *self = Self::default();
        let sql = "SELECT id, workflow_id FROM runs INDEXED BY runs_by_workflow_id WHERE id <= ?1";
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([last])?;
        while let Some(row) = rows.next()? {
            self.add_workflow_id(row.get_ref(1)?.as_str()?, row.get(0)?);
        }
        let mut statement = connection.prepare("SELECT id, run FROM runs WHERE id <= ?1 ORDER BY run")?;
        let mut rows = statement.query([last])?;
        while let Some(row) = rows.next()? {
            self.runs.push((row.get(1)?, row.get(0)?));
        }
        Ok(())
    }

    fn read_new(&mut self, connection: &Connection, last: i64) -> rusqlite::Result<()> {
        let sql = "SELECT id, run, workflow_id FROM runs WHERE id > ?1 AND id <= ?2";
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query(params![self.upto, last])?;
        while let Some(row) = rows.next()? {
            let id = row.get(0)?;
            self.runs.push((row.get(1)?, id));
            self.add_workflow_id(row.get_ref(2)?.as_str()?, id);
        }
        Ok(())
    }

    fn add_workflow_id(&mut self, text: &str, id: i64) {
        self.text.push_str(text);
        self.text.push('\n');
        self.ends.push((self.text.len(), id));
    }

    /// The rows of runs that fit a text; `most` for each way to fit. In no order, and some maybe twice.
    pub(super) fn find(&self, text: &Text<'_>, most: usize) -> Vec<i64> {
        let mut hits = Vec::new();
        let mut from = 0;
        // No name holds a line end.
        while !text.part.contains('\n') && hits.len() < most {
            let Some(at) = self.text[from..].find(text.part) else { break };
            let place = self.ends.partition_point(|(end, _)| *end <= from + at);
            let Some((end, id)) = self.ends.get(place) else { break };
            hits.push(*id);
            from = *end;
        }
        let range = text.range().map(|(low, high)| (*low.as_bytes(), *high.as_bytes()));
        if let Some((low, high)) = range {
            let fits = |run: &[u8; 16]| low <= *run && *run <= high;
            hits.extend(self.runs.iter().filter(|(run, _)| fits(run)).map(|(_, id)| *id).take(most));
        }
        if let Some(ending) = text.suffix.as_deref().and_then(Ending::new) {
            hits.extend(self.runs.iter().filter(|(run, _)| ending.fits(run)).map(|(_, id)| *id).take(most));
        }
        hits
    }
}

/// The last hex digits of a run id.
struct Ending {
    digits: u128,
    mask: u128,
}

impl Ending {
    fn new(suffix: &str) -> Option<Self> {
        let digits = u128::from_str_radix(suffix, 16).ok()?;
        let mask = if suffix.len() >= 32 { u128::MAX } else { (1 << (4 * suffix.len())) - 1 };
        Some(Self { digits, mask })
    }

    fn fits(&self, run: &[u8; 16]) -> bool {
        u128::from_be_bytes(*run) & self.mask == self.digits
    }
}
