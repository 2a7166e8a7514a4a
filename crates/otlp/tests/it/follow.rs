//! What a follower hands on is what the fold says of each run, wherever it was stopped and started again.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use midwatch_journal::sqlite::{Options, SqliteJournal};
use midwatch_journal::{Append, Fold, Journal};
use midwatch_observe::corpus::incidents;
use midwatch_observe::trace::{Tracer, tree};
use midwatch_otlp::{Begin, Cursor, Follower, Otlp, Report, Start};
use midwatch_workflow::{Event, EventKind, RunId};

use crate::collector::{Collector, id, id_of};

pub(crate) fn follower(path: &Path, otlp: Otlp, report: impl Fn(Report) + Send + 'static) -> Follower {
    let journal = Arc::new(SqliteJournal::open_reader(path).unwrap());
    let (cursor, begin) = (Cursor::beside(path), Begin::First);
    Follower::start(Start { journal, cursor, otlp, begin, report: Box::new(report) }).unwrap()
}

pub(crate) fn append(journal: &SqliteJournal, run: RunId, first: u64, events: &[Event], all: &[Event]) {
    let summary = Fold::of(all).map(|fold| Box::new(fold.summary));
    let (done, written) = channel();
    let append = Append::new(run, first, events, summary).unwrap();
    journal.append(append, Box::new(move |outcome| done.send(outcome).unwrap()));
    written.recv().unwrap().unwrap();
}

/// Histories of the corpus, each under a run id of its own.
pub(crate) fn histories(count: usize) -> Vec<(RunId, Vec<Event>)> {
    let all = incidents().into_iter().map(|incident| incident.facts.events).step_by(3);
    let begun =
        |events: &Vec<Event>| matches!(events.first(), Some(Event { kind: EventKind::RunStarted(_), .. }));
    all.filter(begun)
        .take(count)
        .zip(1u8..)
        .map(|(mut events, n)| {
            let EventKind::RunStarted(start) = &mut events[0].kind else { unreachable!() };
            start.run = RunId::from_bytes([n; 16]);
            start.workflow_id = start.run.into();
            (start.run, events)
        })
        .collect()
}

#[test]
fn a_follower_that_is_stopped_again_and_again_hands_on_every_span_of_every_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("midwatch.db");
    let journal = SqliteJournal::open(&path, Options::default()).unwrap();
    let collector = Collector::start();
    let histories = histories(40);
    let longest = histories.iter().map(|(_, events)| events.len()).max().unwrap();
    // All runs go on side by side, two events at a time.
    for at in (0..longest).step_by(2) {
        for (run, events) in &histories {
            let end = (at + 2).min(events.len());
            if at < end {
                append(&journal, *run, at as u64 + 1, &events[at..end], &events[..end]);
            }
        }
        if at % 10 == 0 {
            follower(&path, Otlp::http(collector.url()), drop).stop(Duration::from_secs(30));
        }
    }
    follower(&path, Otlp::http(collector.url()), drop).stop(Duration::from_secs(30));
    let mut expected = BTreeMap::new();
    for (_, events) in &histories {
        let (_, spans) = Tracer::of(events).unwrap();
        assert!(!tree(&spans).is_empty());
        expected.extend(spans.iter().map(|span| (id_of(span), span.name.to_string())));
    }
    let received = collector.until(|_| true);
    let names: BTreeMap<String, String> = received.iter().map(|span| (id(span), span.name.clone())).collect();
    assert_eq!(names, expected);
    assert_eq!(received.len(), expected.len(), "a follower that was stopped in order sends nothing twice");
}

#[test]
fn a_new_follower_begins_with_what_happens_from_now_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("midwatch.db");
    let journal = SqliteJournal::open(&path, Options::default()).unwrap();
    let collector = Collector::start();
    let histories = histories(2);
    let [(past, past_events), (now, now_events)] = &histories[..] else { unreachable!() };
    append(&journal, *past, 1, past_events, past_events);
    let start = Start {
        journal: Arc::new(SqliteJournal::open_reader(&path).unwrap()),
        cursor: Cursor::beside(&path),
        otlp: Otlp::http(collector.url()),
        begin: Begin::Now,
        report: Box::new(drop),
    };
    let follower = Follower::start(start).unwrap();
    append(&journal, *now, 1, now_events, now_events);
    follower.stop(Duration::from_secs(30));
    let received = collector.until(|_| true);
    assert!(!received.is_empty() && received.iter().all(|span| span.trace_id == now.as_bytes()));
}

#[test]
fn runs_of_a_trace_that_is_not_recorded_are_left_out_unless_they_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("midwatch.db");
    let journal = SqliteJournal::open(&path, Options::default()).unwrap();
    let mut histories = histories(2);
    let EventKind::RunStarted(start) = &mut histories[0].1[0].kind else { unreachable!() };
    start.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00".to_owned());
    for (run, events) in &histories {
        append(&journal, *run, 1, events, events);
    }
    let is_sampled = |span: &opentelemetry_proto::tonic::trace::v1::Span| span.flags & 1 == 1;
    let collector = Collector::start();
    follower(&path, Otlp::http(collector.url()), drop).stop(Duration::from_secs(30));
    let received = collector.until(|_| true);
    let [_, (other, _)] = &histories[..] else { unreachable!() };
    assert!(!received.is_empty() && received.iter().all(|span| span.trace_id == other.as_bytes()));
    assert!(received.iter().all(is_sampled));
    std::fs::remove_file(Cursor::beside(&path)).unwrap();
    let otlp = Otlp::http(collector.url()).unsampled_too();
    follower(&path, otlp, drop).stop(Duration::from_secs(30));
    let received = collector.until(|_| true);
    assert!(received.iter().any(|span| !is_sampled(span) && span.trace_id != other.as_bytes()));
}
