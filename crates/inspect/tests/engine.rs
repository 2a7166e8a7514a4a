//! Answers for runs of the real engine, on a real file with a real lock.

#![allow(clippy::unwrap_used)] // a test that cannot go on ends there

use std::time::{Duration, SystemTime};

use midwatch::{Class, Context, Failure, Midwatch, QueueOptions, StepContext, step, workflow};
use midwatch_inspect::{Inspector, owner, stalls};
use midwatch_journal::Journal;
use midwatch_journal::sqlite::SqliteJournal;
use midwatch_observe::Answer;
use midwatch_observe::why::{Cause, Safe, Verdict};
use midwatch_workflow::{EventKind, RunId, Timestamp};

#[step]
async fn hang(_cx: StepContext, _: ()) -> Result<(), Failure> {
    std::future::pending().await
}

#[step(target = "openai:gpt-4o")]
async fn call(_cx: StepContext, _: ()) -> Result<(), Failure> {
    Err(Failure::new(Class::RateLimited, "slow down").status(429).retry_after(Duration::from_secs(600)))
}

#[step(queue = "narrow")]
async fn hold(_cx: StepContext, _: ()) -> Result<(), Failure> {
    std::future::pending().await
}

#[step(target = "stripe")]
async fn refuse(_cx: StepContext, _: ()) -> Result<(), Failure> {
    Err(Failure::new(Class::Authentication, "no such key").status(401))
}

#[workflow]
async fn hangs(cx: Context, _: ()) -> Result<(), Failure> {
    cx.step(hang, &()).await
}

#[workflow]
async fn calls(cx: Context, _: ()) -> Result<(), Failure> {
    cx.step(call, &()).await
}

#[workflow]
async fn holds(cx: Context, _: ()) -> Result<(), Failure> {
    cx.step(hold, &()).await
}

#[workflow]
async fn refused(cx: Context, _: ()) -> Result<(), Failure> {
    cx.step(refuse, &()).await
}

#[workflow]
async fn asks(cx: Context, _: ()) -> Result<(), Failure> {
    cx.signal("approve").await
}

#[workflow]
async fn parent(cx: Context, _: ()) -> Result<(), Failure> {
    cx.child(hangs, &()).await
}

async fn open(folder: &tempfile::TempDir) -> Midwatch {
    let builder = Midwatch::embedded(folder.path().join("midwatch.db"));
    let builder = builder.workflow(hangs).workflow(calls).workflow(holds).workflow(refused).workflow(asks);
    let builder = builder.workflow(parent).step(hang).step(call).step(hold).step(refuse);
    let builder = builder.drain(Duration::ZERO).queue("narrow", QueueOptions::concurrency(1));
    builder.open().await.unwrap()
}

