//! Ends that a worker took with it: the server has them, the journal misses them, and they are brought in.

use std::sync::Arc;

use midwatch_engine_conformance::server::TemporalServer;
use midwatch_engine_temporal::Temporal;
use midwatch_journal::memory::MemoryJournal;
use midwatch_journal::{Append, Fold, Journal};
use midwatch_workflow::{
    Context, Engine, Event, EventKind, Failure, NewRun, Payload, Registry, RunId, StepContext,
    StepDefinition, WorkflowDefinition, step_fn, workflow_fn,
};

use crate::harness::TemporalHarness;

const NAMESPACE: &str = "ends";

fn registry() -> Registry {
    let double = || step_fn("double", |_: StepContext, n: u32| async move { Ok::<_, Failure>(n * 2) });
    let workflow = workflow_fn("doubling", move |cx: Context, n: u32| async move {
        let n = cx.step(double(), &n).await?;
        cx.step(double(), &n).await
    });
    let mut registry = Registry::default();
    registry.add_workflow(WorkflowDefinition::of(workflow));
    registry.add_step(StepDefinition::of(double()));
    registry
}

async fn open(server: &TemporalServer, worker: &str, journal: &MemoryJournal) -> Temporal {
    let options = TemporalHarness::options(&server.url(), NAMESPACE, worker.to_owned());
    Temporal::open(Arc::new(journal.clone()), registry(), options).await.expect("an engine")
}

/// A journal whose process was killed before it wrote the last events.
pub(crate) fn cut(run: RunId, events: &[Event], missing: usize) -> MemoryJournal {
    let journal = MemoryJournal::new();
    let kept = &events[..events.len() - missing];
    let summary = Fold::of(kept).expect("a run").summary;
    let append = Append::new(run, 1, kept, Some(Box::new(summary))).expect("JSON");
    journal.append(append, Box::new(|written| assert!(written.is_ok(), "{written:?}")));
    journal
}

fn of_history(journal: &MemoryJournal, run: RunId) -> Vec<Event> {
    let mut events = journal.events(run, 0).expect("events");
    events.retain(|event| !matches!(event.kind, EventKind::Recovered { .. }));
    events
}

#[test]
fn an_end_that_a_worker_took_with_it_is_brought_into_the_journal_once() {
    let Some(server) = TemporalServer::start(&[NAMESPACE]) else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let whole = MemoryJournal::new();
        let engine = open(&server, "first", &whole).await;
        let new = NewRun::new("doubling", Payload::of(&21).expect("JSON"));
        let run = engine.start(new).await.expect("a run").run;
        let result = engine.result(run).await.expect("an end");
        engine.shut_down().await.expect("a clean end");
        let events = of_history(&whole, run);
        assert!(matches!(events.last(), Some(Event { kind: EventKind::RunEnded { .. }, .. })), "{events:#?}");

        // Whoever asks for the run makes the journal whole.
        let journal = cut(run, &events, 1);
        let engine = open(&server, "second", &journal).await;
        assert_eq!(engine.result(run).await.expect("an end"), result);
        assert_eq!(of_history(&journal, run), events);
        // Asking again writes nothing more.
        let appends = journal.appends();
        assert_eq!(engine.result(run).await.expect("an end"), result);
        assert_eq!(journal.appends(), appends);
        engine.shut_down().await.expect("a clean end");

        // And a worker that starts does so by itself.
        let journal = cut(run, &events, 3);
        let engine = open(&server, "third", &journal).await;
        let until = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
        while of_history(&journal, run) != events {
            let there = journal.events(run, 0).expect("events");
            assert!(tokio::time::Instant::now() < until, "waited in vain; there is {there:#?}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        midwatch_engine_conformance::check_laws(&journal.events(run, 0).expect("events")).expect("the laws");
        engine.shut_down().await.expect("a clean end");
    });
}
