//! Traces at real receivers: of OTLP over HTTP and gRPC, through a collector, and Datadog's intake; through a `kill -9` of
//! the process that carries the run out, and while the receiver is away.

#![allow(clippy::unwrap_used)] // a test that cannot go on ends there

mod receiver;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use midwatch::{Midwatch, Otlp};
use midwatch_journal::sqlite::SqliteJournal;
use midwatch_journal::{Journal, RunQuery};
use midwatch_observe::trace::{Kind, spans};
use midwatch_workflow::{Event, EventKind};

use self::receiver::{Datadog, Received, Rotel, Tap};
use self::worker::{Worker, register};

/// Checks that there is one trace, whole: each parent is there, and there is one root.
fn check_whole(received: &[Received]) {
    let traces: BTreeSet<_> = received.iter().map(|span| &span.trace).collect();
    assert_eq!(traces.len(), 1, "{traces:?}");
    let ids: BTreeSet<_> = received.iter().map(|span| &span.id).collect();
    let orphans: Vec<_> =
        received.iter().filter(|span| !span.parent.is_empty() && !ids.contains(&span.parent)).collect();
    assert!(orphans.is_empty(), "{orphans:#?}");
    let roots: BTreeSet<_> = received.iter().filter(|span| span.parent.is_empty()).map(|s| &s.id).collect();
    assert_eq!(roots.len(), 1, "{roots:#?}");
}

/// What the journal says that the trace is, by id.
fn told(path: &std::path::Path) -> BTreeMap<String, (Kind, String)> {
    let journal = SqliteJournal::open_reader(path).unwrap();
    let mut all = BTreeMap::new();
    for run in journal.runs(&RunQuery::default()).unwrap() {
        let events = journal.events(run.run, 0).unwrap();
        for span in spans(&events, run.updated_at).unwrap() {
            all.insert(span.id.to_string(), (span.kind, span.name.into_owned()));
        }
    }
    all
}

/// Checks that what was received is what the journal says, each span once but for what was sent again after a crash.
fn check_complete(received: &[Received], path: &std::path::Path) {
    let told = told(path);
    let names: BTreeMap<_, _> = received.iter().map(|span| (span.id.clone(), span.name.clone())).collect();
    let expected: BTreeMap<_, _> = told.into_iter().map(|(id, (_, name))| (id, name)).collect();
    assert_eq!(names, expected);
}

/// Waits until an attempt at a step stands in the journal.
fn until_asked_for(path: &std::path::Path, step: &str) {
    let journal = SqliteJournal::open_reader(path).unwrap();
    let is_asked_for = |event: &Event| match &event.kind {
        EventKind::AttemptScheduled(asked) => &*asked.step == step,
        _ => false,
    };
    while !journal.since(0, 1_000).unwrap().iter().flat_map(|row| &row.events).any(is_asked_for) {
        std::thread::yield_now();
    }
}

