//! Claims about what is written.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use midwatch_journal::{Append, Appended, Error, Fold, Journal};
use midwatch_workflow::{Event, EventKind, Payload};

use crate::build::*;

pub(crate) fn events_come_back_in_order_as_they_were_written(journal: &dyn Journal) {
    let events = history();
    for (first, part) in [(1, &events[..1]), (2, &events[1..4]), (5, &events[4..])] {
        written(journal, append(run(1), first, part));
    }
    assert_eq!(journal.events(run(1), 0).unwrap(), events);
}

pub(crate) fn events_after_a_number_leave_out_the_ones_before_it_even_inside_an_append(
    journal: &dyn Journal,
) {
    let events = history();
    for (first, part) in [(1, &events[..1]), (2, &events[1..4]), (5, &events[4..])] {
        written(journal, append(run(1), first, part));
    }
    for after in 0..=events.len() + 1 {
        let rest = &events[after.min(events.len())..];
        assert_eq!(journal.events(run(1), after as u64).unwrap(), rest, "after {after}");
    }
}

pub(crate) fn an_unknown_run_has_no_events_and_no_summary(journal: &dyn Journal) {
    written(journal, start(started(run(1), "order-1"), 0));
    assert_eq!(journal.events(run(2), 0).unwrap(), []);
    assert_eq!(journal.events(run(2), 7).unwrap(), []);
    assert_eq!(journal.run(run(2)).unwrap(), None);
}

pub(crate) fn a_second_run_under_a_workflow_id_is_told_of_the_first(journal: &dyn Journal) {
    written(journal, start(started(run(1), "order-1"), 0));
    let answer = write(journal, start(started(run(2), "order-1"), 5)).unwrap();
    assert_eq!(answer, Appended::Duplicate(run(1)));
    assert_eq!(journal.events(run(2), 0).unwrap(), []);
    assert_eq!(journal.run(run(2)).unwrap(), None);
}

pub(crate) fn a_workflow_id_is_taken_within_its_workflow_only(journal: &dyn Journal) {
    written(journal, start(started(run(1), "order-1"), 0));
    let mut other = started(run(2), "order-1");
    other.workflow = "refund".to_owned();
    written(journal, start(other, 1));
}

pub(crate) fn a_child_starts_under_a_taken_workflow_id(journal: &dyn Journal) {
    written(journal, start(started(run(1), "order-1"), 0));
    written(journal, start(child(run(2), "order-1", run(1)), 1));
    written(journal, start(child(run(3), "order-1", run(1)), 2));
    assert_eq!(journal.run(run(3)).unwrap().unwrap().workflow_id.as_str(), "order-1");
}

pub(crate) fn a_fork_starts_under_its_parents_workflow_id(journal: &dyn Journal) {
    written(journal, start(started(run(1), "order-1"), 0));
    written(journal, start(fork(run(2), "order-1", run(1)), 1));
    let answer = write(journal, start(started(run(3), "order-1"), 2)).unwrap();
    assert_eq!(answer, Appended::Duplicate(run(1)), "the fork does not hold the id");
}

pub(crate) fn a_child_does_not_take_its_workflow_id_from_others(journal: &dyn Journal) {
    written(journal, start(child(run(2), "order-1", run(1)), 0));
    written(journal, start(started(run(3), "order-1"), 1));
}

pub(crate) fn a_start_repeated_at_another_time_by_another_process_changes_nothing(journal: &dyn Journal) {
    written(journal, start(child(run(2), "order-1", run(1)), 0));
    let mut again = child(run(2), "order-1", run(1));
    again.worker = "worker-2".to_owned();
    written(journal, start(again, 99));
    assert_eq!(journal.events(run(2), 0).unwrap()[0].at, at(0));
    assert_eq!(journal.run(run(2)).unwrap().unwrap().worker, "worker-1");
    assert_eq!(journal.since(0, 10).unwrap().len(), 1);
}

pub(crate) fn a_start_repeated_with_another_input_is_a_conflict(journal: &dyn Journal) {
    written(journal, start(child(run(2), "order-1", run(1)), 0));
    let mut again = child(run(2), "order-1", run(1));
    again.input = Payload::of(&"another").unwrap();
    conflicts(journal, start(again, 0), 1);
}

pub(crate) fn a_start_repeated_with_more_than_itself_is_a_conflict(journal: &dyn Journal) {
    let begin = event(0, EventKind::RunStarted(Box::new(started(run(1), "order-1"))));
    written(journal, append(run(1), 1, std::slice::from_ref(&begin)));
    conflicts(journal, append(run(1), 1, &[begin, event(1, scheduled(1))]), 1);
    assert_eq!(journal.events(run(1), 0).unwrap().len(), 1);
}

pub(crate) fn the_same_append_twice_is_written_once(journal: &dyn Journal) {
    written(journal, start(started(run(1), "order-1"), 0));
    for _ in 0..2 {
        written(journal, append(run(1), 2, &[event(1, scheduled(1))]));
    }
    assert_eq!(journal.events(run(1), 0).unwrap().len(), 2);
}

pub(crate) fn other_events_of_a_taken_number_are_a_conflict(journal: &dyn Journal) {
    written(journal, start(started(run(1), "order-1"), 0));
    written(journal, append(run(1), 2, &[event(1, scheduled(1))]));
    conflicts(journal, append(run(1), 2, &[event(2, scheduled(1))]), 2);
    assert_eq!(journal.events(run(1), 1).unwrap(), [event(1, scheduled(1))]);
}

