//! Traces of runs of the real engine: what steps send along is what the trace says, through failures, rewinds, children
//! and forks.

#![allow(clippy::unwrap_used)] // a test that cannot go on ends there

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use midwatch::{
    Backoff, Class, Context, Failure, Message, Midwatch, RetryPolicy, StepContext, step, workflow,
};
use midwatch_journal::sqlite::SqliteJournal;
use midwatch_journal::{Journal, RunQuery};
use midwatch_observe::trace::{Kind, Role, Span, spans};
use midwatch_workflow::{RunId, Timestamp};

/// What attempts said that they would send.
static SENT: Mutex<Vec<(RunId, String)>> = Mutex::new(Vec::new());

fn note(cx: &StepContext) {
    SENT.lock().unwrap().push((cx.run_id(), cx.traceparent()));
}

fn sent(runs: &[RunId]) -> Vec<String> {
    let sent = SENT.lock().unwrap();
    sent.iter().filter(|(run, _)| runs.contains(run)).map(|(_, parent)| parent.clone()).collect()
}

#[step(target = "stripe")]
async fn calls(cx: StepContext, _: ()) -> Result<(), Failure> {
    note(&cx);
    Ok(())
}

#[step(retry = RetryPolicy::default().attempts(2).backoff(Backoff::Fixed(Duration::from_millis(1))))]
async fn refuses(cx: StepContext, _: ()) -> Result<(), Failure> {
    note(&cx);
    Err(Failure::new(Class::Server, "no"))
}

#[workflow]
async fn fails(cx: Context, _: ()) -> Result<(), Failure> {
    cx.step(calls, &()).await?;
    cx.step(refuses, &()).await
}

#[workflow]
async fn inner(cx: Context, _: ()) -> Result<(), Failure> {
    cx.step(calls, &()).await
}

#[workflow]
async fn outer(cx: Context, _: ()) -> Result<(), Failure> {
    cx.step(calls, &()).await?;
    cx.child(inner, &()).await
}

struct Stage {
    folder: tempfile::TempDir,
    midwatch: Midwatch,
}

impl Stage {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let builder = Midwatch::embedded(folder.path().join("midwatch.db"));
        let builder = builder.workflow(fails).workflow(inner).workflow(outer).step(calls).step(refuses);
        Self { midwatch: builder.open().await.unwrap(), folder }
    }

    fn journal(&self) -> SqliteJournal {
        SqliteJournal::open_reader(self.folder.path().join("midwatch.db")).unwrap()
    }

    fn spans(&self, run: RunId) -> Vec<Span> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let now = Timestamp::from_micros(u64::try_from(now.as_micros()).unwrap());
        spans(&self.journal().events(run, 0).unwrap(), now).unwrap()
    }
}

/// The `traceparent`s of all attempts.
fn told(spans: &[Span]) -> BTreeSet<String> {
    let attempts = spans.iter().filter(|span| span.kind == Kind::Attempt);
    attempts.map(|span| format!("00-{:032x}-{}-01", u128::from_be_bytes(span.trace), span.id)).collect()
}

fn check_parents(spans: &[Span]) {
    let ids: BTreeSet<_> = spans.iter().map(|span| span.id).collect();
    assert_eq!(ids.len(), spans.len(), "{spans:#?}");
    let roots: Vec<_> =
        spans.iter().filter(|span| span.parent.is_none_or(|parent| !ids.contains(&parent))).collect();
    assert_eq!(roots.len(), 1, "{roots:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_attempts_send_is_in_the_trace_also_after_the_run_was_taken_back() {
    let stage = Stage::open().await;
    let handle = stage.midwatch.start(fails, ()).await.unwrap();
    let run = handle.id();
    handle.result().await.unwrap_err();
    assert_eq!(sent(&[run]).len(), 3);
    for tries in [5, 7] {
        handle.send(Message::Retry { by: "ann".to_owned() }).await.unwrap();
        handle.result().await.unwrap_err();
        let sent = sent(&[run]);
        assert_eq!(sent.len(), tries);
        let distinct: BTreeSet<String> = sent.iter().cloned().collect();
        assert_eq!(distinct.len(), tries, "no two attempts are one: {sent:#?}");
        let spans = stage.spans(run);
        assert_eq!(told(&spans), distinct);
        check_parents(&spans);
    }
    let spans = stage.spans(run);
    let runs: Vec<_> = spans.iter().filter(|span| span.kind == Kind::Run).collect();
    assert_eq!(runs.len(), 3, "one for each time that it went on");
    let has_target = |span: &&Span| span.kind == Kind::Attempt && span.role == Role::Client;
    assert_eq!(spans.iter().filter(has_target).count(), 1, "one attempt had a target");
    stage.midwatch.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_belongs_to_the_trace_of_its_parent_and_both_to_that_of_the_caller() {
    let stage = Stage::open().await;
    let caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for traceparent in [None, Some(caller)] {
        let mut start = stage.midwatch.start(outer, ());
        if let Some(traceparent) = traceparent {
            start = start.traceparent(traceparent);
        }
        let handle = start.await.unwrap();
        let run = handle.id();
        handle.result().await.unwrap();
        let all = stage.journal().runs(&RunQuery::default()).unwrap();
        let child =
            all.iter().find(|other| other.parent.is_some_and(|parent| parent.run == run)).unwrap().run;
        let mut spans = stage.spans(run);
        spans.extend(stage.spans(child));
        check_parents(&spans);
        assert_eq!(told(&spans), sent(&[run, child]).into_iter().collect());
        let trace = traceparent.map_or_else(|| run.to_string(), |text| text[3..35].to_owned());
        let is_of = |span: &Span| format!("{:032x}", u128::from_be_bytes(span.trace)) == trace;
        assert!(spans.iter().all(is_of), "{spans:#?}");
        let root = spans.iter().find(|span| span.kind == Kind::Run && span.run == run).unwrap();
        assert_eq!(
            root.parent.map(|parent| parent.to_string()),
            traceparent.map(|text| text[36..52].to_owned())
        );
    }
    stage.midwatch.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_fork_its_trace_tells_what_it_did_itself() {
    let stage = Stage::open().await;
    let handle = stage.midwatch.start(fails, ()).await.unwrap();
    let run = handle.id();
    handle.result().await.unwrap_err();
    let events = stage.journal().events(run, 0).unwrap();
    let done = events
        .iter()
        .position(|event| matches!(event.kind, midwatch_workflow::EventKind::AttemptEnded { .. }));
    let fork = RunId::new(events[0].at + Duration::from_millis(5), [9; 10]);
    let event = done.unwrap() as u64 + 1;
    let message = Message::Fork { run: fork, event, keys: Default::default(), by: "ann".to_owned() };
    handle.send(message).await.unwrap();
    stage.midwatch.run::<()>(fork).result().await.unwrap_err();
    let spans = stage.spans(fork);
    assert_eq!(told(&spans), sent(&[fork]).into_iter().collect());
    assert_eq!(sent(&[fork]).len(), 2, "only the step that failed is done again");
    check_parents(&spans);
    let root = spans.iter().find(|span| span.kind == Kind::Run).unwrap();
    assert_eq!(root.links.len(), 1);
    assert_eq!(root.links[0].trace, *run.as_bytes());
    stage.midwatch.shut_down().await;
}
