//! The gateway in the process of a worker: steps call models with any client, on a server as on the embedded engine, and
//! each call is booked once, in the attempt that made it.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use midwatch::{
    Backoff, Builder, Certainty, Class, Context, Ended, Failure, GatewayOptions, Midwatch, Money,
    RetryPolicy, RunError, StepContext, StepGateway,
};
use midwatch_books::{balance, billed, booked};
use midwatch_engine_conformance::server::{RestateServer, TemporalServer};
use midwatch_journal::sqlite::SqliteJournal;
use midwatch_journal::{Journal, RunQuery};
use midwatch_simulator::{Cue, Fault, Reply, Simulator};
use midwatch_workflow::EventKind;
use serde_json::json;

/// Asks with a client that knows of nothing but the URL.
#[midwatch::step(timeout = "20s")]
async fn asks_model(cx: StepContext, stream: bool) -> Result<String, Failure> {
    let url = format!("{}/chat/completions", cx.llm_base_url("openai")?);
    let body = json!({"model": "gpt-4o-mini", "max_tokens": 100, "stream": stream,
        "messages": [{"role": "user", "content": "How does the middle watch end?"}]});
    let asked = async {
        let answer = reqwest::Client::new().post(url).json(&body).send().await?;
        answer.error_for_status()?.text().await
    };
    asked.await.map_err(|error| cx.llm_failure(error))
}

#[midwatch::workflow]
async fn talks(cx: Context, _: ()) -> Result<String, Failure> {
    let policy = || RetryPolicy::default().attempts(3).backoff(Backoff::Immediate);
    cx.step(asks_model, &false).retry(policy()).await?;
    cx.step(asks_model, &true).retry(policy()).await
}

/// A provider that bills the first call and fails it; all else goes well.
async fn provider() -> Simulator {
    let cues = [Cue::anywhere().fault(Fault::ServerErrorAfter)];
    Simulator::builder().seed(7).script(cues).start().await.unwrap()
}

fn talking<K>(builder: Builder<K>, provider: &Simulator) -> Builder<K> {
    let options = GatewayOptions::default().upstream("openai", provider.openai_url());
    builder.workflow(talks).step(asks_model).gateway(options)
}

async fn books_each_call_once(midwatch: Midwatch, file: &Path, provider: &Simulator) {
    let run = midwatch.start(talks, ()).id("talk").await.unwrap();
    assert!(run.result().await.unwrap().contains("[DONE]"));
    let journal = SqliteJournal::open_reader(file).unwrap();
    let runs = journal.runs(&RunQuery::default()).unwrap();
    assert_eq!(runs.len(), 1, "the gateway has no runs of its own: {runs:?}");
    let events = journal.events(run.id(), 0).unwrap();
    let ends = events.iter().filter_map(|event| match &event.kind {
        EventKind::AttemptEnded { result: Ended::Failed(failure), .. } => Some(Some(failure.class)),
        EventKind::AttemptEnded { .. } => Some(None),
        _ => None,
    });
    assert_eq!(ends.collect::<Vec<_>>(), [Some(Class::Server), None, None]);

    assert!(provider.ledger().settled(Duration::from_secs(10)).await);
    let ours: HashMap<_, _> = booked(run.id(), &events);
    // At the prices of `gpt-4o-mini`.
    let bill = billed(&provider.ledger().entries(), |entry| {
        Money::from_picos(entry.billed.input * 150_000 + entry.billed.output * 600_000)
    });
    let balance = balance(&ours, &bill);
    assert_eq!(balance.disagreements, [""; 0]);
    assert_eq!((balance.booked.attempts, balance.booked), (3, balance.billed), "{balance:?}");
    is_cut_with_its_run(&midwatch, file, provider).await;
    midwatch.shut_down().await;
}

/// Cancels a run in the middle of a stream.
async fn is_cut_with_its_run(midwatch: &Midwatch, file: &Path, provider: &Simulator) {
    let long = Cue::anywhere().reply(Reply::text("bell ".repeat(100))).times(2);
    provider.script([Cue::anywhere(), long, Cue::anywhere().fault(Fault::SlowTokens { token_ms: 200 })]);
    let asked = provider.ledger().summary().requests;
    let run = midwatch.start(talks, ()).id("long talk").await.unwrap();
    while provider.ledger().summary().requests < asked + 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    run.cancel("it loops").await.unwrap();
    assert!(
        matches!(run.result().await, Err(RunError::Failed { failure, .. }) if failure.class == Class::Cancelled)
    );
    assert!(provider.ledger().settled(Duration::from_secs(15)).await);
    let entry = provider.ledger().entries().pop().unwrap();
    assert!(entry.client_gone, "the provider's connection is dropped: {entry:?}");
    let events = SqliteJournal::open_reader(file).unwrap().events(run.id(), 0).unwrap();
    let end = events.iter().rev().find_map(|event| match &event.kind {
        EventKind::AttemptEnded { result: Ended::Failed(failure), charges, .. } => {
            Some((failure.class, charges.clone()))
        }
        _ => None,
    });
    let (class, charges) = end.unwrap();
    let tokens: u64 = charges.iter().map(|charge| charge.usage.tokens()).sum();
    assert!(class == Class::Cancelled && charges[0].certainty != Certainty::Exact, "{charges:?}");
    assert!(tokens >= entry.billed.input, "{charges:?} {entry:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_temporal_a_call_through_the_gateway_is_booked_once_in_its_attempt_and_cut_with_it() {
    let folder = tempfile::tempdir().unwrap();
    if let Some(server) = TemporalServer::start(&[]) {
        let (file, provider) = (folder.path().join("temporal.db"), provider().await);
        let builder = Midwatch::temporal(&file).server(server.url());
        let midwatch = talking(builder, &provider).open().await.unwrap();
        books_each_call_once(midwatch, &file, &provider).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_restate_a_call_through_the_gateway_is_booked_once_in_its_attempt_and_cut_with_it() {
    let folder = tempfile::tempdir().unwrap();
    if let Some(server) = RestateServer::start() {
        let (file, provider) = (folder.path().join("restate.db"), provider().await);
        let builder = Midwatch::restate(&file).ingress(server.ingress()).admin(server.admin());
        let midwatch = talking(builder, &provider).open().await.unwrap();
        books_each_call_once(midwatch, &file, &provider).await;
    }
}
