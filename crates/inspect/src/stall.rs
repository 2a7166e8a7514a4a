//! Stalls in a journal: what has not moved for longest comes first, so few rows are read.

use std::time::Duration;

use midwatch_journal::{Error, Journal, Order, RunQuery, Status};
use midwatch_observe::Run;
use midwatch_observe::stall::{Stall, find};
use midwatch_workflow::Timestamp;

use crate::row::row;

/// So many open runs are looked at.
const RUNS_MAX: usize = 2_000;

/// The stalls that were found.
#[derive(Clone, Debug)]
pub struct Stalled {
    /// The longest first.
    pub stalls: Vec<Stall>,
    /// Whether there were more open runs than were looked at.
    pub is_bounded: bool,
}

/// Finds runs that made no progress for `limit`.
///
/// # Errors
/// What the journal says.
pub fn stalls(journal: &dyn Journal, now: Timestamp, limit: Duration) -> Result<Stalled, Error> {
    let before = now.as_micros().saturating_sub(u64::try_from(limit.as_micros()).unwrap_or(u64::MAX));
    let quiet = |statuses: Vec<Status>, before: u64| RunQuery {
        statuses,
        updated_before: Some(Timestamp::from_micros(before.saturating_add(1))),
        order: Order::Stalest,
        limit: RUNS_MAX,
        ..RunQuery::default()
    };
    let active = journal.runs(&quiet(vec![Status::Running, Status::Compensating], before))?;
    let waiting = journal.runs(&quiet(vec![Status::Waiting], now.as_micros()))?;
    let is_bounded = active.len() == RUNS_MAX || waiting.len() == RUNS_MAX;
    let rows: Vec<Run> = active.iter().chain(&waiting).map(row).collect();
    Ok(Stalled { stalls: find(&rows, now, limit), is_bounded })
}
