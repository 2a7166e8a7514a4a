//! What was spent since a point in time, read from the journal.

use std::collections::HashMap;

use midwatch_workflow::{Amount, Certainty, Charge, Event, EventKind, OpId, Timestamp};

use crate::{Error, Journal, Order, RunQuery, RunSummary};

const PAGE: usize = 10_000;

/// What the runs that fit a query have spent from a point in time on; of the query, order, paging and `updated_from` are
/// set here. Reads the events only of runs whose summary does not tell.
///
/// # Errors
/// If the journal cannot be read.
pub fn spent(journal: &dyn Journal, query: RunQuery, from: Timestamp) -> Result<Amount, Error> {
    let mut query =
        RunQuery { order: Order::Oldest, limit: PAGE, skip: 0, updated_from: Some(from), ..query };
    let mut spent = Amount::default();
    loop {
        let page = journal.runs(&query)?;
        for run in &page {
            let more = match is_told_by_summary(run, from) {
                true => Amount::from(&run.spent),
                false => since(&journal.events(run.run, 0)?, from),
            };
            spent = spent.plus(more);
        }
        if page.len() < PAGE {
            return Ok(spent);
        }
        query.skip += PAGE;
    }
}

/// The summary of an open run may trail its journal, that of a fork counts what its parent spent, and one of yesterday's
/// runs counts yesterday.
fn is_told_by_summary(run: &RunSummary, from: Timestamp) -> bool {
    run.ended_at.is_some() && run.forked_from.is_none() && run.started_at >= from
}

/// What a run's attempts reported from a point in time on, whatever became of them. A charge counts when it is reported.
fn since(events: &[Event], from: Timestamp) -> Amount {
    // What a fork copied from its parent is older than its own start.
    let from = events.first().map_or(from, |start| start.at.max(from));
    let mut open: HashMap<OpId, Reported> = HashMap::new();
    let mut spent = Amount::default();
    for event in events {
        let (op, now) = match &event.kind {
            EventKind::Heartbeat { op, charges, .. } => (*op, Reported::of(charges)),
            EventKind::AttemptEnded { op, charges, .. } => (*op, Reported::ended(charges)),
            _ => continue,
        };
        let before = open.insert(op, now).unwrap_or_default();
        if event.at >= from {
            spent = spent.plus(now.known.minus(before.known));
        }
    }
    // Whatever was under way is lost: its bounds stand.
    open.values().fold(spent, |spent, reported| spent.plus(reported.bounds))
}

/// What an attempt has reported so far; each report repeats what the one before said.
#[derive(Clone, Copy, Default)]
struct Reported {
    known: Amount,
    /// Of calls that were under way.
    bounds: Amount,
}

impl Reported {
    fn of(charges: &[Charge]) -> Self {
        let (bounds, known): (Vec<_>, Vec<_>) =
            charges.iter().partition(|charge| charge.certainty == Certainty::Bound);
        let sum = |charges: Vec<&Charge>| {
            charges.into_iter().map(Amount::from).fold(Amount::default(), Amount::plus)
        };
        Self { known: sum(known), bounds: sum(bounds) }
    }

    /// A bound that is left at the end is what the call took.
    fn ended(charges: &[Charge]) -> Self {
        let Self { known, bounds } = Self::of(charges);
        Self { known: known.plus(bounds), bounds: Amount::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use midwatch_workflow::{Class, Ended, Failure, Money, Payload, Usage};

    fn charge(input: u64, certainty: Certainty) -> Charge {
        let usage = Usage { input, ..Usage::default() };
        Charge { usage, certainty, cost: Some(Money::from_cents(input)), ..Charge::default() }
    }

    fn beat(at: u64, charges: &[Charge]) -> Event {
        let kind = EventKind::Heartbeat { op: OpId(1), progress: Payload::null(), charges: charges.to_vec() };
        Event { at: Timestamp::from_micros(at), kind }
    }

    fn end(at: u64, charges: &[Charge]) -> Event {
        let result = Ended::Failed(Failure::new(Class::Server, "down"));
        Event {
            at: Timestamp::from_micros(at),
            kind: EventKind::AttemptEnded { op: OpId(1), result, charges: charges.to_vec() },
        }
    }

    fn tokens(events: &[Event], from: u64) -> u64 {
        since(events, Timestamp::from_micros(from)).tokens
    }

    #[test]
    fn a_charge_counts_once_and_on_the_day_on_which_it_was_reported() {
        let [bound, real, more] =
            [charge(100, Certainty::Bound), charge(70, Certainty::Exact), charge(5, Certainty::Estimated)];
        let bounded = [bound];
        let settled = [real];
        let both = [settled[0].clone(), more];
        let run = [beat(10, &bounded), beat(20, &settled), beat(30, &both), end(40, &both)];
        for (from, expected) in [(0, 75), (20, 75), (21, 5), (31, 0)] {
            assert_eq!(tokens(&run, from), expected, "from {from}");
        }
        assert_eq!(tokens(&run[..1], 11), 100, "a call that was under way stands with its bound");
        assert_eq!(tokens(&[beat(10, &bounded), end(20, &bounded)], 15), 100);
    }
}