pub(crate) fn an_append_over_the_limit_is_refused_alone(journal: &dyn Journal) {
    let large = Append { run: run(1), first: 1, body: " ".repeat(Append::BYTES_MAX + 1), summary: None };
    let answer = write(journal, large);
    assert!(matches!(answer, Err(Error::TooLarge { bytes }) if bytes == Append::BYTES_MAX + 1), "{answer:?}");
    written(journal, start(started(run(1), "order-1"), 0));
}

pub(crate) fn a_refused_append_leaves_no_trace(journal: &dyn Journal) {
    written(journal, start(started(run(1), "order-1"), 0));
    let before = (journal.run(run(1)).unwrap(), journal.since(0, 10).unwrap());
    let mut events = history();
    events[0] = event(7, EventKind::RunStarted(Box::new(started(run(1), "order-2"))));
    conflicts(journal, append(run(1), 1, &events), 1);
    assert_eq!((journal.run(run(1)).unwrap(), journal.since(0, 10).unwrap()), before);
    written(journal, start(started(run(2), "order-2"), 8));
}

pub(crate) fn a_summary_is_replaced_by_the_next_one(journal: &dyn Journal) {
    let events = history();
    written(journal, append(run(1), 1, &events[..1]));
    let summary = Fold::of(&events).unwrap().summary;
    let rest = Append::new(run(1), 2, &events[1..], Some(Box::new(summary.clone()))).unwrap();
    written(journal, rest);
    assert_eq!(journal.run(run(1)).unwrap(), Some(summary));
}

pub(crate) fn an_append_without_events_replaces_the_summary_alone(journal: &dyn Journal) {
    let events = history();
    written(journal, append(run(1), 1, &events));
    let mut summary = Fold::of(&events).unwrap().summary;
    for body in ["", "[]"] {
        summary.doing.push_str("more");
        let next =
            Append { run: run(1), first: 9, body: body.to_owned(), summary: Some(Box::new(summary.clone())) };
        written(journal, next);
        assert_eq!(journal.run(run(1)).unwrap(), Some(summary.clone()));
        assert_eq!(journal.events(run(1), 0).unwrap(), events);
    }
    assert_eq!(journal.since(0, 10).unwrap().len(), 1);
    written(journal, append(run(1), 9, &[event(9, completed())]));
}

pub(crate) fn since_gives_rows_of_all_runs_in_the_order_of_their_writing(journal: &dyn Journal) {
    written(journal, start(started(run(2), "order-2"), 0));
    written(journal, start(started(run(1), "order-1"), 1));
    written(journal, append(run(2), 2, &[event(2, scheduled(1)), event(3, ended(1))]));
    let rows = journal.since(0, 10).unwrap();
    let shape: Vec<_> = rows.iter().map(|row| (row.run, row.first, row.events.len())).collect();
    assert_eq!(shape, [(run(2), 1, 1), (run(1), 1, 1), (run(2), 2, 2)]);
    assert!(rows.is_sorted_by(|a, b| a.position < b.position));
}

pub(crate) fn since_goes_on_where_it_stopped(journal: &dyn Journal) {
    for number in 1..=7 {
        written(journal, start(started(run(number), &format!("order-{number}")), 0));
    }
    let (mut after, mut seen) = (0, Vec::new());
    loop {
        let rows = journal.since(after, 3).unwrap();
        let Some(last) = rows.last() else { break };
        after = last.position;
        seen.extend(rows.iter().map(|row| row.run));
    }
    assert_eq!(seen, (1..=7).map(run).collect::<Vec<_>>());
}

pub(crate) fn many_threads_append_and_every_append_is_answered_once(journal: &dyn Journal) {
    const EVENTS: u64 = 50;
    let answers = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for number in 1..=8 {
            let answers = &answers;
            scope.spawn(move || {
                written(journal, start(started(run(number), &format!("order-{number}")), 0));
                for first in 2..=EVENTS {
                    let (sender, answer) = channel();
                    let next = append(run(number), first, &[event(first, scheduled(1))]);
                    journal.append(next, Box::new(move |outcome| sender.send(outcome).unwrap()));
                    assert_eq!(answer.recv().unwrap().unwrap(), Appended::Written);
                    assert!(answer.recv().is_err(), "answered twice");
                    answers.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(answers.into_inner(), 8 * (EVENTS as usize - 1));
    for number in 1..=8 {
        assert_eq!(journal.events(run(number), 0).unwrap().len() as u64, EVENTS);
    }
}

/// A whole run of eight events.
fn history() -> Vec<Event> {
    let start = EventKind::RunStarted(Box::new(started(run(1), "order-1")));
    let kinds = [start, scheduled(1), ended(1), scheduled(2), ended(2), scheduled(3), ended(3), completed()];
    kinds.into_iter().zip(0..).map(|(kind, micros)| event(micros, kind)).collect()
}

#[track_caller]
fn conflicts(journal: &dyn Journal, append: Append, number: u64) {
    let run = append.run;
    match write(journal, append) {
        Err(Error::Conflict { run: found, number: at }) => assert_eq!((found, at), (run, number)),
        other => panic!("expected a conflict, found {other:?}"),
    }
}
