//! Runs that the server ended by itself, or whose end the journal lost: it hears of it, and says so.

use std::sync::Arc;
use std::time::Duration;

use midwatch_engine_conformance::check_laws;
use midwatch_engine_conformance::server::RestateServer;
use midwatch_engine_restate::{Options, Restate};
use midwatch_journal::memory::MemoryJournal;
use midwatch_journal::{Append, Fold, Journal, RunSummary, Status};
use midwatch_workflow::{
    Class, Context, Ended, Engine, EngineError, EventKind, Failure, Message, NewRun, Payload, Registry,
    RunId, RunResult, StepContext, StepDefinition, WorkflowDefinition, WorkflowId, step_fn, workflow_fn,
};

fn options(server: &RestateServer) -> Options {
    Options {
        ingress: server.ingress(),
        admin: server.admin(),
        linger: Duration::from_millis(50),
        // So often that any run that is open would be found closed, were that ever possible.
        compare_every: Duration::from_millis(200),
        ..Options::new("worker")
    }
}

/// A room is booked, a guest awaited, and the door held open for as long as the run lives.
fn registry() -> Registry {
    let echo = |name| step_fn(name, |_: StepContext, text: String| async move { Ok::<_, Failure>(text) });
    let hold = || step_fn("hold", |_: StepContext, _: String| std::future::pending::<Result<(), Failure>>());
    let booking = workflow_fn("booking", move |cx: Context, room: String| async move {
        cx.step(echo("book"), &room).compensate(echo("undo"), |room| room.clone()).await?;
        let guest: String = cx.signal("guest").await?;
        if guest == "nobody" {
            return Err(Failure::new(Class::InvalidRequest, "nobody came"));
        }
        if guest != "ann" {
            return Ok(());
        }
        cx.step(hold(), &guest).await
    });
    let mut registry = Registry::default();
    registry.add_workflow(WorkflowDefinition::of(booking));
    for name in ["book", "undo"] {
        registry.add_step(StepDefinition::of(echo(name)));
    }
    registry.add_step(StepDefinition::of(hold()));
    registry
}

async fn open(server: &RestateServer, journal: &MemoryJournal) -> Restate {
    Restate::open(Arc::new(journal.clone()), registry(), options(server)).await.expect("an engine")
}

