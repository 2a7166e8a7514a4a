//! What is counted without reading events.

use midwatch_journal::sqlite::SumBy;
use midwatch_journal::{Append, Fold, Status};
use midwatch_workflow::{EventKind, Money};

use super::Place;
use crate::build::*;

#[test]
fn changes_name_each_run_in_commit_order_and_end_at_the_position() {
    let place = Place::filled(2);
    let journal = place.open().unwrap();
    let changes = journal.changes(0, 100).unwrap();
    let runs: Vec<_> = changes.iter().map(|(_, changed)| *changed).collect();
    assert_eq!(runs, [[run(1); 5], [run(2); 5]].concat());
    assert_eq!(changes.last().map(|(position, _)| *position), Some(journal.position().unwrap()));
    assert_eq!(journal.changes(journal.position().unwrap(), 100).unwrap(), []);
    assert_eq!(journal.changes(0, 3).unwrap(), changes[..3]);
}

#[test]
fn sums_add_up_to_the_counts_by_day_and_by_workflow() {
    let place = Place::filled(3);
    let journal = place.open().unwrap();
    let events = [event(0, EventKind::RunStarted(Box::new(started(run(9), "order-9"))))];
    let mut summary = Fold::of(&events).unwrap().summary;
    summary.spent.cost = Money::from_cents(5);
    written(&journal, Append::new(run(9), 1, &events, Some(Box::new(summary))).unwrap());
    for by in [SumBy::Day, SumBy::Workflow] {
        let sums = journal.sums(by, at(0)).unwrap();
        assert_eq!(sums.iter().map(|sum| sum.runs).sum::<u64>(), 4, "{by:?}");
        assert_eq!(sums.iter().map(|sum| sum.cost).sum::<Money>(), Money::from_cents(5), "{by:?}");
    }
    let open: Vec<_> = journal.counts().unwrap().into_iter().filter(|(_, runs)| *runs > 0).collect();
    assert_eq!(open, [(Status::Running, 4)]);
    assert_eq!(journal.sums(SumBy::Workflow, at(u64::MAX >> 12)).unwrap(), []);
}
