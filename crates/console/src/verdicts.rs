//! Runs of one verdict, which no index has: runs are asked one after the other, so many and for so long at most, and it is
//! said how far that went and where to go on.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use midwatch_inspect::Inspector;
use midwatch_journal::{Cursor, Journal, Order, RunQuery, RunSummary, Status};
use midwatch_observe::why::Verdict;
use midwatch_workflow::{RunId, Timestamp};

use crate::app::App;
use crate::error::Trouble;

/// So many runs are asked for one answer, and for so long; the first is asked however long that takes.
pub(crate) const ASKED_MAX: usize = 5_000;
const TIME_MAX: Duration = Duration::from_millis(300);
/// So many are read from the list at once.
const BATCH: usize = 250;
/// What was found of a run holds for so long while time passes for it, and for so long once it has ended: then only what
/// is usual changes.
const OPEN_AGE: Duration = Duration::from_secs(30);
const ENDED_AGE: Duration = Duration::from_secs(600);
/// So many verdicts are remembered.
const KEPT_MAX: usize = 50_000;

/// What a search found.
pub(crate) struct Found {
    pub(crate) runs: Vec<RunSummary>,
    /// How many runs were asked.
    pub(crate) looked: usize,
    /// The last that was asked.
    pub(crate) last: Option<RunSummary>,
    /// Where to go on; `None` if nothing is left.
    pub(crate) next: Option<Cursor>,
}

/// Verdicts that were found lately.
#[derive(Default)]
pub(crate) struct Verdicts {
    by_run: Mutex<HashMap<RunId, Known>>,
}

struct Known {
    /// How many events the run had.
    events: u64,
    verdict: Verdict,
    at: Instant,
}

impl Verdicts {
    fn get(&self, run: &RunSummary) -> Option<Verdict> {
        let age_max = if run.status.is_ended() { ENDED_AGE } else { OPEN_AGE };
        let by_run = lock(&self.by_run);
        let known = by_run.get(&run.run)?;
        (known.events == run.events && known.at.elapsed() < age_max).then_some(known.verdict)
    }

    fn keep(&self, run: &RunSummary, verdict: Verdict) {
        let mut by_run = lock(&self.by_run);
        if by_run.len() >= KEPT_MAX {
            by_run.clear();
        }
        by_run.insert(run.run, Known { events: run.events, verdict, at: Instant::now() });
    }
}

/// Searches a list from a place on for runs of a verdict, `most` of them at most. Blocks.
pub(crate) fn search(
    app: &App,
    query: &RunQuery,
    mut cursor: Option<Cursor>,
    wanted: Verdict,
    most: usize,
) -> Result<Found, Trouble> {
    let end = Instant::now() + TIME_MAX;
    let mut found = Found { runs: Vec::new(), looked: 0, last: None, next: None };
    let Some(statuses) = narrowed(&query.statuses, wanted) else { return Ok(found) };
    let mut query = RunQuery { statuses, limit: BATCH + 1, ..query.clone() };
    if query.skip > 0 {
        let limit = std::mem::take(&mut query.skip);
        let list = cursor.map_or_else(|| query.clone(), |cursor| query.clone().from_cursor(cursor));
        let skipped = app.journal.runs(&RunQuery { limit, ..list })?;
        cursor = Cursor::after(query.order, cursor, &skipped).or(cursor);
    }
    let inspector = app.inspector();
    loop {
        let page = cursor.map_or_else(|| query.clone(), |cursor| query.clone().from_cursor(cursor));
        let runs = app.journal.runs(&page)?;
        let batch = &runs[..runs.len().min(BATCH)];
        for (n, run) in batch.iter().enumerate() {
            let verdict = of(app, &inspector, run)?;
            found.looked += 1;
            found.last = Some(run.clone());
            if verdict == wanted {
                found.runs.push(run.clone());
            }
            if found.runs.len() == most || found.looked == ASKED_MAX || Instant::now() >= end {
                let is_last = n + 1 == runs.len();
                found.next = if is_last { None } else { Cursor::after(query.order, cursor, &batch[..=n]) };
                return Ok(found);
            }
        }
        let next = Cursor::after(query.order, cursor, batch);
        if runs.len() <= BATCH || next.is_none() {
            return Ok(found);
        }
        cursor = next;
    }
}

/// The verdict about a run in a list, as it was lately or is now. Blocks.
pub(crate) fn of(app: &App, inspector: &Inspector<'_>, run: &RunSummary) -> Result<Verdict, Trouble> {
    if let Some(known) = app.verdicts.get(run) {
        return Ok(known);
    }
    let verdict = inspector.why(run.run)?.verdict;
    app.verdicts.keep(run, verdict);
    Ok(verdict)
}

/// The states in which a run can have a verdict, of those that are asked for; `None` if it can have it in none of them.
fn narrowed(asked: &[Status], verdict: Verdict) -> Option<Vec<Status>> {
    let can_have = |status: Status| match verdict {
        Verdict::Failed => status.is_ended() && status != Status::Completed,
        Verdict::Stuck | Verdict::Parked | Verdict::Waiting => !status.is_ended(),
        Verdict::Slow | Verdict::Expensive | Verdict::Healthy => {
            !status.is_ended() || status == Status::Completed
        }
        Verdict::Unknown => true,
    };
    let statuses: Vec<Status> = Status::ALL
        .into_iter()
        .filter(|status| can_have(*status) && (asked.is_empty() || asked.contains(status)))
        .collect();
    (!statuses.is_empty()).then_some(statuses)
}

/// When the run that was looked at last began, or last changed in a list by that.
pub(crate) fn reached(last: &RunSummary, order: Order) -> Timestamp {
    if order == Order::Stalest { last.updated_at } else { last.started_at }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use midwatch_observe::corpus::incidents;
    use midwatch_observe::why::why;

    use super::*;

    #[test]
    fn no_run_has_a_verdict_in_a_state_in_which_it_is_not_looked_for() {
        for incident in incidents() {
            let status = midwatch_journal::Fold::of(&incident.facts.events).map(|fold| fold.summary.status);
            let verdict = why(&incident.facts).verdict;
            let statuses = narrowed(&[], verdict).unwrap();
            let status = status.unwrap();
            assert!(statuses.contains(&status), "{}: {verdict} in {status}", incident.name);
        }
    }

    #[test]
    fn a_verdict_that_cannot_be_is_not_looked_for() {
        assert_eq!(narrowed(&[Status::Completed], Verdict::Stuck), None);
        assert_eq!(narrowed(&[Status::Failed, Status::Running], Verdict::Failed), Some(vec![Status::Failed]));
    }
}
