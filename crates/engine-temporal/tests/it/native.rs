//! Temporal's own tools on midwatch's runs: started, signalled and cancelled by its command line.

use std::sync::Arc;

use midwatch_engine_conformance::server::TemporalServer;
use midwatch_engine_temporal::{Options, Temporal};
use midwatch_journal::memory::MemoryJournal;
use midwatch_journal::{Journal, RunQuery, RunSummary, Status};
use midwatch_workflow::{
    Context, Engine, Failure, Message, NewRun, Payload, Registry, RunResult, StepContext, StepDefinition,
    WorkflowDefinition, WorkflowId, step_fn, workflow_fn,
};

use crate::harness::TemporalHarness;

const NAMESPACE: &str = "native";

fn registry() -> Registry {
    let echo = |name| step_fn(name, |_: StepContext, text: String| async move { Ok::<_, Failure>(text) });
    let booking = workflow_fn("booking", move |cx: Context, room: String| async move {
        cx.step(echo("book"), &room).compensate(echo("undo"), |room| room.clone()).await?;
        cx.signal::<String>("guest").await
    });
    let floor = workflow_fn("floor", move |cx: Context, room: String| async move {
        let booking =
            workflow_fn("booking", |_: Context, _: String| async { Ok::<_, Failure>(String::new()) });
        cx.child(booking, &room).id(WorkflowId::new("room-9").expect("an id")).await
    });
    let mut registry = Registry::default();
    registry.add_workflow(WorkflowDefinition::of(booking));
    registry.add_workflow(WorkflowDefinition::of(floor));
    registry.add_step(StepDefinition::of(echo("book")));
    registry.add_step(StepDefinition::of(echo("undo")));
    registry
}

/// The only run of the journal, once it is so.
async fn until(journal: &MemoryJournal, is_so: impl Fn(&RunSummary) -> bool) -> RunSummary {
    for _ in 0..1500 {
        let runs = journal.runs(&RunQuery::default()).expect("a list");
        if let Some(run) = runs.into_iter().find(&is_so) {
            return run;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("waited in vain; there is {:#?}", journal.runs(&RunQuery::default()));
}

fn start(server: &TemporalServer, id: &str) {
    let queue = ["--task-queue", "midwatch", "--type", "booking", "--input", "\"room 12\""];
    server.tell(NAMESPACE, &[&["workflow", "start", "--workflow-id", id], &queue[..]].concat());
}

#[test]
fn a_run_may_be_started_signalled_and_cancelled_with_temporals_own_tools() {
    let Some(server) = TemporalServer::start(&[NAMESPACE]) else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let options = TemporalHarness::options(&server.url(), NAMESPACE, "native".to_owned());
        for (id, act, status) in [
            ("signalled", &["signal", "--name", "guest", "--input", "\"ann\""][..], Status::Completed),
            ("cancelled", &["cancel"], Status::Compensated),
        ] {
            let journal = MemoryJournal::new();
            let engine = Temporal::open(Arc::new(journal.clone()), registry(), options.clone()).await;
            let engine = engine.expect("an engine");
            start(&server, id);
            until(&journal, |run| run.status == Status::Waiting && run.workflow_id.as_str() == id).await;
            let (verb, rest) = act.split_first().expect("a verb");
            server.tell(NAMESPACE, &[&["workflow", verb, "--workflow-id", id], rest].concat());
            let ended = until(&journal, |run| run.ended_at.is_some()).await;
            assert_eq!(ended.status, status, "{ended:#?}");
            engine.shut_down().await.expect("a clean end");
        }
        let shown =
            server.tell(NAMESPACE, &["workflow", "describe", "--workflow-id", "cancelled", "-o", "json"]);
        assert!(shown.to_lowercase().contains("workflow_execution_status_canceled"), "{shown}");
        assert!(shown.contains("midwatch_status") && shown.contains("midwatch_cost"), "{shown}");
    });
}

