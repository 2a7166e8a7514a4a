//! Owners, readers and posters of one file, and how it is closed.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use midwatch_journal::sqlite::{Options, SqliteJournal};
use midwatch_journal::{Appended, Commits, Error, Journal, RunQuery};
use midwatch_workflow::Message;

use super::{Place, history};
use crate::build::*;

#[test]
fn a_reader_sees_what_the_owner_has_reported() {
    let place = Place::new();
    let owner = place.open().unwrap();
    let reader = SqliteJournal::open_reader(place.path()).unwrap();
    for (append, count) in history(1).into_iter().zip([1, 3, 5, 7, 8]) {
        written(&owner, append);
        assert_eq!(reader.events(run(1), 0).unwrap().len(), count);
    }
    assert_eq!(reader.runs(&RunQuery::default()).unwrap().len(), 1);
}

#[test]
fn a_reader_posts_and_appends_nothing() {
    let place = Place::new();
    let owner = place.open().unwrap();
    let reader = SqliteJournal::open_reader(place.path()).unwrap();
    let message = Message::Resume { by: "somebody".to_owned() };
    let id = reader.post(run(1), &message, at(7)).unwrap();
    let letters = owner.letters(&[], 10).unwrap();
    assert_eq!((letters[0].id, letters[0].run, &letters[0].message), (id, run(1), &message));
    assert_eq!(reader.letters(&[], 10).unwrap(), letters);
    assert!(matches!(reader.letters(&[id], 10), Err(Error::Closed)), "only the owner takes letters away");
    assert!(matches!(write(&reader, start(started(run(1), "order-1"), 0)), Err(Error::Closed)));
}

#[test]
fn letters_get_through_while_the_owner_writes_without_a_pause() {
    let place = Place::new();
    let owner = Arc::new(place.open().unwrap());
    // As many runs as make the writer go from one commit straight into the next.
    let (stop, ended) = channel();
    for number in 1..=50 {
        go_on(owner.clone(), number, 1, stop.clone());
    }
    drop(stop);
    let reader = SqliteJournal::open_reader(place.path()).unwrap();
    for _ in 0..5 {
        reader.post(run(1), &Message::Resume { by: "somebody".to_owned() }, at(0)).unwrap();
    }
    owner
        .post(run(1), &Message::Pause { reason: "enough".to_owned(), by: "somebody".to_owned() }, at(0))
        .unwrap();
    let letters = owner.letters(&[], 10).unwrap();
    assert_eq!(letters.len(), 6);
    owner.close().unwrap();
    assert_eq!(ended.into_iter().count(), 50, "each run hears that the journal is closed");
}

#[test]
fn a_run_whose_every_answer_appends_goes_on_within_a_small_stack() {
    let place = Place::new();
    let journal = Arc::new(place.open().unwrap());
    let (stop, ended) = channel();
    let small = std::thread::Builder::new().stack_size(256 * 1024);
    let owner = Arc::clone(&journal);
    small.spawn(move || go_on(owner, 1, 1, stop)).unwrap().join().unwrap();
    let enough = 3_000;
    while journal.events(run(1), enough).unwrap().is_empty() {
        std::thread::yield_now();
    }
    journal.close().unwrap();
    assert_eq!(ended.into_iter().count(), 1);
}

#[test]
fn appends_that_do_not_wait_for_each_other_are_written_in_their_order() {
    let place = Place::new();
    let journal = Arc::new(place.open().unwrap());
    // Now and then the writer has something else in hand.
    let (stop, _ended) = channel();
    go_on(journal.clone(), 2, 1, stop);
    let (sender, answers) = channel();
    for first in 1..=2_000 {
        let sender = sender.clone();
        let append = append(run(1), first, &[event(first, scheduled(1))]);
        journal.append(append, Box::new(move |outcome| sender.send(outcome).unwrap()));
        if first % 3 == 0 {
            std::thread::yield_now();
        }
    }
    drop(sender);
    for outcome in answers {
        assert_eq!(outcome.unwrap(), Appended::Written);
    }
    journal.close().unwrap();
}

/// Appends to a run as long as it can.
fn go_on(journal: Arc<SqliteJournal>, number: u8, first: u64, stop: std::sync::mpsc::Sender<()>) {
    let next = journal.clone();
    let append = append(run(number), first, &[event(first, scheduled(1))]);
    journal.append(
        append,
        Box::new(move |outcome| match outcome {
            Ok(_) => go_on(next, number, first + 1, stop),
            Err(Error::Closed) => stop.send(()).unwrap(),
            Err(error) => panic!("{error}"),
        }),
    );
}

