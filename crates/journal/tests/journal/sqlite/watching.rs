//! What a process that only watches asks of a journal.

use midwatch_journal::sqlite::SqliteJournal;
use midwatch_journal::{Commits, Journal, Status};
use midwatch_workflow::{EventKind, Message};

use super::Place;
use crate::build::*;

#[test]
fn the_position_is_where_a_follower_begins() {
    let place = Place::new();
    let journal = place.open().unwrap();
    assert_eq!(journal.position().unwrap(), 0);
    written(&journal, start(started(run(1), "a"), 0));
    let tip = journal.position().unwrap();
    written(&journal, start(started(run(2), "b"), 1));
    let rows = journal.since(tip, 10).unwrap();
    assert_eq!(rows.iter().map(|row| row.run).collect::<Vec<_>>(), [run(2)]);
    assert_eq!(journal.position().unwrap(), rows[0].position);
}

#[test]
fn waiting_letters_are_counted_unread_with_the_age_of_the_oldest() {
    let place = Place::new();
    let journal = place.open().unwrap();
    assert_eq!(journal.waiting_letters().unwrap(), (0, None));
    let retry = || Message::Retry { by: "ann".to_owned() };
    let first = journal.post(run(1), &retry(), at(7)).unwrap();
    journal.post(run(1), &retry(), at(9)).unwrap();
    assert_eq!(journal.waiting_letters().unwrap(), (2, Some(at(7))));
    journal.letters(&[first], 10).unwrap();
    assert_eq!(journal.waiting_letters().unwrap(), (1, Some(at(9))));
}

#[test]
fn open_runs_are_counted_by_workflow_and_status_and_ended_ones_are_not() {
    let place = Place::new();
    let journal = place.open().unwrap();
    let begun = EventKind::RunStarted(Box::new(started(run(1), "ended")));
    written(&journal, append(run(1), 1, &[event(0, begun), event(1, completed())]));
    assert_eq!(journal.open_runs(100).unwrap(), []);
    for number in 10..15 {
        let workflow = if number < 12 { "checkout" } else { "research" };
        let begun = midwatch_workflow::RunStarted {
            workflow: workflow.to_owned(),
            ..started(run(number), &format!("id-{number}"))
        };
        written(&journal, start(begun, 0));
    }
    let counted =
        |n| vec![("checkout".to_owned(), Status::Running, 2), ("research".to_owned(), Status::Running, n)];
    assert_eq!(journal.open_runs(100).unwrap(), counted(3));
    assert_eq!(journal.open_runs(4).unwrap(), counted(2), "no more than the limit are looked at");
}

#[test]
fn what_commits_took_is_shown_beside_the_journal() {
    let place = Place::new();
    let journal = place.open().unwrap();
    for number in 1..=5 {
        written(&journal, start(started(run(number), &format!("id-{number}")), 0));
    }
    journal.close().unwrap();
    let commits = Commits::read(&place.path()).unwrap().unwrap();
    assert_eq!(commits.buckets.iter().sum::<u64>(), 5);
    assert!(commits.micros > 0);
    // The next owner counts anew; whoever only reads leaves it as it is.
    drop(SqliteJournal::open_reader(place.path()).unwrap());
    assert_eq!(Commits::read(&place.path()).unwrap(), Some(commits));
}
