//! Lists of runs: which index answers which query, so that a million runs are listed as fast as a hundred.
//!
//! Every index begins with the status, so a query is one scan for each status that it allows, each in order and each cut
//! off at what is wanted; the scans are merged here.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use midwatch_workflow::RunId;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::append::column;
use super::names::Names;
use crate::query::Text;
use crate::{Error, Order, RunQuery, RunSummary, Status};

/// Up to so many runs that fit a text are fetched and sorted; a text that fits more is common enough to meet on the way.
const HITS_MAX: usize = 1_000;

/// Gives the summaries of the runs that fit.
pub(super) fn find(
    connection: &Connection,
    query: &RunQuery,
    names: Option<&Mutex<Names>>,
) -> rusqlite::Result<Vec<Stored>> {
    let hits = match &query.text {
        Some(text) => Hits::find(connection, &Text::new(text), names)?,
        None => Hits::Unknown,
    };
    let wanted = query.skip.saturating_add(query.limit());
    let mut found = Vec::new();
    for search in searches(query, &hits) {
        let mut statement = connection.prepare_cached(&search.sql(query.order))?;
        let bound = search.values.into_iter().chain([Value::Integer(column(wanted as u64))]);
        let rows = statement.query_map(params_from_iter(bound), |row| {
            let key: i64 = row.get(0)?;
            let key = if query.order.is_descending() { -i128::from(key) } else { i128::from(key) };
            Ok((
                key,
                row.get::<_, u64>(1)?,
                Stored { run: RunId::from_bytes(row.get(2)?), json: row.get(3)? },
            ))
        })?;
        for row in rows {
            found.push(row?);
        }
    }
    query.order.sort(&mut found);
    Ok(found.into_iter().skip(query.skip).take(query.limit()).map(|(_, _, stored)| stored).collect())
}

/// Counts open runs by workflow and status. The index has both, so no row is read.
pub(super) fn count_open(
    connection: &Connection,
    limit: usize,
) -> rusqlite::Result<Vec<(String, Status, u64)>> {
    let sql = "SELECT workflow, count(*) FROM \
               (SELECT workflow FROM runs INDEXED BY runs_by_update WHERE status = ? LIMIT ?) GROUP BY workflow";
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = Vec::new();
    for status in Status::ALL.into_iter().filter(|status| !status.is_ended()) {
        let values = rusqlite::params![status.as_str(), column(limit as u64)];
        let rows = statement.query_map(values, |row| Ok((row.get(0)?, status, row.get(1)?)))?;
        for row in rows {
            found.push(row?);
        }
    }
    Ok(found)
}

/// A summary as it is stored.
pub(super) struct Stored {
    pub(super) run: RunId,
    pub(super) json: String,
}

impl Stored {
    pub(super) fn read(&self) -> Result<RunSummary, Error> {
        let damaged = |error| Error::Damaged { what: format!("the summary of run {}: {error}", self.run) };
        serde_json::from_str(&self.json).map_err(damaged)
    }
}

/// What a text search found out before the list is read.
enum Hits {
    /// Nothing: each run must be looked at.
    Unknown,
    /// The very runs.
    Few(Vec<i64>),
}

impl Hits {
    /// Reads index entries only, or none if names are kept.
    fn find(
        connection: &Connection,
        text: &Text<'_>,
        names: Option<&Mutex<Names>>,
    ) -> rusqlite::Result<Self> {
        if let Some(names) = names {
            let mut names = names.lock().unwrap_or_else(PoisonError::into_inner);
            if names.catch_up(connection)? {
                return Ok(Self::of(names.find(text, HITS_MAX + 1)));
            }
        }
        let mut hits = Vec::new();
        // One search for each way, by its own index: together they would look up every row.
        for (condition, values) in ways(text) {
            let sql = format!("SELECT id FROM runs WHERE {condition} LIMIT {}", HITS_MAX + 1);
            let mut statement = connection.prepare_cached(&sql)?;
            let ids = statement.query_map(params_from_iter(values), |row| row.get::<_, i64>(0))?;
            for id in ids {
                hits.push(id?);
            }
        }
        Ok(Self::of(hits))
    }

    fn of(mut hits: Vec<i64>) -> Self {
        hits.sort_unstable();
        hits.dedup();
        if hits.len() > HITS_MAX { Hits::Unknown } else { Hits::Few(hits) }
    }
}

