//! A recorder on a journal file: what it tells is there after a death, and reads like any other run.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use midwatch_inspect::{CostQuery, Inspector, cost, stalls};
use midwatch_journal::sqlite::{self, SqliteJournal};
use midwatch_journal::{Fold, Journal, RunQuery, RunSummary, Status};
use midwatch_observe::cost::By;
use midwatch_observe::why::{Owner, Verdict};
use midwatch_recorder::{Error, NewAttempt, NewRun, Options, Recorder, workflow_id};
use midwatch_workflow::{Certainty, Charge, Class, Failure, Money, Payload, Timestamp, Usage};

const T0: u64 = 1_790_000_000;

const fn at(second: u64) -> Timestamp {
    Timestamp::from_micros((T0 + second) * 1_000_000)
}

fn charge(tokens: u64, certainty: Certainty) -> Charge {
    let usage = Usage { calls: 1, input: tokens, ..Usage::default() };
    let cost = Some(Money::from_cents(tokens));
    Charge { target: "openai:gpt-4o".to_owned(), usage, certainty, cost, ..Charge::default() }
}

fn ask(request: u64) -> NewAttempt {
    NewAttempt {
        target: Some("openai:gpt-4o".into()),
        same: Some(request),
        bounds: vec![charge(90, Certainty::Bound)],
        ..NewAttempt::new("ask_model")
    }
}

fn thread(name: &str) -> NewRun {
    NewRun::new("research", workflow_id(name).unwrap(), at(0))
}

fn down() -> Failure {
    Failure::new(Class::Server, "down").status(500)
}

/// The only run of a journal; its summary must be what its events say.
fn only_run(path: &Path) -> RunSummary {
    let journal = SqliteJournal::open_reader(path).unwrap();
    let runs = journal.runs(&RunQuery::default()).unwrap();
    let [run] = &runs[..] else { panic!("{} runs", runs.len()) };
    let events = journal.events(run.run, 0).unwrap();
    assert_eq!(*run, Fold::of(&events).unwrap().summary);
    run.clone()
}

#[test]
fn every_view_shows_a_recorded_run_as_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("midwatch.db");
    let recorder = Recorder::open(&path, Options::new("test"), at(0)).unwrap();
    let run = recorder.run(thread("thread-7"), at(0)).unwrap();
    let used = run.begin(ask(1), at(1)).unwrap().end(Err(down()), vec![charge(3, Certainty::Exact)], at(2));
    assert_eq!((used.nth, used.attempt), (1, 1));
    let again = run.begin(ask(1), at(3)).unwrap();
    assert_eq!((again.use_of().nth, again.use_of().attempt), (1, 2));
    again.end(Ok(Payload::null()), vec![charge(7, Certainty::Exact)], at(4));
    recorder.flush().unwrap();
    recorder.tend(at(6));
    recorder.flush().unwrap();
    let seen = only_run(&path);
    assert_eq!((seen.status, seen.attempts, seen.failures, seen.steps), (Status::Running, 2, 1, 1));
    assert_eq!((seen.spent.usage.input, seen.wasted), (10, Money::from_cents(3)));

    let reader = SqliteJournal::open_reader(&path).unwrap();
    let query = CostQuery { runs_max: 10, looked_at_max: 10, ..CostQuery::default() };
    let (report, _) = cost(&reader, &query, By::Step).unwrap();
    assert_eq!(report.total.cost, Money::from_cents(10));
    assert!(stalls(&reader, at(6), Duration::from_secs(300)).unwrap().stalls.is_empty());

    let hung = run.begin(ask(2), at(7)).unwrap();
    recorder.flush().unwrap();
    let owner = Owner::Process { name: "process 1".to_owned(), since: None };
    let why = Inspector::new(&reader, at(7 + 400), owner).why(run.id()).unwrap();
    assert_eq!((why.verdict, why.cause.as_str()), (Verdict::Stuck, "step_silent"), "{}", why.headline);
    hung.end(Ok(Payload::null()), Vec::new(), at(408));
    recorder.tend(at(409));
    assert_eq!(run.summary().status, Status::Running);
    recorder.tend(at(408 + 240));
    recorder.close().unwrap();
    assert_eq!(only_run(&path).status, Status::Completed);
}

