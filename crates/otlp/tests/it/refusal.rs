//! What a collector says decides what becomes of spans.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use midwatch_journal::sqlite::{Options, SqliteJournal};
use midwatch_otlp::{Otlp, Report};

use crate::collector::{Collector, id};
use crate::follow::{append, follower, histories};

#[test]
fn a_span_that_is_refused_for_good_is_left_out_alone_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("midwatch.db");
    let journal = SqliteJournal::open(&path, Options::default()).unwrap();
    for (run, events) in &histories(5) {
        append(&journal, *run, 1, events, events);
    }
    let collector = Collector::start();
    collector.rule(|spans, _| {
        let is_bad = spans.iter().any(|span| span.name == "run started" && span.trace_id == [3; 16]);
        is_bad.then(|| (StatusCode::BAD_REQUEST, "cannot take that").into_response())
    });
    let (tell, told) = channel();
    follower(&path, Otlp::http(collector.url()), move |report| tell.send(report).unwrap())
        .stop(Duration::from_secs(30));
    let refused: Vec<Report> =
        told.iter().filter(|report| matches!(report, Report::Refused { .. })).collect();
    let [Report::Refused { spans: 1, why }] = &refused[..] else { panic!("{refused:#?}") };
    assert!(why.contains("400") && why.contains("cannot take that"), "{why}");
    let received = collector.until(|_| true);
    assert!(received.iter().any(|span| span.trace_id == [3; 16]), "the others of that run are there");
}

#[test]
fn a_collector_that_is_overloaded_or_does_not_let_us_in_gets_all_of_it_later() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("midwatch.db");
    let journal = SqliteJournal::open(&path, Options::default()).unwrap();
    for (run, events) in &histories(3) {
        append(&journal, *run, 1, events, events);
    }
    let collector = Collector::start();
    let asked = AtomicUsize::new(0);
    collector.rule(move |_, headers| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => Some((StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")]).into_response()),
        1 => Some(StatusCode::UNAUTHORIZED.into_response()),
        _ => (headers["authorization"] != "Bearer t0ken").then(|| StatusCode::FORBIDDEN.into_response()),
    });
    let (tell, told) = channel();
    let otlp = Otlp::http(collector.url()).header("Authorization", "Bearer t0ken");
    let follower = follower(&path, otlp, move |report| drop(tell.send(report)));
    let received = collector.until(|spans| !spans.is_empty());
    follower.stop(Duration::from_secs(30));
    let ids: std::collections::BTreeSet<String> = received.iter().map(id).collect();
    assert_eq!(ids.len(), received.len());
    let reports: Vec<Report> = told.iter().collect();
    let Some(Report::Away { why, rows: 3, .. }) = reports.first() else { panic!("{reports:#?}") };
    assert!(why.starts_with("429"), "{why}");
    assert!(reports.iter().any(|report| matches!(report, Report::Back { .. })), "{reports:#?}");
    assert!(!format!("{reports:?}").contains("t0ken"), "no secret is told");
}
