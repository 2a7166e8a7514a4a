//! How a journal stands at one moment: what metrics and alerts are computed from, read within fixed bounds.
//!
//! All of it comes from the journal and what its owner shows beside it, so that a dead worker hides nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use midwatch_workflow::gate::{GateView, HeldBy};
use midwatch_workflow::{Budget, Event, EventKind, Money, RunId, Spent, Timestamp};

use crate::baseline::Spread;
use crate::run::{Run, Status};
use crate::stall::{self, Stall};
use crate::why::{MEDIANS, Owner, STALL_LIMIT};

/// How a journal stands.
#[derive(Clone, PartialEq, Debug)]
pub struct Standing {
    /// When this was so.
    pub now: Timestamp,
    /// Who owns the journal.
    pub owner: Owner,
    /// How many runs are open, by workflow and where they stand.
    pub open: Vec<(String, Status, u64)>,
    /// Open runs with attempts under way or timers, those that have been silent for longest first, as many as were looked at.
    pub quiet: Vec<Run>,
    /// Parked runs, as many as were looked at.
    pub parked: Vec<Run>,
    /// Runs that are open and have cost most, and runs that ended lately.
    pub spenders: Vec<Run>,
    /// The time that `ended lately` stands for.
    pub lately: Duration,
    /// What completed runs of a workflow cost, if there are enough to say.
    pub usual: BTreeMap<String, Spread<Money>>,
    /// What open runs have spent of their own budgets.
    pub budgets: Vec<BudgetUse>,
    /// The gates of the process that owns the journal.
    pub gates: Vec<GateView>,
    /// How many letters wait in the inbox.
    pub letters: u64,
    /// When the oldest of them was left.
    pub oldest_letter: Option<Timestamp>,
}

/// What a run has spent of its own budget.
#[derive(Clone, PartialEq, Debug)]
pub struct BudgetUse {
    /// The run.
    pub run: RunId,
    /// Its workflow.
    pub workflow: String,
    /// The share, 1 for all of it; the larger one of dollars and tokens.
    pub share: f64,
}

/// A run that cost far more than its like.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Beyond<'s> {
    /// The run.
    pub run: &'s Run,
    /// The median of its workflow.
    pub median: Money,
}

impl Standing {
    /// An empty journal without an owner.
    pub fn new(now: Timestamp) -> Self {
        Self {
            now,
            owner: Owner::Nobody,
            open: Vec::new(),
            quiet: Vec::new(),
            parked: Vec::new(),
            spenders: Vec::new(),
            lately: Duration::ZERO,
            usual: BTreeMap::new(),
            budgets: Vec::new(),
            gates: Vec::new(),
            letters: 0,
            oldest_letter: None,
        }
    }

    /// Runs without progress beyond `limit`, the longest first.
    pub fn stalls(&self, limit: Duration) -> Vec<Stall> {
        stall::find(&self.quiet, self.now, limit)
    }

    /// The same with the usual limit.
    pub fn usual_stalls(&self) -> Vec<Stall> {
        self.stalls(STALL_LIMIT)
    }

    /// Runs that cost more than `times` the median of their workflow.
    pub fn beyond(&self, times: f64) -> impl Iterator<Item = Beyond<'_>> {
        self.spenders.iter().filter_map(move |run| {
            let median = self.usual.get(&run.workflow)?.median;
            (run.spent.cost.as_usd() > median.as_usd() * times).then_some(Beyond { run, median })
        })
    }

    /// How many runs somebody should carry out: those that are open and wait for no person.
    pub fn work(&self) -> u64 {
        let is_work = |status| matches!(status, Status::Running | Status::Waiting | Status::Compensating);
        self.open.iter().filter(|(_, status, _)| is_work(*status)).map(|(_, _, runs)| runs).sum()
    }
}

/// The times of the median beyond which a run counts as expensive, as a float.
#[allow(clippy::cast_precision_loss)] // three
pub const COST_TIMES: f64 = MEDIANS as f64;

/// So long after its next look a circuit still counts as open: the owner looks again, and says so a moment later.
const CIRCUIT_GRACE: Duration = Duration::from_secs(10);

/// Why a gate is closed now, if it is.
pub fn closed(gate: &GateView, now: Timestamp) -> Option<HeldBy> {
    let closed = gate.state.closed?;
    let grace = if closed.because == HeldBy::Circuit { CIRCUIT_GRACE } else { Duration::ZERO };
    (closed.until + grace > now).then_some(closed.because)
}

/// The budget that a run has by now: as it started, with what was added since. `None` if it has none.
pub fn budget(events: &[Event]) -> Option<Budget> {
    let EventKind::RunStarted(start) = &events.first()?.kind else { return None };
    let mut budget = start.budget?;
    for event in events {
        if let EventKind::BudgetRaised { usd, tokens, .. } = &event.kind {
            budget.raise(*usd, *tokens);
        }
    }
    Some(budget)
}

/// The share of a budget that is spent: the larger one of dollars and tokens.
#[allow(clippy::cast_precision_loss)] // a share
pub fn share(budget: &Budget, spent: &Spent) -> f64 {
    let ratio = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 1.0 };
    let usd = budget.usd.map(|limit| ratio(spent.cost.as_usd(), limit.as_usd()));
    let tokens = budget.tokens.map(|limit| ratio(spent.usage.tokens() as f64, limit as f64));
    usd.into_iter().chain(tokens).fold(0.0, f64::max)
}