#[test]
fn a_lock_of_another_process_delays_appends_and_fails_none() {
    let place = Place::new();
    let owner = place.open().unwrap();
    let other = rusqlite::Connection::open(place.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (sender, answer) = channel();
    owner
        .append(start(started(run(1), "order-1"), 0), Box::new(move |outcome| sender.send(outcome).unwrap()));
    assert!(answer.try_recv().is_err());
    assert_eq!(owner.events(run(1), 0).unwrap(), [], "readers are not held up");
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(answer.recv().unwrap().unwrap(), Appended::Written);
}

#[test]
fn a_refused_append_does_not_fail_those_that_share_its_commit() {
    let place = Place::new();
    let owner = place.open().unwrap();
    written(&owner, start(started(run(1), "order-1"), 0));
    // While another process holds the file the writer's batch fills up.
    let other = rusqlite::Connection::open(place.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (sender, answers) = channel();
    let conflict = append(run(1), 1, &[event(9, scheduled(1))]);
    let duplicate = start(started(run(2), "order-1"), 0);
    let mut appends = vec![start(started(run(3), "order-3"), 0), conflict, duplicate];
    appends.extend([append(run(1), 2, &[event(2, scheduled(1))]), start(started(run(4), "order-4"), 0)]);
    for (number, append) in appends.into_iter().enumerate() {
        let sender = sender.clone();
        owner.append(append, Box::new(move |outcome| sender.send((number, outcome)).unwrap()));
    }
    other.execute_batch("COMMIT").unwrap();
    drop(sender);
    let mut answers: Vec<_> = answers.into_iter().collect();
    answers.sort_by_key(|(number, _)| *number);
    let answers: Vec<_> = answers.into_iter().map(|(_, outcome)| outcome).collect();
    assert!(matches!(answers[1], Err(Error::Conflict { number: 1, .. })), "{answers:?}");
    assert_eq!(*answers[2].as_ref().unwrap(), Appended::Duplicate(run(1)));
    for good in [0, 3, 4] {
        assert_eq!(*answers[good].as_ref().unwrap(), Appended::Written, "{good}");
    }
    assert_eq!(owner.since(0, 10).unwrap().len(), 4);
}

#[test]
fn closing_writes_what_waits_and_refuses_what_comes_later() {
    let place = Place::new();
    let owner = place.open().unwrap();
    let (sender, answers) = channel();
    for number in 1..=200 {
        let sender = sender.clone();
        let append = start(started(run(number), &format!("order-{number}")), 0);
        owner.append(append, Box::new(move |outcome| sender.send(outcome).unwrap()));
    }
    owner.close().unwrap();
    drop(sender);
    assert!(answers.into_iter().all(|outcome| matches!(outcome, Ok(Appended::Written))));
    assert!(matches!(write(&owner, start(started(run(201), "order-201"), 0)), Err(Error::Closed)));
    assert!(matches!(owner.post(run(1), &Message::Resume { by: String::new() }, at(0)), Err(Error::Closed)));
    owner.close().unwrap();
    let log = place.folder.path().join("journal.db-wal");
    assert!(log.metadata().map_or(0, |log| log.len()) == 0, "the log is empty");
    assert_eq!(place.open().unwrap().since(0, 1_000).unwrap().len(), 200);
}

#[test]
fn dropping_writes_what_waits() {
    let place = Place::new();
    let owner = place.open().unwrap();
    for append in history(1) {
        owner.append(append, Box::new(|outcome| assert_eq!(outcome.unwrap(), Appended::Written)));
    }
    drop(owner);
    assert_eq!(place.open().unwrap().events(run(1), 0).unwrap().len(), 8);
}

#[test]
fn the_last_handle_may_be_dropped_by_the_answer_to_an_append() {
    let place = Place::new();
    let owner = Arc::new(place.open().unwrap());
    let (held, (sender, answer)) = (owner.clone(), channel());
    // While another process writes, the append waits for the writer's thread.
    let other = rusqlite::Connection::open(place.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    owner.append(
        start(started(run(1), "order-1"), 0),
        Box::new(move |outcome| {
            drop(held);
            sender.send(outcome).unwrap();
        }),
    );
    drop(owner);
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(answer.recv().unwrap().unwrap(), Appended::Written);
    assert_eq!(place.open().unwrap().events(run(1), 0).unwrap().len(), 1);
}

#[test]
fn an_append_that_comes_alone_is_durable_and_answered_when_append_returns() {
    let place = Place::new();
    let owner = place.open().unwrap();
    let (sender, answer) = channel();
    owner.append(
        start(started(run(1), "order-1"), 0),
        Box::new(move |outcome| sender.send((outcome, std::thread::current().id())).unwrap()),
    );
    let (outcome, thread) = answer.try_recv().expect("answered already");
    assert_eq!((outcome.unwrap(), thread), (Appended::Written, std::thread::current().id()));
    assert_eq!(SqliteJournal::open_reader(place.path()).unwrap().events(run(1), 0).unwrap().len(), 1);
}

#[test]
fn an_answer_may_append() {
    let place = Place::new();
    let owner = Arc::new(place.open().unwrap());
    let (again, (sender, answer)) = (owner.clone(), channel());
    owner.append(
        start(started(run(1), "order-1"), 0),
        Box::new(move |_| {
            again.append(
                start(started(run(2), "order-2"), 0),
                Box::new(move |outcome| sender.send(outcome).unwrap()),
            );
        }),
    );
    assert_eq!(answer.recv().unwrap().unwrap(), Appended::Written);
}

#[test]
fn a_panic_in_an_answer_does_not_stop_the_writer() {
    let place = Place::new();
    let owner = place.open().unwrap();
    owner.append(start(started(run(1), "order-1"), 0), Box::new(|_| panic!("expected in this test")));
    written(&owner, start(started(run(2), "order-2"), 0));
}

#[test]
fn the_log_does_not_grow_without_bound_while_it_is_written() {
    let place = Place::new();
    let options = Options { checkpoint_pages: 50, ..Options::default() };
    let owner = SqliteJournal::open(place.path(), options).unwrap();
    for number in 1..=250 {
        written(&owner, start(started(run(number), &format!("order-{number}")), 0));
    }
    let log = place.folder.path().join("journal.db-wal").metadata().unwrap().len();
    assert!(log < 100 * 4_120, "{log} bytes of log");
}

#[test]
fn the_log_is_emptied_again_once_a_reader_that_held_it_is_gone() {
    let place = Place::new();
    let options = Options { checkpoint_pages: 50, ..Options::default() };
    let owner = SqliteJournal::open(place.path(), options).unwrap();
    let log = || place.folder.path().join("journal.db-wal").metadata().unwrap().len();
    let reader = rusqlite::Connection::open(place.path()).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM journal").unwrap();
    for number in 1..=100 {
        written(&owner, start(started(run(number), &format!("order-{number}")), 0));
    }
    let held = log();
    assert!(held > 200 * 4_120, "{held} bytes of log");
    reader.execute_batch("COMMIT").unwrap();
    for number in 101..=250 {
        written(&owner, start(started(run(number), &format!("order-{number}")), 0));
    }
    assert!(log() <= held + 100 * 4_120, "{} bytes of log after {held}", log());
}

#[test]
fn people_read_events_in_the_shell() {
    let place = Place::filled(2);
    let shell = rusqlite::Connection::open(place.path()).unwrap();
    let sql = "SELECT number, at, kind, data ->> '$.op' FROM events WHERE run = ?1 ORDER BY number";
    let mut statement = shell.prepare(sql).unwrap();
    let rows = statement
        .query_map([run(2).to_string()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)));
    let rows: Vec<(i64, String, String, Option<i64>)> = rows.unwrap().map(Result::unwrap).collect();
    let shown: Vec<_> = rows.iter().map(|(number, _, kind, op)| (*number, kind.as_str(), *op)).collect();
    let expected = [
        (1, "run_started", None),
        (2, "attempt_scheduled", Some(1)),
        (3, "attempt_ended", Some(1)),
        (4, "attempt_scheduled", Some(2)),
        (5, "attempt_ended", Some(2)),
        (6, "attempt_scheduled", Some(3)),
        (7, "attempt_ended", Some(3)),
        (8, "run_ended", None),
    ];
    assert_eq!(shown, expected);
    assert!(rows[0].1.starts_with("2026-09-21T"), "{}", rows[0].1);
}

#[test]
fn a_commit_of_a_patient_journal_waits_for_company_and_no_longer_than_until_a_letter_comes() {
    let place = Place::new();
    let patience = Duration::from_secs(3_600);
    let owner = SqliteJournal::open(place.path(), Options { patience, ..Options::default() }).unwrap();
    let (sender, answers) = channel();
    let append = |number| {
        let sender = sender.clone();
        let done = move |outcome| sender.send(outcome).unwrap();
        owner.append(start(started(run(number), &format!("order-{number}")), 0), Box::new(done));
    };
    // Nobody writes meanwhile, so a crowd comes together, in two commits at most, and a third for the letter.
    let other = rusqlite::Connection::open(place.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    (1..=100).for_each(append);
    other.execute_batch("COMMIT").unwrap();
    // Whatever of it waits for company by now has it.
    let resume = Message::Resume { by: "somebody".to_owned() };
    owner.post(run(1), &resume, at(0)).unwrap();
    for _ in 1..=100 {
        assert_eq!(answers.recv().unwrap().unwrap(), Appended::Written);
    }
    for number in 101..=110 {
        append(number);
        owner.post(run(1), &resume, at(0)).unwrap();
        assert_eq!(answers.recv().unwrap().unwrap(), Appended::Written);
    }
    owner.close().unwrap();
    let commits: u64 = Commits::read(&place.path()).unwrap().unwrap().buckets.iter().sum();
    assert!(commits <= 13, "each append waited for a letter, and shared its commit: {commits}");
}