/// A condition and its values.
type Way = (&'static str, Vec<Value>);

/// The ways in which a run may fit a text.
fn ways(text: &Text<'_>) -> Vec<Way> {
    let mut ways = vec![("instr(workflow_id, ?) > 0", vec![Value::Text(text.part.to_owned())])];
    if let Some((low, high)) = text.range() {
        let bounds = [low, high].map(|bound| Value::Blob(bound.as_bytes().to_vec()));
        ways.push(("run BETWEEN ? AND ?", bounds.into()));
    }
    if let Some(suffix) = &text.suffix {
        ways.push(ends_with(suffix));
    }
    ways
}

/// A run id that ends with these hex digits. Whole bytes, as in a short id, are compared as they are stored.
fn ends_with(suffix: &str) -> Way {
    let bytes: Option<Vec<u8>> = (0..suffix.len())
        .step_by(2)
        .map(|at| suffix.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect();
    let length = |count: usize| Value::Integer(column(count as u64));
    match bytes {
        Some(bytes) => ("substr(run, -?) = ?", vec![length(bytes.len()), Value::Blob(bytes)]),
        None => {
            ("substr(hex(run), -?) = ?", vec![length(suffix.len()), Value::Text(suffix.to_ascii_uppercase())])
        }
    }
}

/// One scan.
#[derive(Clone, Default)]
struct Search {
    index: Option<&'static str>,
    conditions: Vec<String>,
    values: Vec<Value>,
}

fn searches(query: &RunQuery, hits: &Hits) -> Vec<Search> {
    let mut common = Search::default();
    common.and(query.workflow.clone(), "workflow = ?");
    common.and(query.workflow_id.clone(), "workflow_id = ?");
    common.and(query.tenant.clone(), "tenant = ?");
    common.and(query.started_from.map(|at| column(at.as_micros())), "started_at >= ?");
    common.and(query.started_before.map(|at| column(at.as_micros())), "started_at < ?");
    common.and(query.updated_from.map(|at| column(at.as_micros())), "updated_at >= ?");
    common.and(query.updated_before.map(|at| column(at.as_micros())), "updated_at < ?");
    common.and(query.cost_from.map(|cost| column(cost.as_picos())), "cost >= ?");
    common.and(query.cost_upto.map(|cost| column(cost.as_picos())), "cost <= ?");
    match hits {
        Hits::Few(ids) => {
            let ids = serde_json::json!(ids).to_string();
            common.and(Some(ids), "id IN (SELECT value FROM json_each(?))");
        }
        Hits::Unknown => {
            if let Some(text) = &query.text {
                common.and_any(ways(&Text::new(text)));
            }
        }
    }
    let statuses: BTreeSet<Status> = query.statuses.iter().copied().collect();
    // A handful of rows, whatever their status.
    if query.workflow_id.is_some() || matches!(hits, Hits::Few(_)) {
        common.index = query.workflow_id.as_ref().map(|_| "runs_by_workflow_id");
        common.in_any_of(&statuses);
        return vec![common];
    }
    let statuses = if statuses.is_empty() { Status::ALL.into() } else { statuses };
    common.index = Some(index(query));
    let with_status = |status: Status| {
        let mut search = common.clone();
        search.and(Some(status.as_str().to_owned()), "status = ?");
        search
    };
    statuses.into_iter().map(with_status).collect()
}

/// The index that gives the order; the filters are in it as far as they can be.
fn index(query: &RunQuery) -> &'static str {
    match query.order {
        Order::Costliest => "runs_by_cost",
        Order::Stalest => "runs_by_update",
        Order::Newest | Order::Oldest if query.tenant.is_some() => "runs_of_tenant",
        Order::Newest | Order::Oldest if query.workflow.is_some() => "runs_of_workflow",
        Order::Newest | Order::Oldest => "runs_by_start",
    }
}

impl Search {
    fn and(&mut self, value: Option<impl Into<Value>>, condition: &str) {
        if let Some(value) = value {
            self.conditions.push(condition.to_owned());
            self.values.push(value.into());
        }
    }

    fn and_any(&mut self, ways: Vec<Way>) {
        let (conditions, values): (Vec<_>, Vec<_>) = ways.into_iter().unzip();
        self.conditions.push(format!("({})", conditions.join(" OR ")));
        self.values.extend(values.into_iter().flatten());
    }

    fn in_any_of(&mut self, statuses: &BTreeSet<Status>) {
        if !statuses.is_empty() {
            let places = vec!["?"; statuses.len()].join(", ");
            self.conditions.push(format!("status IN ({places})"));
            self.values.extend(statuses.iter().map(|status| Value::Text(status.as_str().to_owned())));
        }
    }

    fn sql(&self, order: Order) -> String {
        let (key, direction) = match order {
            Order::Newest => ("started_at", "DESC"),
            Order::Oldest => ("started_at", "ASC"),
            Order::Costliest => ("cost", "DESC"),
            Order::Stalest => ("updated_at", "ASC"),
        };
        let index = self.index.map(|index| format!(" INDEXED BY {index}")).unwrap_or_default();
        let conditions = self.conditions.join(" AND ");
        format!(
            "SELECT {key}, id, run, summary FROM runs{index} WHERE {conditions} ORDER BY {key} {direction}, id {direction} LIMIT ?"
        )
    }
}
