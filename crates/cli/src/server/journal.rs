//! The reading half of a journal, page by page through a server.

use std::collections::HashSet;
use std::sync::Arc;

use midwatch_journal::{Append, Done, Error, Journal, Letter, Order, Row, RunQuery, RunSummary};
use midwatch_workflow::{Event, EventKind, Message, RunId, Timestamp};
use serde::Deserialize;

use super::ServerError;
use super::client::Client;

/// The most runs, events or appends that a server gives at once.
const PAGE: usize = 1_000;

/// A journal that a server reads for us. Nothing can be written to it: orders are given to the server.
pub(crate) struct ServedJournal {
    client: Arc<Client>,
}

#[derive(Deserialize)]
struct Runs {
    runs: Vec<RunSummary>,
    has_more: bool,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Events {
    run: RunId,
    events: Vec<Numbered>,
    has_more: bool,
}

#[derive(Deserialize)]
struct AllEvents {
    events: Vec<Numbered>,
    position: u64,
    has_more: bool,
}

#[derive(Deserialize)]
struct Numbered {
    run: RunId,
    number: u64,
    at: Timestamp,
    event: EventKind,
    #[serde(default)]
    position: u64,
}

impl ServedJournal {
    pub(super) fn new(client: Arc<Client>) -> Self {
        Self { client }
    }

    fn gone(&self) -> Error {
        let says = "it has no such list any more".to_owned();
        ServerError::Failed { server: self.client.name(), says }.into()
    }

    fn only_reads(&self) -> Error {
        let says = "the journal is only read through it".to_owned();
        ServerError::Refused { server: self.client.name(), says, is_order: true }.into()
    }
}

impl Journal for ServedJournal {
    fn append(&self, _: Append, done: Done) {
        done(Err(self.only_reads()));
    }

    fn events(&self, run: RunId, after: u64) -> Result<Vec<Event>, Error> {
        let id = run.to_string();
        let mut found = Vec::new();
        let mut last = after;
        loop {
            let query = [("after", last.to_string()), ("limit", PAGE.to_string())];
            let page: Option<Events> = self.client.get(&["runs", &id, "events"], &query)?;
            // An id that is no run's may be another one's workflow id.
            let Some(page) = page.filter(|page| page.run == run) else { return Ok(found) };
            let Some(end) = page.events.last().map(|event| event.number) else { return Ok(found) };
            last = end;
            found.extend(page.events.into_iter().map(Numbered::event));
            if !page.has_more {
                return Ok(found);
            }
        }
    }

    fn run(&self, run: RunId) -> Result<Option<RunSummary>, Error> {
        let page: Option<Runs> = self.client.get(&["runs"], &[("run", run.to_string())])?;
        Ok(page.into_iter().flat_map(|page| page.runs).find(|found| found.run == run))
    }

    fn runs(&self, query: &RunQuery) -> Result<Vec<RunSummary>, Error> {
        let wanted = query.limit();
        let filter = parameters(query);
        let mut found = Vec::new();
        let mut seen = HashSet::new();
        let mut next: Option<String> = None;
        while found.len() < wanted {
            let mut asked = filter.clone();
            asked.push(("limit", (wanted - found.len()).min(PAGE).to_string()));
            match next {
                Some(next) => asked.push(("after", next)),
                None if query.skip > 0 => asked.push(("skip", query.skip.to_string())),
                None => {}
            }
            let page: Option<Runs> = self.client.get(&["runs"], &asked)?;
            let page = page.ok_or_else(|| self.gone())?;
            let is_empty = page.runs.is_empty();
            // A run whose place changes between two pages may come twice.
            found.extend(page.runs.into_iter().filter(|run| seen.insert(run.run)));
            next = page.next;
            if !page.has_more || next.is_none() || is_empty {
                break;
            }
        }
        Ok(found)
    }

    fn since(&self, after: u64, limit: usize) -> Result<Vec<Row>, Error> {
        let mut rows: Vec<Row> = Vec::new();
        let mut position = after;
        while rows.len() < limit {
            let limit = (limit - rows.len()).min(PAGE);
            let query = [("after", position.to_string()), ("limit", limit.to_string())];
            let page: Option<AllEvents> = self.client.get(&["events"], &query)?;
            let page = page.ok_or_else(|| self.gone())?;
            for event in page.events {
                match rows.last_mut().filter(|row| row.position == event.position) {
                    Some(row) => row.events.push(event.event()),
                    None => rows.push(Row {
                        position: event.position,
                        run: event.run,
                        first: event.number,
                        events: vec![event.event()],
                    }),
                }
            }
            if !page.has_more || page.position == position {
                break;
            }
            position = page.position;
        }
        Ok(rows)
    }

    fn post(&self, _: RunId, _: &Message, _: Timestamp) -> Result<u64, Error> {
        Err(self.only_reads())
    }

    fn letters(&self, _: &[u64], _: usize) -> Result<Vec<Letter>, Error> {
        Err(self.only_reads())
    }
}

impl Numbered {
    fn event(self) -> Event {
        Event { at: self.at, kind: self.event }
    }
}

/// A query as the server takes it, but for its place and length.
fn parameters(query: &RunQuery) -> Vec<(&'static str, String)> {
    let statuses: Vec<&str> = query.statuses.iter().map(|status| status.as_str()).collect();
    let time = |at: Option<Timestamp>| at.map(|at| at.as_micros().to_string());
    let order = match query.order {
        Order::Newest => "newest",
        Order::Oldest => "oldest",
        Order::Costliest => "costliest",
        Order::Stalest => "stalest",
    };
    let asked = [
        ("workflow", query.workflow.clone()),
        ("workflow_id", query.workflow_id.clone()),
        ("status", (!statuses.is_empty()).then(|| statuses.join(","))),
        ("tenant", query.tenant.clone()),
        ("text", query.text.clone()),
        ("started_from", time(query.started_from)),
        ("started_before", time(query.started_before)),
        ("updated_from", time(query.updated_from)),
        ("updated_before", time(query.updated_before)),
        ("cost_from", query.cost_from.map(|cost| cost.as_picos().to_string())),
        ("cost_upto", query.cost_upto.map(|cost| cost.as_picos().to_string())),
        ("order", Some(order.to_owned())),
    ];
    asked.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}