#[test]
fn what_was_told_outlives_the_process_before_the_journal_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("midwatch.db");
    let journal = || Arc::new(SqliteJournal::open(&path, sqlite::Options::default()).unwrap());
    // Nothing reaches the journal in time.
    let slow = Options { linger: Duration::from_secs(3_600), ..Options::new("first") };
    let first = Recorder::on(journal(), Some(path.clone()), slow, at(0)).unwrap();
    let run = first.run(thread("thread-7"), at(0)).unwrap();
    run.begin(ask(1), at(1)).unwrap().end(Ok(Payload::null()), vec![charge(7, Certainty::Exact)], at(2));
    std::mem::forget(run.begin(ask(2), at(3)).unwrap());
    assert!(SqliteJournal::open_reader(&path).unwrap().run(run.id()).unwrap().is_none());

    let second = Recorder::on(journal(), Some(path.clone()), Options::new("second"), at(60)).unwrap();
    second.flush().unwrap();
    second.tend(at(62));
    second.flush().unwrap();
    let seen = only_run(&path);
    assert_eq!((seen.run, seen.attempts, seen.failures, seen.class), (run.id(), 2, 1, Some(Class::Lost)));
    assert_eq!(seen.spent.usage.input, 7 + 90, "what is known, and the bound of what is not");
    assert_eq!(seen.worker, "recorder: second");

    let third = Recorder::on(journal(), Some(path.clone()), Options::new("third"), at(70)).unwrap();
    third.flush().unwrap();
    assert_eq!(only_run(&path).attempts, 2, "nothing is told twice");
}

#[test]
fn a_run_that_ended_goes_on_with_the_next_call_also_from_the_journal_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("midwatch.db");
    let recorder = Recorder::open(&path, Options::new("test"), at(0)).unwrap();
    let id = recorder.run(thread("thread-7"), at(0)).unwrap().id();
    for round in 0..3 {
        let run = recorder.run(thread("thread-7"), at(round * 1_000)).unwrap();
        assert_eq!(run.id(), id);
        let attempt = run.begin(ask(round), at(round * 1_000)).unwrap();
        assert_eq!((attempt.use_of().nth, attempt.use_of().attempt), (1 + round as u32, 1));
        attempt.end(Err(down()), vec![charge(1, Certainty::Exact)], at(round * 1_000 + 1));
        drop(run);
        recorder.tend(at(round * 1_000 + 500));
        recorder.flush().unwrap();
        let seen = only_run(&path);
        assert_eq!((seen.status, seen.class), (Status::Failed, Some(Class::Server)));
        assert_eq!(seen.spent.usage.input, round + 1);
        // The second time it has left memory.
        recorder.tend(at(round * 1_000 + 501));
        assert!(recorder.find("research", &workflow_id("thread-7").unwrap()).is_none());
    }
}

#[tokio::test]
async fn whoever_waits_for_the_disk_is_told_when_the_journal_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("midwatch.db");
    let slow = Options { linger: Duration::from_secs(3_600), ..Options::new("test") };
    let recorder = Recorder::open(&path, slow, at(0)).unwrap();
    let run = recorder.run(thread("thread-7"), at(0)).unwrap();
    let attempt = run.begin(ask(1), at(1)).unwrap();
    attempt.durable().await.unwrap();
    let reader = SqliteJournal::open_reader(&path).unwrap();
    assert_eq!(reader.events(run.id(), 0).unwrap().len(), 3);
    drop(attempt);
    recorder.flush().unwrap();
    let seen = reader.events(run.id(), 3).unwrap();
    assert_eq!(
        Fold::of(&reader.events(run.id(), 0).unwrap()).unwrap().summary.class,
        Some(Class::Lost),
        "{seen:?}"
    );
}

