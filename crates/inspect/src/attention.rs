//! Which runs need a person: what is stuck, parked, dear or slow, the most pressing first.

use std::collections::HashSet;

use midwatch_journal::{Error, Journal, Order, RunQuery, RunSummary, Status};
use midwatch_observe::why::{Answer, STALL_LIMIT, Verdict};
use midwatch_workflow::{Budget, EventKind, Timestamp};

use crate::{Inspector, stalls};

/// A run that was looked at because it may need somebody.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The run, as lists show it.
    pub run: RunSummary,
    /// Why it is as it is.
    pub answer: Answer,
    /// Which share of its budget it has spent, if it has one.
    pub budget_used: Option<f64>,
}

impl Candidate {
    /// How pressing it is; 0 if it needs nobody.
    pub fn urgency(&self) -> u8 {
        urgency(self.answer.verdict)
    }
}

/// How pressing a verdict is; 0 if it needs nobody.
pub const fn urgency(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Stuck => 5,
        Verdict::Parked => 4,
        Verdict::Expensive => 3,
        Verdict::Slow => 2,
        Verdict::Unknown => 1,
        Verdict::Failed | Verdict::Waiting | Verdict::Healthy => 0,
    }
}

/// Looks at open runs that may need somebody: silent ones, parked ones, the oldest and the costliest, `limit` of each at
/// most. In the order in which they were found.
///
/// # Errors
/// What the journal says.
pub fn candidates(
    journal: &dyn Journal,
    inspector: &Inspector<'_>,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<Candidate>, Error> {
    let mut runs = Vec::new();
    for stall in stalls(journal, now, STALL_LIMIT)?.stalls.iter().take(limit) {
        runs.extend(journal.run(stall.run.run)?);
    }
    let open = vec![Status::Running, Status::Waiting, Status::Compensating];
    for (statuses, order) in
        [(vec![Status::Parked], Order::Oldest), (open.clone(), Order::Oldest), (open, Order::Costliest)]
    {
        runs.extend(journal.runs(&RunQuery { statuses, order, limit, ..RunQuery::default() })?);
    }
    let mut seen = HashSet::new();
    runs.retain(|run| seen.insert(run.run));
    runs.into_iter().map(|run| look_at(journal, inspector, run)).collect()
}

fn look_at(journal: &dyn Journal, inspector: &Inspector<'_>, run: RunSummary) -> Result<Candidate, Error> {
    let events = journal.events(run.run, 0)?;
    let budget = events.first().and_then(|event| match &event.kind {
        EventKind::RunStarted(start) => start.budget,
        _ => None,
    });
    let answer = inspector.why_of(events)?;
    let budget_used = budget.and_then(|budget| used(&budget, &answer));
    Ok(Candidate { run, answer, budget_used })
}

/// Of dollars and tokens, the share of which more is spent.
#[allow(clippy::cast_precision_loss)] // a share needs no more
fn used(budget: &Budget, answer: &Answer) -> Option<f64> {
    let usd = budget.usd.map(|limit| answer.spent.cost.as_usd() / limit.as_usd().max(f64::MIN_POSITIVE));
    let tokens = budget.tokens.map(|limit| answer.spent.usage.tokens() as f64 / limit.max(1) as f64);
    usd.into_iter().chain(tokens).reduce(f64::max)
}
