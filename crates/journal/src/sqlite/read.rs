//! Reading: a few connections that are kept, and the questions about events.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use midwatch_workflow::{Event, Message, RunId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row as Columns, params};

use super::append::column;
use super::names::Names;
use super::open;
use super::runs::{self, Stored};
use super::trouble::explain;
use crate::{Error, Letter, Row, RunQuery, RunSummary, Status};

/// How many idle connections are kept; more are opened when more threads read at once.
const IDLE_MAX: usize = 4;

/// Connections that only read.
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    /// If they are kept.
    names: OnceLock<Mutex<Names>>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, idle: Mutex::new(Vec::new()), names: OnceLock::new() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Closes the idle connections.
    pub(super) fn clear(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Opens a first connection and makes sure that it is a journal of a known format that it sees.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.with(|connection| open::check_existing(connection, &self.path))
    }

    /// Lends a connection. One that has failed is not kept.
    fn with<T>(&self, read: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = idle.map_or_else(|| open::reader(&self.path), Ok)?;
        let outcome = read(&connection)?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(connection);
        }
        Ok(outcome)
    }

    /// As [`with`](Self::with), for what fails with SQLite's own errors.
    pub(super) fn ask<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Error> {
        self.with(|connection| read(connection).map_err(|error| explain(&self.path, error)))
    }

    pub(super) fn events(&self, run: RunId, after: u64) -> Result<Vec<Event>, Error> {
        // The row that begins before `after` may reach beyond it.
        let sql = "SELECT position, first, body FROM journal WHERE run = ?1 AND first >= ifnull(
                   (SELECT max(first) FROM journal WHERE run = ?1 AND first <= ?2), 1) ORDER BY first";
        self.with(|connection| {
            let fail = |error| explain(&self.path, error);
            let mut statement = connection.prepare_cached(sql).map_err(fail)?;
            let first = column(after.saturating_add(1));
            let mut rows = statement.query(params![run.as_bytes(), first]).map_err(fail)?;
            let mut events = Vec::new();
            let mut expected = None;
            while let Some(row) = rows.next().map_err(fail)? {
                let first: u64 = row.get(1).map_err(fail)?;
                let due = expected.unwrap_or(if after == 0 { 1 } else { first });
                if first != due {
                    return Err(Error::gap(run, due, first));
                }
                let read = self.body(row, 0, 2)?;
                expected = Some(first + read.len() as u64);
                events.extend(
                    read.into_iter().zip(first..).filter(|(_, n)| *n > after).map(|(event, _)| event),
                );
            }
            Ok(events)
        })
    }

    pub(super) fn since(&self, after: u64, limit: usize) -> Result<Vec<Row>, Error> {
        let sql =
            "SELECT position, run, first, body FROM journal WHERE position > ?1 ORDER BY position LIMIT ?2";
        self.with(|connection| {
            let fail = |error| explain(&self.path, error);
            let mut statement = connection.prepare_cached(sql).map_err(fail)?;
            let mut rows = statement.query(params![column(after), column(limit as u64)]).map_err(fail)?;
            let mut found = Vec::new();
            while let Some(row) = rows.next().map_err(fail)? {
                let (position, run, first) = (row.get(0), row.get(1), row.get(2));
                let events = match self.body(row, 0, 3) {
                    Ok(events) => events,
                    // What stands before the damage is still good; asked again from there, the damage comes first.
                    Err(Error::Damaged { .. }) if !found.is_empty() => break,
                    Err(error) => return Err(error),
                };
                found.push(Row {
                    position: position.map_err(fail)?,
                    run: RunId::from_bytes(run.map_err(fail)?),
                    first: first.map_err(fail)?,
                    events,
                });
            }
            Ok(found)
        })
    }

    /// Which runs have new rows, without reading them.
    pub(super) fn changes(&self, after: u64, limit: usize) -> Result<Vec<(u64, RunId)>, Error> {
        self.ask(|connection| {
            let sql = "SELECT position, run FROM journal WHERE position > ?1 ORDER BY position LIMIT ?2";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map(params![column(after), column(limit as u64)], |row| {
                Ok((row.get(0)?, RunId::from_bytes(row.get(1)?)))
            })?;
            rows.collect()
        })
    }

    pub(super) fn position(&self) -> Result<u64, Error> {
        self.ask(|connection| {
            connection.query_row("SELECT ifnull(max(position), 0) FROM journal", [], |row| row.get(0))
        })
    }

    pub(super) fn open_runs(&self, limit: usize) -> Result<Vec<(String, Status, u64)>, Error> {
        self.ask(|connection| runs::count_open(connection, limit))
    }

    /// The events in a row of the journal.
    fn body(&self, row: &Columns<'_>, position: usize, body: usize) -> Result<Vec<Event>, Error> {
        let position: u64 = row.get(position).map_err(|error| explain(&self.path, error))?;
        let text = row.get_ref(body).map_err(|error| explain(&self.path, error))?.as_str();
        let text =
            text.map_err(|error| Error::Damaged { what: format!("row {position} of the journal: {error}") })?;
        serde_json::from_str(text).map_err(|error| Error::damaged_row(position, &error))
    }

    pub(super) fn run(&self, run: RunId) -> Result<Option<RunSummary>, Error> {
        let json = self.ask(|connection| {
            let mut statement = connection.prepare_cached("SELECT summary FROM runs WHERE run = ?1")?;
            statement.query_row([run.as_bytes()], |row| row.get::<_, String>(0)).optional()
        })?;
        json.map(|json| Stored { run, json }.read()).transpose()
    }

    pub(super) fn runs(&self, query: &RunQuery) -> Result<Vec<RunSummary>, Error> {
        let found = self.ask(|connection| runs::find(connection, query, self.names.get()))?;
        found.iter().map(Stored::read).collect()
    }

    pub(super) fn keep_names(&self) -> Result<(), Error> {
        let names = self.names.get_or_init(Mutex::default);
        self.ask(|connection| {
            names.lock().unwrap_or_else(PoisonError::into_inner).catch_up(connection).map(|_| ())
        })
    }

    pub(super) fn waiting_letters(&self) -> Result<(u64, Option<Timestamp>), Error> {
        let sql = "SELECT count(*), (SELECT at FROM inbox ORDER BY id LIMIT 1) FROM inbox";
        self.ask(|connection| {
            connection.prepare_cached(sql)?.query_row([], |row| {
                Ok((row.get(0)?, row.get::<_, Option<u64>>(1)?.map(Timestamp::from_micros)))
            })
        })
    }

    pub(super) fn letters(&self, limit: usize) -> Result<Vec<Letter>, Error> {
        let letters = self.ask(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT id, run, at, message FROM inbox ORDER BY id LIMIT ?1")?;
            let rows = statement.query_map([column(limit as u64)], |row| {
                let run = RunId::from_bytes(row.get(1)?);
                Ok((row.get(0)?, run, Timestamp::from_micros(row.get(2)?), row.get::<_, String>(3)?))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        })?;
        let read = |(id, run, at, json): (u64, RunId, Timestamp, String)| {
            let message: Message = serde_json::from_str(&json)
                .map_err(|error| Error::Damaged { what: format!("letter {id} of the inbox: {error}") })?;
            Ok(Letter { id, run, at, message })
        };
        letters.into_iter().map(read).collect()
    }
}