async fn start(engine: &Restate, id: &str) -> RunId {
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

fn guest(name: &str) -> Message {
    Message::Signal { name: "guest".to_owned(), payload: Payload::of(&name).expect("JSON"), id: None }
}

fn cancel() -> Message {
    Message::Cancel { reason: "it rains".to_owned(), by: "ben".to_owned() }
}

async fn kill(server: &RestateServer, engine: &Restate, run: RunId) {
    let invocation = engine.invocation(run).await.expect("ask").expect("it is there");
    server.patch(&format!("/invocations/{}/kill", invocation.id));
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

fn failure(result: &RunResult) -> &Failure {
    match result {
        RunResult::Failed { failure, .. } => failure,
        RunResult::Completed(_) => panic!("it completed"),
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

#[tokio::test]
async fn a_run_that_was_killed_at_the_server_ends_in_the_journal_and_says_what_is_left_to_undo() {
    let Some(server) = RestateServer::start() else { return };
    let journal = MemoryJournal::new();
    let engine = open(&server, &journal).await;
    let (at_work, waiting, alive) =
        (start(&engine, "at-work").await, start(&engine, "waiting").await, start(&engine, "alive").await);
    for run in [at_work, waiting, alive] {
        until(&journal, run, waits).await;
    }
    engine.send(at_work, guest("ann")).await.expect("a signal");
    until(&journal, at_work, |run| run.doing == "hold").await;
    for run in [at_work, waiting] {
        kill(&server, &engine, run).await;
        let result = engine.result(run).await.expect("an end");
        let summary = until(&journal, run, ended).await;
        assert_eq!((summary.status, summary.compensated), (Status::Cancelled, 0), "{summary:#?}");
        assert_eq!(result, last_word(&journal, run));
        let failure = failure(&result);
        assert!(failure.by_server && failure.class == Class::Cancelled, "{failure:?}");
        let expected = "killed at the Restate server; no compensation ran, left to do: undo of book";
        assert_eq!(failure.message, expected);
        let why = refusal(engine.send(run, cancel()).await);
        assert!(why.contains("has ended"), "{why}");
    }
    assert_eq!((lost(&journal, at_work), lost(&journal, waiting)), (1, 0));

    // One that is killed while no process is there is found by the next one, which adds nothing to the others.
    let told = |run| journal.events(run, 0).expect("events");
    let before = (told(at_work), told(waiting));
    let invocation = engine.invocation(alive).await.expect("ask").expect("it is there");
    engine.shut_down().await;
    drop(engine);
    server.patch(&format!("/invocations/{}/kill", invocation.id));
    let engine = open(&server, &journal).await;
    until(&journal, alive, ended).await;
    assert!(failure(&last_word(&journal, alive)).by_server);
    assert_eq!((told(at_work), told(waiting)), before);
    engine.shut_down().await;
}

#[tokio::test]
async fn a_run_that_was_killed_and_purged_ends_in_the_journal_too() {
    let Some(server) = RestateServer::start() else { return };
    let journal = MemoryJournal::new();
    let engine = open(&server, &journal).await;
    let other = start(&engine, "other").await;
    let run = start(&engine, "purged").await;
    for run in [other, run] {
        until(&journal, run, waits).await;
    }
    let invocation = engine.invocation(run).await.expect("ask").expect("it is there");
    engine.shut_down().await;
    drop(engine);
    server.patch(&format!("/invocations/{}/kill", invocation.id));
    server.patch(&format!("/invocations/{}/purge", invocation.id));

    let engine = open(&server, &journal).await;
    until(&journal, run, ended).await;
    let result = last_word(&journal, run);
    assert!(
        failure(&result).message.starts_with("no longer known to the Restate server at http://"),
        "{result:?}"
    );
    assert_eq!(engine.result(run).await.expect("an end"), result);
    assert!(waits(&journal.run(other).expect("a journal").expect("a run")), "the other one is as it was");
    engine.shut_down().await;
}

#[tokio::test]
async fn an_end_that_the_journal_lost_is_written_as_the_server_has_it() {
    let Some(server) = RestateServer::start() else { return };
    let whole = MemoryJournal::new();
    let engine = open(&server, &whole).await;
    let mut results = Vec::new();
    for (id, name) in [("completed", "ben"), ("failed", "nobody")] {
        let run = start(&engine, id).await;
        until(&whole, run, waits).await;
        engine.send(run, guest(name)).await.expect("a signal");
        results.push((run, engine.result(run).await.expect("an end")));
    }
    engine.shut_down().await;
    drop(engine);

    // As after a power failure that took the last events with it.
    let journal = MemoryJournal::new();
    for (run, _) in &results {
        let events = whole.events(*run, 0).expect("events");
        let kept = &events[..events.len() - 2];
        let summary = Fold::of(kept).expect("a run").summary;
        let append = Append::new(*run, 1, kept, Some(Box::new(summary))).expect("JSON");
        journal.append(append, Box::new(|written| assert!(written.is_ok(), "{written:?}")));
    }
    let engine = open(&server, &journal).await;
    for (run, result) in &results {
        until(&journal, *run, ended).await;
        assert_eq!(&last_word(&journal, *run), result);
        assert_eq!(&engine.result(*run).await.expect("an end"), result);
    }
    engine.shut_down().await;
}

#[tokio::test]
async fn a_run_of_another_server_stays_open_until_somebody_cancels_it() {
    let (Some(first), Some(second)) = (RestateServer::start(), RestateServer::start()) else { return };
    let journal = MemoryJournal::new();
    let engine = open(&first, &journal).await;
    let run = start(&engine, "moved").await;
    until(&journal, run, waits).await;
    engine.shut_down().await;
    drop(engine);

    let engine = open(&second, &journal).await;
    // Runs of this server's own show that the journal has been compared with it, twice and more.
    for id in ["own", "next", "last"] {
        let own = start(&engine, id).await;
        until(&journal, own, waits).await;
        while engine.runs_in_memory() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        kill(&second, &engine, own).await;
        until(&journal, own, ended).await;
    }
    assert!(!ended(&journal.run(run).expect("a journal").expect("a run")));
    let why = refusal(engine.send(run, guest("ann")).await);
    assert!(why.contains("is not known to the Restate server at http://"), "{why}");

    engine.send(run, cancel()).await.expect("an order");
    let result = last_word(&journal, run);
    let failure = failure(&result);
    for part in ["cancelled by ben: it rains", "does not know it", "left to do: undo of book"] {
        assert!(failure.message.contains(part), "{part} in {failure}");
    }
    engine.shut_down().await;
}
