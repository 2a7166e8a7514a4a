//! Runs that the server ended by itself: terminated, out of time there, deleted. The journal hears of it, and says so.

use std::sync::Arc;
use std::time::Duration;

use midwatch_engine_conformance::check_laws;
use midwatch_engine_conformance::server::TemporalServer;
use midwatch_engine_temporal::{Options, Temporal};
use midwatch_journal::memory::MemoryJournal;
use midwatch_journal::{Journal, RunSummary, Status};
use midwatch_workflow::{
    Class, Context, Ended, Engine, EngineError, EventKind, Failure, Message, NewRun, Payload, Registry,
    RunId, RunResult, StepContext, StepDefinition, WorkflowDefinition, WorkflowId, step_fn, workflow_fn,
};

use crate::ends::cut;
use crate::harness::TemporalHarness;

const NAMESPACE: &str = "closed";

/// A room is booked, a guest awaited, and the door held open for as long as the run lives.
fn registry() -> Registry {
    let echo = |name| step_fn(name, |_: StepContext, text: String| async move { Ok::<_, Failure>(text) });
    let hold = || step_fn("hold", |_: StepContext, _: String| std::future::pending::<Result<(), Failure>>());
    let booking = workflow_fn("booking", move |cx: Context, room: String| async move {
        cx.step(echo("book"), &room).compensate(echo("undo"), |room| room.clone()).await?;
        let guest: String = cx.signal("guest").await?;
        cx.step(hold(), &guest).await
    });
    let child = workflow_fn("floor", move |cx: Context, room: String| async move {
        let booking = workflow_fn("booking", |_: Context, _: String| async { Ok::<_, Failure>(()) });
        cx.child(booking, &room).id(WorkflowId::new("room-9").expect("an id")).await
    });
    let mut registry = Registry::default();
    registry.add_workflow(WorkflowDefinition::of(booking));
    registry.add_workflow(WorkflowDefinition::of(child));
    for name in ["book", "undo"] {
        registry.add_step(StepDefinition::of(echo(name)));
    }
    registry.add_step(StepDefinition::of(hold()));
    registry
}

async fn open(server: &TemporalServer, journal: &MemoryJournal, registry: Registry) -> Temporal {
    let options = TemporalHarness::options(&server.url(), NAMESPACE, "worker".to_owned());
    // So often that any run that is open would be found closed, were that ever possible.
    let options = Options { compare_every: Duration::from_millis(200), ..options };
    Temporal::open(Arc::new(journal.clone()), registry, options).await.expect("an engine")
}

async fn start(engine: &Temporal, id: &str) -> RunId {
    let mut new = NewRun::new("booking", Payload::of(&"room 12").expect("JSON"));
    new.workflow_id = WorkflowId::new(id).ok();
    engine.start(new).await.expect("a run").run
}

