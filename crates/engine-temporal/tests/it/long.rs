//! Runs whose history grows long: they go on in new executions, and nobody notices.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join;
use midwatch_engine_conformance::check_laws;
use midwatch_engine_conformance::server::TemporalServer;
use midwatch_engine_temporal::{Options, Temporal};
use midwatch_journal::memory::MemoryJournal;
use midwatch_journal::{Journal, Status};
use midwatch_workflow::{
    Class, Context, Engine, Event, EventKind, Failure, Message, NewRun, Payload, Registry, RunId, RunResult,
    StepContext, StepDefinition, WorkflowDefinition, WorkflowId, step_fn, workflow_fn,
};

use crate::harness::TemporalHarness;

const NAMESPACE: &str = "long";

/// How often each idempotency key was seen.
type Keys = Arc<Mutex<BTreeMap<String, u32>>>;

fn registry(keys: &Keys) -> Registry {
    let add = |name: &'static str, keys: &Keys| {
        let keys = Arc::clone(keys);
        step_fn(name, move |cx: StepContext, n: u32| {
            *keys.lock().expect("keys").entry(cx.idempotency_key().to_owned()).or_default() += 1;
            async move { Ok::<_, Failure>(n + 1) }
        })
    };
    let known = Arc::clone(keys);
    let workflow = workflow_fn("long", move |cx: Context, n: u32| {
        let keys = Arc::clone(&known);
        async move {
            let step = || add("add", &keys);
            let mut sum = cx.step(step(), &0).compensate(add("undo", &keys), |n| n).await?;
            for _ in 0..n {
                sum = cx.step(step(), &sum).await?;
            }
            // Two branches that are never both between two attempts.
            let branch = |n| {
                let (cx, step) = (cx.clone(), step());
                async move {
                    let mut sum = 0;
                    for _ in 0..n {
                        sum = cx.step(step.clone(), &sum).await?;
                    }
                    Ok::<u32, Failure>(sum)
                }
            };
            let (left, right) = join(branch(2 * n), branch(2 * n)).await;
            sum += left? + right?;
            let more: u32 = cx.signal("more").await?;
            for _ in 0..n {
                cx.sleep(Duration::from_millis(1)).await?;
            }
            Err::<u32, _>(Failure::new(Class::InvalidRequest, format!("in all {}", sum + more)))
        }
    });
    let mut registry = Registry::default();
    registry.add_workflow(WorkflowDefinition::of(workflow));
    registry.add_step(StepDefinition::of(add("add", keys)));
    registry.add_step(StepDefinition::of(add("undo", keys)));
    registry
}

fn options(server: &TemporalServer, worker: &str) -> Options {
    let options = TemporalHarness::options(&server.url(), NAMESPACE, worker.to_owned());
    // Compared all the while: a run that leaves its history is never taken for one that was ended there.
    Options { history_max: Some(50), compare_every: Duration::from_millis(50), ..options }
}