/// Runs one errand to its end with traces on.
async fn errand(path: &std::path::Path, otlp: Otlp) -> String {
    let midwatch = register(Midwatch::embedded(path)).traces(otlp).open().await.unwrap();
    let run = midwatch.start(worker::errand, worker::Errand { hangs: false }).id("errand-1").await.unwrap();
    run.result().await.unwrap();
    midwatch.shut_down().await;
    run.id().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_arrives_whole_over_http() {
    let Some(tap) = Tap::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("midwatch.db");
    let run = errand(&path, Otlp::http(tap.url()).service("agents")).await;
    let received = tap.until(|spans| spans.iter().any(|span| span.name == "invoke_workflow errand"));
    check_whole(&received);
    check_complete(&received, &path);
    let root = received.iter().find(|span| span.parent.is_empty()).unwrap();
    assert_eq!((root.trace.as_str(), root.name.as_str()), (run.as_str(), "invoke_workflow errand"));
    let calls: Vec<_> = received.iter().filter(|span| span.name == "chat gpt-4o").collect();
    assert_eq!(calls.len(), 2, "one failed, one went well");
    assert!(calls.iter().all(|call| call.kind == "client" && call.attributes["llm.token_count"] == "1100"));
    let failed = calls.iter().find(|call| call.status == "error").unwrap();
    assert_eq!(failed.attributes["error.type"], "rate_limited");
    assert_eq!(failed.attributes["gen_ai.provider.name"], "openai");
    let cost: f64 = calls.iter().map(|call| call.attributes["llm.cost_usd"].parse::<f64>().unwrap()).sum();
    assert!((cost - 0.02).abs() < 1e-9, "{cost}");
    assert_eq!(root.attributes["midwatch.run.cost_usd"].parse::<f64>().unwrap(), cost);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_arrives_whole_over_grpc() {
    let Some(rotel) = Rotel::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("midwatch.db");
    let otlp = Otlp::grpc(rotel.grpc()).header("x-token", "t").compression(midwatch::Compression::Gzip);
    errand(&path, otlp).await;
    let received = rotel.until(|spans| spans.iter().any(|span| span.name == "invoke_workflow errand"));
    check_whole(&received);
    check_complete(&received, &path);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_arrives_whole_at_a_collector_over_http() {
    let Some(rotel) = Rotel::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("midwatch.db");
    errand(&path, Otlp::http(rotel.http()).compression(midwatch::Compression::Gzip)).await;
    let received = rotel.until(|spans| spans.iter().any(|span| span.name == "invoke_workflow errand"));
    check_whole(&received);
    check_complete(&received, &path);
}

#[tokio::test(flavor = "multi_thread")]
async fn datadogs_intake_takes_a_run() {
    let Some(datadog) = Datadog::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("midwatch.db");
    errand(&path, Otlp::http(datadog.url())).await;
    let received = datadog.spans();
    check_whole(&received);
    check_complete(&received, &path);
}

#[test]
fn a_run_whose_process_is_killed_is_one_trace_with_every_parent() {
    let Some(tap) = Tap::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("midwatch.db");
    let first = Worker::start(&path, &tap.url());
    // What went before the step that hangs has arrived although the run is open.
    let early = tap.until(|spans| spans.iter().filter(|span| span.name == "chat gpt-4o").count() == 2);
    assert!(early.iter().any(|span| span.name == "run started"), "an open run is seen");
    assert!(early.iter().all(|span| span.name != "invoke_workflow errand"), "it is open");
    until_asked_for(&path, "carry");
    first.kill();
    Worker::start(&path, &tap.url()).wait();
    let received = tap.until(|spans| spans.iter().any(|span| span.name == "invoke_workflow errand"));
    check_whole(&received);
    check_complete(&received, &path);
    let lost = received.iter().filter(|span| span.attributes.get("error.type").is_some_and(|e| e == "lost"));
    assert_eq!(lost.count(), 1, "the attempt that the process died in");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_while_the_receiver_is_away_arrives_when_it_is_back() {
    let Some(tap) = Tap::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("midwatch.db");
    let port = tap.port();
    tap.stop();
    let midwatch = register(Midwatch::embedded(&path)).traces(Otlp::http(format!("http://127.0.0.1:{port}")));
    let midwatch = midwatch.open().await.unwrap();
    let mut runs = BTreeSet::new();
    for n in 0..5 {
        let errand = worker::Errand { hangs: false };
        let run = midwatch.start(worker::errand, errand).id(format!("errand-{n}")).await.unwrap();
        run.result().await.unwrap();
        runs.insert(run.id().to_string());
    }
    let tap = Tap::on(port);
    let roots =
        |spans: &[Received]| spans.iter().filter(|span| span.name == "invoke_workflow errand").count();
    let received = tap.until(|spans| roots(spans) == 5);
    midwatch.shut_down().await;
    check_complete(&received, &path);
    assert_eq!(received.iter().map(|span| span.trace.clone()).collect::<BTreeSet<_>>(), runs);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_does_not_wait_for_a_receiver_that_is_away_and_the_next_one_makes_up_for_it() {
    let Some(tap) = Tap::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("midwatch.db");
    let port = tap.port();
    tap.stop();
    let url = format!("http://127.0.0.1:{port}");
    tokio::time::timeout(Duration::from_secs(60), errand(&path, Otlp::http(&url))).await.unwrap();
    let tap = Tap::on(port);
    let midwatch = register(Midwatch::embedded(&path)).traces(Otlp::http(&url)).open().await.unwrap();
    let received = tap.until(|spans| spans.iter().any(|span| span.name == "invoke_workflow errand"));
    midwatch.shut_down().await;
    check_whole(&received);
    check_complete(&received, &path);
}