async fn until(journal: &MemoryJournal, run: RunId, is_so: impl Fn(&RunSummary) -> bool) -> RunSummary {
    for _ in 0..1500 {
        if let Some(summary) = journal.run(run).expect("a journal").filter(&is_so) {
            return summary;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("waited in vain; there is {:#?}", journal.events(run, 0));
}

fn waits(run: &RunSummary) -> bool {
    run.status == Status::Waiting
}

fn ended(run: &RunSummary) -> bool {
    run.ended_at.is_some()
}

fn guest() -> Message {
    let payload = Payload::of(&"ann").expect("JSON");
    Message::Signal { name: "guest".to_owned(), payload, id: None }
}

fn cancel() -> Message {
    Message::Cancel { reason: "it rains".to_owned(), by: "ben".to_owned() }
}

fn terminate(server: &TemporalServer, id: &str) {
    server.tell(NAMESPACE, &["workflow", "terminate", "--workflow-id", id, "--reason", "it hangs"]);
}

/// The last word of the journal, once all its laws hold.
fn last_word(journal: &MemoryJournal, run: RunId) -> RunResult {
    let events = journal.events(run, 0).expect("events");
    check_laws(&events).expect("the laws of a journal");
    match events.into_iter().next_back().map(|event| event.kind) {
        Some(EventKind::RunEnded { result }) => result,
        other => panic!("no end: {other:?}"),
    }
}

fn lost(journal: &MemoryJournal, run: RunId) -> usize {
    let is_lost = |kind: &EventKind| {
        matches!(kind, EventKind::AttemptEnded { result: Ended::Failed(failure), .. }
            if failure.class == Class::Lost)
    };
    journal.events(run, 0).expect("events").iter().filter(|event| is_lost(&event.kind)).count()
}

fn refusal(sent: Result<(), EngineError>) -> String {
    match sent {
        Err(EngineError::Refused { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_run_that_was_terminated_while_no_worker_was_there_ends_in_the_journal_once() {
    let Some(server) = TemporalServer::start(&[NAMESPACE]) else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let journal = MemoryJournal::new();
        let engine = open(&server, &journal, registry()).await;
        let (at_work, waiting, alive) =
            (start(&engine, "at-work").await, start(&engine, "waiting").await, start(&engine, "alive").await);
        for run in [at_work, waiting, alive] {
            until(&journal, run, waits).await;
        }
        engine.send(at_work, guest()).await.expect("a signal");
        until(&journal, at_work, |run| run.doing == "hold").await;
        drop(engine);
        terminate(&server, "booking/at-work");
        // This one has heard of its guest only after its worker was gone.
        let signal = ["workflow", "signal", "--workflow-id", "booking/waiting", "--name", "guest"];
        server.tell(NAMESPACE, &[&signal[..], &["--input", "\"ann\""]].concat());
        terminate(&server, "booking/waiting");

        let engine = open(&server, &journal, registry()).await;
        for (run, lost_attempts) in [(at_work, 1), (waiting, 0)] {
            let summary = until(&journal, run, ended).await;
            assert_eq!((summary.status, summary.compensated), (Status::Cancelled, 0), "{summary:#?}");
            let RunResult::Failed { failure, .. } = last_word(&journal, run) else { panic!("it failed") };
            assert!(failure.by_server && failure.class == Class::Cancelled, "{failure:?}");
            for part in ["terminated at the Temporal server by ", "it hangs", "left to do: undo of book"] {
                assert!(failure.message.contains(part), "{part} in {failure}");
            }
            assert_eq!(lost(&journal, run), lost_attempts, "{:#?}", journal.events(run, 0));
            assert_eq!(engine.result(run).await.expect("an end"), last_word(&journal, run));
            let why = refusal(engine.send(run, cancel()).await);
            assert!(why.contains("terminated at the Temporal server"), "{why}");
        }
        // Whoever looks again, in this process or the next one, finds nothing to add.
        let told = |run| journal.events(run, 0).expect("events");
        let before = (told(at_work), told(waiting));
        engine.shut_down().await.expect("a clean end");
        let engine = open(&server, &journal, registry()).await;
        terminate(&server, "booking/alive");
        until(&journal, alive, ended).await;
        assert_eq!((told(at_work), told(waiting)), before);
        engine.shut_down().await.expect("a clean end");
    });
}

#[test]
fn whoever_sends_a_message_to_a_terminated_run_hears_of_its_end_and_so_does_its_parent() {
    let Some(server) = TemporalServer::start(&[NAMESPACE]) else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let journal = MemoryJournal::new();
        let options = TemporalHarness::options(&server.url(), NAMESPACE, "worker".to_owned());
        let engine = Temporal::open(Arc::new(journal.clone()), registry(), options).await.expect("an engine");
        let parent = NewRun::new("floor", Payload::of(&"room 9").expect("JSON"));
        let parent = engine.start(parent).await.expect("a run").run;
        until(&journal, parent, waits).await;
        let child = journal.events(parent, 0).expect("events");
        let child = child.iter().find_map(|event| match &event.kind {
            EventKind::ChildStarted { run, .. } => Some(*run),
            _ => None,
        });
        let child = child.expect("a child");
        until(&journal, child, waits).await;
        engine.send(child, guest()).await.expect("a signal");
        until(&journal, child, |run| run.doing == "hold").await;
        terminate(&server, "booking/room-9");

        let RunResult::Failed { failure, .. } = engine.result(parent).await.expect("an end") else {
            panic!("a parent of a terminated child fails")
        };
        assert_eq!((failure.class, failure.by_server), (Class::Cancelled, false), "{failure}");
        let why = refusal(engine.send(child, cancel()).await);
        assert!(why.contains("terminated at the Temporal server") && why.contains("it hangs"), "{why}");
        assert_eq!(until(&journal, child, ended).await.status, Status::Cancelled);
        assert_eq!(lost(&journal, child), 1);
        last_word(&journal, child);
        engine.shut_down().await.expect("a clean end");
    });
}

#[test]
fn a_run_whose_time_was_over_at_the_server_or_that_was_deleted_there_ends_in_the_journal() {
    let Some(server) = TemporalServer::start(&[NAMESPACE]) else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let journal = MemoryJournal::new();
        let engine = open(&server, &journal, registry()).await;
        let by_hand = ["workflow", "start", "--workflow-id", "booking/by-hand", "--task-queue", "midwatch"];
        let more = ["--type", "booking", "--input", "\"room 12\"", "--execution-timeout", "3s"];
        server.tell(NAMESPACE, &[&by_hand[..], &more].concat());
        let deleted = start(&engine, "deleted").await;
        until(&journal, deleted, waits).await;
        server.tell(NAMESPACE, &["workflow", "delete", "--workflow-id", "booking/deleted", "--yes"]);
        let summary = until(&journal, deleted, ended).await;
        assert_eq!(summary.status, Status::Failed, "{summary:#?}");
        let RunResult::Failed { failure, .. } = last_word(&journal, deleted) else { panic!("it failed") };
        // Terminated on its way out, if it is asked about in time.
        let is_told = failure.message.starts_with("no longer known to the Temporal server at http://")
            || failure.message.starts_with("terminated at the Temporal server");
        assert!(is_told && failure.by_server, "{failure}");

        let all = journal.runs(&midwatch_journal::RunQuery::default()).expect("a list");
        let timed_out = all.iter().find(|run| run.run != deleted).expect("the other run").run;
        let summary = until(&journal, timed_out, ended).await;
        assert_eq!((summary.status, summary.class), (Status::Failed, Some(Class::Timeout)));
        let RunResult::Failed { failure, .. } = last_word(&journal, timed_out) else { panic!("it failed") };
        assert!(
            failure.message.starts_with("timed out at the Temporal server; no compensation"),
            "{failure}"
        );
        engine.shut_down().await.expect("a clean end");
    });
}