#[test]
fn a_run_that_was_started_by_hand_under_any_id_hears_midwatchs_own_messages() {
    let Some(server) = TemporalServer::start(&[NAMESPACE]) else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let options = TemporalHarness::options(&server.url(), NAMESPACE, "native".to_owned());
        for id in ["by-hand", "booking/by-hand"] {
            let journal = MemoryJournal::new();
            let engine = Temporal::open(Arc::new(journal.clone()), registry(), options.clone()).await;
            let engine = engine.expect("an engine");
            start(&server, id);
            let run = until(&journal, |run| run.status == Status::Waiting).await.run;
            let payload = Payload::of(&"ann").expect("JSON");
            let guest = Message::Signal { name: "guest".to_owned(), payload, id: None };
            engine.send(run, guest).await.expect("a signal");
            let result = engine.result(run).await.expect("an end");
            assert!(
                matches!(&result, RunResult::Completed(guest) if guest.as_str() == "\"ann\""),
                "{result:?}"
            );
            engine.shut_down().await.expect("a clean end");
        }
    });
}

#[test]
fn a_child_shows_in_temporals_own_tools_what_its_parent_shows() {
    let Some(server) = TemporalServer::start(&[NAMESPACE]) else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let journal = MemoryJournal::new();
        let options = TemporalHarness::options(&server.url(), NAMESPACE, "native".to_owned());
        let options = Options { history_max: Some(50), ..options };
        let engine = Temporal::open(Arc::new(journal.clone()), registry(), options).await;
        let engine = engine.expect("an engine");
        let mut new = NewRun::new("floor", Payload::of(&"room 9").expect("JSON"));
        new.workflow_id = WorkflowId::new("floor-1").ok();
        let parent = engine.start(new).await.expect("a run").run;
        let waits = |run: &RunSummary| run.workflow == "booking" && run.status == Status::Waiting;
        let child = until(&journal, waits).await.run;
        for (run, workflow_id, temporal) in
            [(parent, "floor-1", "floor/floor-1"), (child, "room-9", "booking/room-9")]
        {
            let shown =
                server.tell(NAMESPACE, &["workflow", "describe", "--workflow-id", temporal, "-o", "json"]);
            let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
            let memo = &shown["workflowExecutionInfo"]["memo"];
            for (field, value) in [
                ("midwatch_run", run.to_string()),
                ("midwatch_workflow_id", workflow_id.to_owned()),
                ("midwatch_status", "waiting".to_owned()),
            ] {
                assert_eq!(
                    memo["fields"][field].as_str().or(memo[field].as_str()),
                    Some(value.as_str()),
                    "{shown:#}"
                );
            }
        }
        engine.shut_down().await.expect("a clean end");
    });
}

#[test]
fn search_attributes_that_are_registered_tell_where_a_run_stands() {
    let Some(server) = TemporalServer::start(&[]) else { return };
    for (name, kind) in
        [("midwatch_workflow_id", "Keyword"), ("midwatch_status", "Keyword"), ("midwatch_cost", "Double")]
    {
        server.tell("default", &["operator", "search-attribute", "create", "--name", name, "--type", kind]);
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let journal = MemoryJournal::new();
        let options = TemporalHarness::options(&server.url(), "default", "native".to_owned());
        let engine = Temporal::open(Arc::new(journal.clone()), registry(), options).await;
        let engine = engine.expect("an engine");
        let mut new = NewRun::new("booking", Payload::of(&"room 12").expect("JSON"));
        new.workflow_id = WorkflowId::new("booking-7").ok();
        let run = engine.start(new).await.expect("a run").run;
        until(&journal, |run| run.status == Status::Waiting).await;
        let find = |status: &str| {
            let query = format!("midwatch_workflow_id = 'booking-7' AND midwatch_status = '{status}'");
            server.tell("default", &["workflow", "list", "--query", &query, "-o", "json"])
        };
        listed(|| find("waiting")).await;
        let reason = "it rains".to_owned();
        let cancel = Message::Cancel { reason, by: "ann".to_owned() };
        engine.send(run, cancel).await.expect("a message");
        engine.result(run).await.expect("an end");
        listed(|| find("compensated")).await;
        let id = ["workflow", "describe", "--workflow-id", "booking/booking-7", "-o", "json"];
        let shown = server.tell("default", &id);
        assert!(shown.contains("midwatch_cost"), "{shown}");
        engine.shut_down().await.expect("a clean end");
    });
}

/// Waits until a list names the run: the server indexes a moment later.
async fn listed(list: impl Fn() -> String) {
    for _ in 0..300 {
        if list().contains("booking/booking-7") {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("waited in vain; the list is {}", list());
}