/// Waits until the journal says something of a run; bounded by the runner's own limit for a test.
async fn until(folder: &tempfile::TempDir, run: RunId, says: impl Fn(&EventKind) -> bool) {
    loop {
        let journal = SqliteJournal::open_reader(folder.path().join("midwatch.db")).unwrap();
        if journal.events(run, 0).unwrap().iter().any(|event| says(&event.kind)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The child that a run has started.
fn child_of(folder: &tempfile::TempDir, run: RunId) -> RunId {
    let journal = SqliteJournal::open_reader(folder.path().join("midwatch.db")).unwrap();
    let events = journal.events(run, 0).unwrap();
    let child = events.iter().find_map(|event| match event.kind {
        EventKind::ChildStarted { run, .. } => Some(run),
        _ => None,
    });
    child.expect("a child was asked for")
}

/// Asks as somebody would ask so much later.
fn ask(folder: &tempfile::TempDir, run: RunId, later: Duration) -> Answer {
    let path = folder.path().join("midwatch.db");
    let journal = SqliteJournal::open_reader(&path).unwrap();
    Inspector::new(&journal, now() + later, owner(&path)).why(run).unwrap()
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Timestamp::from_micros(u64::try_from(since.as_micros()).unwrap())
}

const MINUTES_6: Duration = Duration::from_secs(360);

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_hangs_is_silent_while_its_process_lives_and_lost_when_it_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let midwatch = open(&folder).await;
    let run = midwatch.start(hangs, ()).await.unwrap().id();
    let outer = midwatch.start(parent, ()).await.unwrap().id();
    until(&folder, run, |kind| matches!(kind, EventKind::AttemptScheduled(_))).await;
    until(&folder, outer, |kind| matches!(kind, EventKind::ChildStarted { .. })).await;
    let child = child_of(&folder, outer);
    until(&folder, child, |kind| matches!(kind, EventKind::AttemptScheduled(_))).await;
    let fresh = ask(&folder, run, Duration::from_secs(20));
    assert_eq!((fresh.verdict, fresh.cause), (Verdict::Healthy, Cause::Progressing));
    let silent = ask(&folder, run, MINUTES_6);
    assert_eq!((silent.verdict, silent.cause), (Verdict::Stuck, Cause::StepSilent));
    let outer = ask(&folder, outer, MINUTES_6);
    assert_eq!(
        (outer.verdict, outer.cause, outer.under),
        (Verdict::Stuck, Cause::ChildStuck, vec![Cause::StepSilent])
    );
    midwatch.shut_down().await;
    drop(midwatch);
    let lost = ask(&folder, run, MINUTES_6);
    assert_eq!((lost.verdict, lost.cause), (Verdict::Stuck, Cause::ProcessLost));
    assert_eq!(lost.safe_to_retry.verdict, Safe::WithKeys);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_the_target_asked_for_holds_other_runs_at_its_gate() {
    let folder = tempfile::tempdir().unwrap();
    let midwatch = open(&folder).await;
    let run = midwatch.start(calls, ()).await.unwrap().id();
    until(&folder, run, |kind| matches!(kind, EventKind::TimerStarted { .. })).await;
    let second = midwatch.start(calls, ()).await.unwrap().id();
    until(&folder, second, |kind| matches!(kind, EventKind::AttemptScheduled(_))).await;
    let waiting = ask(&folder, run, Duration::from_secs(5));
    assert_eq!((waiting.verdict, waiting.cause), (Verdict::Waiting, Cause::Retry));
    // Nothing to compare with, but nearly all of its time is lost.
    let slow = ask(&folder, run, MINUTES_6);
    assert_eq!((slow.verdict, slow.cause), (Verdict::Slow, Cause::RetryAfter));
    assert_eq!(slow.affected.share, "target openai:gpt-4o");
    let gate = ask(&folder, second, Duration::from_secs(5));
    assert_eq!((gate.verdict, gate.cause), (Verdict::Waiting, Cause::Gate), "{}", gate.headline);
    let gate = ask(&folder, second, MINUTES_6);
    assert_eq!((gate.verdict, gate.cause), (Verdict::Slow, Cause::GateClosed), "{}", gate.headline);
    midwatch.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_whose_only_place_hangs_is_starved() {
    let folder = tempfile::tempdir().unwrap();
    let midwatch = open(&folder).await;
    let first = midwatch.start(holds, ()).await.unwrap().id();
    until(&folder, first, |kind| matches!(kind, EventKind::AttemptScheduled(_))).await;
    let second = midwatch.start(holds, ()).await.unwrap().id();
    until(&folder, second, |kind| matches!(kind, EventKind::AttemptScheduled(_))).await;
    let queued = ask(&folder, second, Duration::from_secs(5));
    assert_eq!((queued.verdict, queued.cause), (Verdict::Waiting, Cause::Queue));
    let starved = ask(&folder, second, Duration::from_secs(1_000));
    assert_eq!((starved.verdict, starved.cause), (Verdict::Stuck, Cause::QueueStarved));
    let journal = SqliteJournal::open_reader(folder.path().join("midwatch.db")).unwrap();
    let found = stalls(&journal, now() + MINUTES_6, Duration::from_secs(300)).unwrap();
    let runs: Vec<RunId> = found.stalls.iter().map(|stall| stall.run.run).collect();
    assert_eq!(runs, [first], "the one in the queue waits rightly");
    midwatch.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_names_its_class_and_a_wait_for_a_signal_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let midwatch = open(&folder).await;
    let run = midwatch.start(refused, ()).await.unwrap();
    let id = run.id();
    run.result().await.unwrap_err();
    let failed = ask(&folder, id, Duration::ZERO);
    assert_eq!((failed.verdict, failed.cause), (Verdict::Failed, Cause::Authentication));
    assert!(failed.next.iter().any(|next| next.command == format!("midwatch retry {}", id.short())));
    let run = midwatch.start(asks, ()).await.unwrap().id();
    until(&folder, run, |kind| matches!(kind, EventKind::SignalAwaited { .. })).await;
    let waits = ask(&folder, run, MINUTES_6);
    assert_eq!((waits.verdict, waits.cause), (Verdict::Waiting, Cause::Signal));
    midwatch.shut_down().await;
}