async fn until(journal: &MemoryJournal, run: RunId, is_so: impl Fn(&[Event]) -> bool) -> Vec<Event> {
    let until = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let events = journal.events(run, 0).expect("events");
        if is_so(&events) {
            return events;
        }
        assert!(tokio::time::Instant::now() < until, "waited in vain; there is {events:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn a_run_whose_history_grows_goes_on_in_new_executions_unnoticed() {
    const N: u32 = 20;
    let Some(server) = TemporalServer::start(&[NAMESPACE]) else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let (keys, first) = (Keys::default(), MemoryJournal::new());
        let engine = Temporal::open(Arc::new(first.clone()), registry(&keys), options(&server, "first"));
        let engine = engine.await.expect("an engine");
        let mut new = NewRun::new("long", Payload::of(&N).expect("JSON"));
        new.workflow_id = WorkflowId::new("long-1").ok();
        let run = engine.start(new).await.expect("a run").run;
        let is_far =
            |events: &[Event]| events.iter().any(|event| event.kind.op().is_some_and(|op| op.0 > N + 30));
        until(&first, run, is_far).await;
        drop(engine);

        // Another worker goes on, with a journal that knows nothing of the run.
        let second = MemoryJournal::new();
        let engine = Temporal::open(Arc::new(second.clone()), registry(&keys), options(&server, "second"));
        let engine = engine.await.expect("an engine");
        let waits = |event: &Event| matches!(event.kind, EventKind::SignalAwaited { .. });
        until(&second, run, |events| events.iter().any(waits)).await;
        let payload = Payload::of(&1000).expect("JSON");
        let signal = Message::Signal { name: "more".to_owned(), payload, id: None };
        engine.send(run, signal).await.expect("a signal");
        let result = engine.result(run).await.expect("an end");
        let is_so = matches!(&result, RunResult::Failed { failure, compensated: 1, .. }
            if failure.message == format!("in all {}", 5 * N + 1 + 1000));
        assert!(is_so, "{result:?}");

        let events = second.events(run, 0).expect("events");
        check_laws(&events).expect("the laws of a journal");
        let summary = second.run(run).expect("a journal").expect("a run");
        assert_eq!((summary.status, summary.steps), (Status::Compensated, u64::from(5 * N + 2)));
        // Keys go on counting, and only what was under way when the first worker was lost was done again.
        let keys = keys.lock().expect("keys").clone();
        let expected: Vec<String> = (1..=5 * N + 1)
            .map(|n| if n == 1 { format!("long-1:{run}:add") } else { format!("long-1:{run}:add#{n}") })
            .chain([format!("long-1:{run}:undo")])
            .collect();
        assert!(expected.iter().all(|key| keys.contains_key(key)), "{keys:#?}");
        assert_eq!(keys.len(), expected.len());
        assert!(keys.values().filter(|times| **times > 1).count() <= 2, "{keys:#?}");

        let all = server.tell(NAMESPACE, &["workflow", "list", "-o", "json"]);
        let executions = all.matches("WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW").count();
        assert!(executions >= 5, "{executions} executions: {all}");
        let last =
            server.tell(NAMESPACE, &["workflow", "describe", "--workflow-id", "long/long-1", "-o", "json"]);
        assert!(last.contains("midwatch_run") && last.contains("midwatch_workflow_id"), "{last}");
        engine.shut_down().await.expect("a clean end");
    });
}

#[test]
fn a_run_leaves_its_history_when_the_server_suggests_it() {
    const N: u32 = 20;
    let suggests = ["limit.historyCount.suggestContinueAsNew=60"];
    let Some(server) = TemporalServer::start_with(&[NAMESPACE], &suggests) else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let (keys, journal) = (Keys::default(), MemoryJournal::new());
        let options = Options { history_max: None, ..options(&server, "only") };
        let engine = Temporal::open(Arc::new(journal.clone()), registry(&keys), options);
        let engine = engine.await.expect("an engine");
        let mut new = NewRun::new("long", Payload::of(&N).expect("JSON"));
        new.workflow_id = WorkflowId::new("long-2").ok();
        let run = engine.start(new).await.expect("a run").run;
        let payload = Payload::of(&1000).expect("JSON");
        let signal = Message::Signal { name: "more".to_owned(), payload, id: None };
        engine.send(run, signal).await.expect("a signal");
        let result = engine.result(run).await.expect("an end");
        let is_so = matches!(&result, RunResult::Failed { failure, compensated: 1, .. }
            if failure.message == format!("in all {}", 5 * N + 1 + 1000));
        assert!(is_so, "{result:?}");
        check_laws(&journal.events(run, 0).expect("events")).expect("the laws of a journal");
        assert!(keys.lock().expect("keys").values().all(|times| *times == 1), "nothing is done twice");
        let all = server.tell(NAMESPACE, &["workflow", "list", "-o", "json"]);
        let executions = all.matches("WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW").count();
        assert!(executions >= 4, "{executions} executions: {all}");
        engine.shut_down().await.expect("a clean end");
    });
}