#[test]
fn an_end_that_no_worker_can_replay_any_more_is_written_as_the_server_has_it() {
    let Some(server) = TemporalServer::start(&[NAMESPACE]) else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let whole = MemoryJournal::new();
        let engine = open(&server, &whole, registry()).await;
        let run = start(&engine, "compensated").await;
        until(&whole, run, waits).await;
        engine.send(run, cancel()).await.expect("a message");
        let result = engine.result(run).await.expect("an end");
        until(&whole, run, ended).await;
        engine.shut_down().await.expect("a clean end");

        // The end and that of the undo are missing, and the code is gone.
        let events = whole.events(run, 0).expect("events");
        let journal = cut(run, &events, 2);
        let mut other = Registry::default();
        other.add_workflow(WorkflowDefinition::of(workflow_fn("other", |_: Context, (): ()| async {
            Ok(())
        })));
        let engine = open(&server, &journal, other).await;
        until(&journal, run, ended).await;
        assert_eq!(last_word(&journal, run), result);
        assert_eq!(lost(&journal, run), 1, "what came of the attempt is not known here");
        engine.shut_down().await.expect("a clean end");
    });
}

#[test]
fn a_run_of_another_server_stays_open_until_somebody_cancels_it() {
    let (Some(first), Some(second)) =
        (TemporalServer::start(&[NAMESPACE]), TemporalServer::start(&[NAMESPACE]))
    else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let journal = MemoryJournal::new();
        let engine = open(&first, &journal, registry()).await;
        let run = start(&engine, "moved").await;
        until(&journal, run, waits).await;
        engine.shut_down().await.expect("a clean end");

        let engine = open(&second, &journal, registry()).await;
        // A run of this server's own shows that the journal has been compared with it, twice and more.
        let own = start(&engine, "own").await;
        until(&journal, own, waits).await;
        terminate(&second, "booking/own");
        until(&journal, own, ended).await;
        let next = start(&engine, "next").await;
        until(&journal, next, waits).await;
        terminate(&second, "booking/next");
        until(&journal, next, ended).await;
        assert!(!ended(&journal.run(run).expect("a journal").expect("a run")));
        let why = refusal(engine.send(run, guest()).await);
        assert!(why.contains("is not known to the Temporal server at http://"), "{why}");

        engine.send(run, cancel()).await.expect("an order");
        let RunResult::Failed { failure, .. } = last_word(&journal, run) else { panic!("it failed") };
        for part in ["cancelled by ben: it rains", "does not know it", "left to do: undo of book"] {
            assert!(failure.message.contains(part), "{part} in {failure}");
        }
        engine.shut_down().await.expect("a clean end");
    });
}