#[test]
fn a_journal_that_fails_refuses_the_next_call() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("midwatch.db");
    let small = sqlite::Options { size_max: Some(64 << 10), ..sqlite::Options::default() };
    let journal = Arc::new(SqliteJournal::open(&path, small).unwrap());
    let recorder = Recorder::on(journal, Some(path), Options::new("test"), at(0)).unwrap();
    let run = recorder.run(thread("thread-7"), at(0)).unwrap();
    let refused = (0..10_000).find_map(|request| {
        let begun = run.begin(ask(request), at(request));
        if request % 100 == 0 {
            let _ = recorder.flush();
        }
        begun.map(|attempt| attempt.end(Ok(Payload::null()), Vec::new(), at(request))).err()
    });
    assert!(matches!(refused, Some(Error::Journal(midwatch_journal::Error::Full { .. }))), "{refused:?}");
}

#[test]
fn what_others_carry_out_goes_on_when_the_recorder_dies() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("midwatch.db");
    let journal = || Arc::new(SqliteJournal::open(&path, sqlite::Options::default()).unwrap());
    let held = || NewRun { is_held: true, ..thread("thread-7") };
    let watched = |mark: &str| NewAttempt {
        mark: Some(mark.to_owned()),
        is_watched: true,
        ..NewAttempt::new("research")
    };
    let first = Recorder::on(journal(), Some(path.clone()), Options::new("first"), at(0)).unwrap();
    let run = first.run(held(), at(0)).unwrap();
    let node = run.begin(watched("node-1"), at(1)).unwrap();
    node.beat_as(&["call-1".to_owned()], &Payload::null(), vec![charge(3, Certainty::Exact)], at(2));
    node.leave();
    first.flush().unwrap();

    let second = Recorder::on(journal(), Some(path.clone()), Options::new("second"), at(400)).unwrap();
    let run = second.run(held(), at(400)).unwrap();
    second.tend(at(400 + 241));
    assert!(run.is_busy() && run.knows("call-1") && run.knows("node-1") && !run.knows("node-2"));
    let node = run.under_way("node-1").unwrap();
    let spent = node.charges();
    node.end(Err(down()), spent, at(500));
    let node = run.begin(NewAttempt { same: Some(1), ..watched("node-2") }, at(501)).unwrap();
    node.leave();
    assert_eq!(run.spent().usage.input, 3);

    // It is held: only an hour of silence ends it.
    second.tend(at(501 + 3_599));
    assert_eq!(run.summary().status, Status::Running);
    second.tend(at(501 + 3_600));
    second.flush().unwrap();
    let seen = only_run(&path);
    assert_eq!((seen.status, seen.class, seen.attempts), (Status::Failed, Some(Class::Lost), 2));
}

#[test]
fn a_call_that_was_made_here_is_known_by_its_span_and_by_its_answer_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("midwatch.db");
    let recorder = Recorder::open(&path, Options::new("first"), at(0)).unwrap();
    let run = recorder.run(thread("thread-7"), at(0)).unwrap();
    let call = NewAttempt { mark: Some("00f067aa0ba902b7".to_owned()), ..ask(1) };
    run.begin(call, at(1)).unwrap().end(Err(down()), Vec::new(), at(2));
    let call = NewAttempt { mark: Some("00f067aa0ba902b8".to_owned()), ..ask(1) };
    let answer = Payload::from_json(r#"{"response_id": "chatcmpl-1"}"#).unwrap();
    run.begin(call, at(3)).unwrap().end(Ok(answer), Vec::new(), at(4));
    let check = |recorder: &Recorder| {
        for call in ["00f067aa0ba902b7", "00f067aa0ba902b8", "id:chatcmpl-1"] {
            let place = recorder.booked(call).unwrap();
            assert_eq!(
                (place.workflow.as_str(), place.workflow_id.as_str()),
                ("research", "thread-7"),
                "{call}"
            );
        }
        assert_eq!(recorder.booked("id:chatcmpl-2"), None);
    };
    check(&recorder);
    recorder.close().unwrap();
    drop((run, recorder));
    check(&Recorder::open(&path, Options::new("second"), at(10)).unwrap());
}
