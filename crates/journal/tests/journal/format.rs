//! Files of released formats open and say what they always said.
//!
//! `fixtures/format-1.jsonl` lists what is in `fixtures/format-1.db`, every kind of event and message at least once.

use std::path::PathBuf;

use midwatch_journal::sqlite::{Options, SqliteJournal};
use midwatch_journal::{Append, Fold, Journal, RunQuery};
use midwatch_workflow::{Event, Message, RunId, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use crate::build::*;

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Append { run: RunId, first: u64, events: Vec<Value> },
    Letter { run: RunId, at: Timestamp, message: Value },
}

#[test]
fn a_journal_of_format_1_says_what_it_said_when_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    std::fs::copy(fixture("format-1.db"), &path).unwrap();
    let journal = SqliteJournal::open(&path, Options::default()).unwrap();
    let rows = journal.since(0, usize::MAX).unwrap();
    let letters = journal.letters(&[], usize::MAX).unwrap();
    let (mut row, mut letter) = (rows.iter(), letters.iter());
    for line in lines() {
        match line {
            Line::Append { run, first, events } => {
                let found = row.next().unwrap();
                assert_eq!((found.run, found.first), (run, first));
                assert_covers(&serde_json::to_value(&found.events).unwrap(), &Value::Array(events));
            }
            Line::Letter { run, at, message } => {
                let found = letter.next().unwrap();
                assert_eq!((found.run, found.at), (run, at));
                assert_covers(&serde_json::to_value(&found.message).unwrap(), &message);
            }
        }
    }
    assert!(row.next().is_none() && letter.next().is_none());
}

#[test]
fn a_journal_of_format_1_lists_its_runs_and_takes_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    std::fs::copy(fixture("format-1.db"), &path).unwrap();
    let journal = SqliteJournal::open(&path, Options::default()).unwrap();
    let runs = journal.runs(&RunQuery::default()).unwrap();
    assert_eq!(runs.len(), 4);
    for run in runs {
        let events = journal.events(run.run, 0).unwrap();
        let fold = Fold::of(&events).unwrap();
        assert_eq!(
            (run.status, run.events, run.spent),
            (fold.summary.status, fold.summary.events, fold.summary.spent)
        );
        written(&journal, append(run.run, run.events + 1, &[event(9, completed())]));
    }
}

/// Every kind is in the fixture: a new one must be added to the next format's, or to this one before its release.
#[test]
fn the_fixture_has_every_kind_of_event() {
    let kinds: std::collections::BTreeSet<String> = lines()
        .flat_map(|line| match line {
            Line::Append { events, .. } => events,
            Line::Letter { .. } => Vec::new(),
        })
        .filter_map(|event| event["event"].as_object()?.keys().next().cloned())
        .collect();
    let expected = [
        "abandoned",
        "attempt_ended",
        "attempt_scheduled",
        "attempt_started",
        "budget_raised",
        "cancel_requested",
        "child_ended",
        "child_started",
        "heartbeat",
        "noted",
        "parked",
        "paused",
        "recovered",
        "resolved",
        "resumed",
        "rewound",
        "run_ended",
        "run_started",
        "signal_awaited",
        "signal_received",
        "timer_fired",
        "timer_started",
        "unparked",
    ];
    assert!(kinds.iter().eq(expected), "{kinds:?}");
}

/// Run by hand, and only before a format is released: `cargo test -p midwatch-journal -- --ignored writes_the_fixture`.
#[test]
#[ignore = "writes a file of the repository"]
fn writes_the_fixture() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let journal = SqliteJournal::open(&path, Options::default()).unwrap();
    for line in lines() {
        match line {
            Line::Append { run, first, events } => {
                let body = serde_json::to_string(&events).unwrap();
                let mut all = journal.events(run, 0).unwrap();
                all.extend(serde_json::from_str::<Vec<Event>>(&body).unwrap());
                let summary = Some(Box::new(Fold::of(&all).unwrap().summary));
                written(&journal, Append { run, first, body, summary });
            }
            Line::Letter { run, at, message } => {
                let message: Message = serde_json::from_value(message).unwrap();
                journal.post(run, &message, at).unwrap();
            }
        }
    }
    journal.close().unwrap();
    std::fs::copy(path, fixture("format-1.db")).unwrap();
}

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn lines() -> impl Iterator<Item = Line> {
    let text = std::fs::read_to_string(fixture("format-1.jsonl")).unwrap();
    let lines: Vec<Line> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines.into_iter()
}

/// Everything that was there is still there; more may have come.
#[track_caller]
fn assert_covers(now: &Value, then: &Value) {
    match (now, then) {
        (Value::Object(now), Value::Object(then)) => {
            for (key, then) in then {
                assert_covers(now.get(key).unwrap_or_else(|| panic!("`{key}` is gone")), then);
            }
        }
        (Value::Array(now), Value::Array(then)) => {
            assert_eq!(now.len(), then.len());
            now.iter().zip(then).for_each(|(now, then)| assert_covers(now, then));
        }
        _ => assert_eq!(now, then),
    }
}
