//! What runs cost, read within fixed bounds: the newest runs from the list, and the costliest of them event by event.

use midwatch_journal::{Error, Journal, RunQuery, RunSummary};
use midwatch_observe::cost::{Booking, By, Report, bookings};
use midwatch_observe::{Run, Timeline};
use midwatch_workflow::{RunId, Timestamp};

use crate::row::row;

/// Which runs a report is about.
#[derive(Clone, Debug)]
pub struct CostQuery {
    /// Of this workflow.
    pub workflow: Option<String>,
    /// Of this tenant.
    pub tenant: Option<String>,
    /// Started at this time or later.
    pub since: Option<Timestamp>,
    /// The newest so many.
    pub runs_max: usize,
    /// So many of them are looked at event by event, if the report needs that: the costliest.
    pub looked_at_max: usize,
}

impl Default for CostQuery {
    fn default() -> Self {
        Self { workflow: None, tenant: None, since: None, runs_max: 5_000, looked_at_max: 1_000 }
    }
}

/// Reports what runs cost. The flag says whether there are more runs than were read.
///
/// # Errors
/// What the journal says.
pub fn cost(journal: &dyn Journal, query: &CostQuery, by: By) -> Result<(Report, bool), Error> {
    let mut runs = journal.runs(&RunQuery {
        workflow: query.workflow.clone(),
        tenant: query.tenant.clone(),
        started_from: query.since,
        limit: query.runs_max + 1,
        ..RunQuery::default()
    })?;
    let has_more = runs.len() > query.runs_max;
    runs.truncate(query.runs_max);
    let booked =
        if by.needs_bookings() { looked_at(journal, &runs, query.looked_at_max)? } else { Vec::new() };
    let rows: Vec<Run> = runs.iter().map(row).collect();
    Ok((Report::of(&rows, &booked, by), has_more))
}

/// What the costliest runs spent, booking by booking.
fn looked_at(
    journal: &dyn Journal,
    runs: &[RunSummary],
    limit: usize,
) -> Result<Vec<(RunId, Vec<Booking>)>, Error> {
    let mut costliest: Vec<&RunSummary> =
        runs.iter().filter(|run| run.spent != midwatch_workflow::Spent::default()).collect();
    costliest.sort_by_key(|run| std::cmp::Reverse(run.spent.cost));
    let read = |run: &&RunSummary| {
        let events = journal.events(run.run, 0)?;
        Ok((run.run, Timeline::of(&events).map(|told| bookings(&told)).unwrap_or_default()))
    };
    costliest.iter().take(limit).map(read).collect()
}
