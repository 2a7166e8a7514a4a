//! The gateway in the engine's process: steps call with a client that knows nothing of midwatch, and the books are the
//! provider's, to the token.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::StreamExt as _;
use midwatch::{
    Backoff, Budget, Class, Context, Failure, GatewayOptions, Midwatch, Money, OnReached, Prices,
    RetryPolicy, RunError, RunHandle, StepContext, StepGateway, step, workflow,
};
use midwatch_books::{Balance, balance, billed, booked, usage};
use midwatch_journal::sqlite::SqliteJournal;
use midwatch_journal::{Journal, RunQuery};
use midwatch_providers::Report;
use midwatch_simulator::{Cue, Entry, Fault, RetryAfter, Simulator};
use midwatch_workflow::{Event, EventKind, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;

mod cut;

#[allow(dead_code, unreachable_pub)]
#[path = "../../../../examples/any_client.rs"]
mod any_client;

fn body(stream: bool) -> Value {
    json!({"model": "gpt-4o-mini", "max_tokens": 200, "stream": stream,
        "messages": [{"role": "user", "content": "How does the middle watch end?"}]})
}

/// A client as any other: it knows of nothing but the URL.
async fn ask(url: &str, stream: bool) -> Result<String, reqwest::Error> {
    let request = reqwest::Client::new().post(format!("{url}/chat/completions")).json(&body(stream));
    request.send().await?.error_for_status()?.text().await
}

#[step(timeout = "20s")]
async fn asks_whole(cx: StepContext, _: ()) -> Result<String, Failure> {
    ask(&cx.llm_base_url("openai")?, false).await.map_err(|error| cx.llm_failure(error))
}

#[step(timeout = "20s")]
async fn asks_streamed(cx: StepContext, _: ()) -> Result<String, Failure> {
    let stream = ask(&cx.llm_base_url("openai")?, true).await.map_err(|error| cx.llm_failure(error))?;
    match stream.contains("[DONE]") {
        true => Ok(stream),
        // As clients do that read events.
        false => Err(cx.llm_failure(std::io::Error::other("the stream ended before the answer"))),
    }
}

/// Five at once, one of them by Anthropic's client, which adds `/v1` itself.
#[step(timeout = "20s")]
async fn asks_five(cx: StepContext, _: ()) -> Result<String, Failure> {
    let url = cx.llm_base_url("openai")?;
    let claude = format!("{}/v1/messages", cx.llm_base_url("anthropic")?);
    let body = json!({"model": "claude-sonnet-4-5", "max_tokens": 50, "messages": [{"role": "user", "content": "hello"}]});
    let message = async {
        let request = reqwest::Client::new().post(claude).json(&body);
        request.send().await?.error_for_status()?.text().await
    };
    let asked =
        tokio::try_join!(ask(&url, false), ask(&url, true), ask(&url, false), ask(&url, true), message);
    let (one, ..) = asked.map_err(|error| cx.llm_failure(error))?;
    Ok(one)
}

/// Has enough after the first words, as the step's code sees fit.
#[step(timeout = "20s")]
async fn leaves(cx: StepContext, _: ()) -> Result<String, Failure> {
    let url = cx.llm_base_url("openai")?;
    let request = reqwest::Client::new().post(format!("{url}/chat/completions")).json(&body(true));
    let answer = request.send().await.map_err(|error| cx.llm_failure(error))?;
    let mut chunks = answer.bytes_stream();
    chunks.next().await.unwrap().unwrap();
    Ok("enough".to_owned())
}

/// The URL of the last attempt at `is_cut`.
static CUT: Mutex<String> = Mutex::new(String::new());

#[step(timeout = "700ms", attempts = 1)]
async fn is_cut(cx: StepContext, _: ()) -> Result<String, Failure> {
    let url = cx.llm_base_url("openai")?;
    CUT.lock().unwrap().clone_from(&url);
    ask(&url, true).await.map_err(|error| cx.llm_failure(error))
}

#[step]
async fn names_nobody(cx: StepContext, _: ()) -> Result<String, Failure> {
    cx.llm_base_url("nobody")
}

#[workflow]
async fn asks(cx: Context, how: String) -> Result<String, Failure> {
    let policy = || RetryPolicy::default().attempts(6).backoff(Backoff::Immediate);
    match how.as_str() {
        "whole" => cx.step(asks_whole, &()).retry(policy()).await,
        "streamed" => cx.step(asks_streamed, &()).retry(policy()).await,
        "five" => cx.step(asks_five, &()).retry(policy()).await,
        "leaves" => cx.step(leaves, &()).await,
        "cut" => cx.step(is_cut, &()).await,
        "at length" => cx.step(asks_at_length, &()).await,
        _ => cx.step(names_nobody, &()).await,
    }
}

struct Stage {
    simulator: Simulator,
    folder: TempDir,
    midwatch: Midwatch,
}

/// An engine with a gateway, before a provider that plays this.
async fn stage(cues: impl IntoIterator<Item = Cue>) -> Stage {
    let simulator = Simulator::builder().seed(7).script(cues).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let options = GatewayOptions::default()
        .upstream("openai", simulator.openai_url())
        .anthropic("anthropic", simulator.openai_url())
        .stall_limit(Duration::from_millis(300));
    let builder = Midwatch::embedded(folder.path().join("midwatch.db")).workflow(asks).gateway(options);
    let builder = builder.step(asks_whole).step(asks_streamed).step(asks_five).step(leaves).step(is_cut);
    let midwatch = builder.step(names_nobody).step(asks_at_length).open().await.unwrap();
    Stage { simulator, folder, midwatch }
}

impl Stage {
    async fn start(&self, how: &str) -> RunHandle<String> {
        self.midwatch.start(asks, how.to_owned()).await.unwrap()
    }

    fn events(&self) -> Vec<(midwatch::RunId, Vec<Event>)> {
        let journal = SqliteJournal::open_reader(self.folder.path().join("midwatch.db")).unwrap();
        let runs = journal.runs(&RunQuery::default()).unwrap();
        runs.iter().map(|run| (run.run, journal.events(run.run, 0).unwrap())).collect()
    }

    /// Both sides of the books, beside each other; they agree.
    async fn books(&self) -> Balance {
        assert!(self.simulator.ledger().settled(Duration::from_secs(10)).await);
        let mut ours = HashMap::new();
        for (run, events) in self.events() {
            ours.extend(booked(run, &events));
        }
        let (prices, now) = (Prices::bundled(), Timestamp::from_micros(1_790_000_000_000_000));
        let price = |entry: &Entry| {
            let report = Report { usage: usage(&entry.billed), ..Report::default() };
            let provider = if entry.model.starts_with("claude") { "anthropic" } else { "openai" };
            let quote = prices.quote(&format!("{provider}:{}", entry.model), &report, now);
            quote.map_or(Money::ZERO, |quote| quote.cost)
        };
        let balance = balance(&ours, &billed(&self.simulator.ledger().entries(), price));
        assert!(balance.disagreements.is_empty(), "{:?}", balance.disagreements);
        balance
    }
}

#[tokio::test]
async fn failed_attempts_and_streams_that_broke_are_in_the_books_of_the_run_that_made_them() {
    let after = RetryAfter::Seconds(0.1);
    let stage = stage([
        Cue::anywhere().fault(Fault::RateLimited { retry_after: after }),
        Cue::anywhere().fault(Fault::ServerErrorAfter),
        Cue::anywhere().fault(Fault::CutStream { after_tokens: 5 }),
        Cue::anywhere().fault(Fault::StallStream { after_tokens: 3, ms: 5_000 }),
        Cue::anywhere().fault(Fault::ErrorEvent { after_tokens: 4 }),
    ])
    .await;
    let streamed = stage.start("streamed").await;
    assert!(streamed.result().await.unwrap().contains("[DONE]"));
    let balance = stage.books().await;
    assert!(balance.estimated.attempts == 3 && balance.unknown.attempts == 0, "{balance:?}");
    let (_, events) = &stage.events()[0];
    let failures = events.iter().filter_map(|event| match &event.kind {
        EventKind::AttemptEnded { result: midwatch::Ended::Failed(failure), .. } => Some(failure.class),
        _ => None,
    });
    let classes: Vec<Class> = failures.collect();
    let expected = [Class::RateLimited, Class::Server, Class::Connection, Class::Stalled, Class::Server];
    assert_eq!(classes, expected);
    assert_eq!(stage.events().len(), 1, "nothing is booked a second time, in a run of the gateway's own");
    stage.midwatch.shut_down().await;
}

#[tokio::test]
async fn whole_answers_streams_and_calls_at_once_are_booked_exactly() {
    let stage = stage([]).await;
    for how in ["whole", "streamed", "five"] {
        stage.start(how).await.result().await.unwrap();
    }
    let balance = stage.books().await;
    assert_eq!((balance.booked, balance.estimated.attempts), (balance.billed, 0));
    let entries = stage.simulator.ledger().entries();
    assert_eq!(entries.len(), 7);
    assert!(entries.iter().all(|entry| entry.key.as_deref().is_some_and(|key| key.contains(":asks_"))));
    stage.midwatch.shut_down().await;
}

#[tokio::test]
async fn a_step_that_leaves_or_is_cut_half_way_has_booked_what_it_had_seen() {
    let stage = stage([Cue::anywhere().fault(Fault::SlowTokens { token_ms: 40 }).always()]).await;
    stage.start("leaves").await.result().await.unwrap();
    let Err(RunError::Failed { failure, .. }) = stage.start("cut").await.result().await else {
        panic!("it takes longer than it may")
    };
    assert_eq!(failure.class, Class::Timeout);
    let balance = stage.books().await;
    assert_eq!((balance.estimated.attempts, balance.unknown.attempts), (2, 0), "{balance:?}");
    assert!(balance.estimated.tokens > 0 && balance.estimated.tokens <= balance.billed.tokens, "{balance:?}");
    // Its URL has ended with it.
    let url = CUT.lock().unwrap().clone();
    let late = reqwest::Client::new().post(format!("{url}/chat/completions")).json(&body(false)).send();
    assert_eq!(late.await.unwrap().status(), 410);
    assert_eq!(stage.simulator.ledger().entries().len(), 2, "and nothing was sent");
    stage.midwatch.shut_down().await;
}

#[tokio::test]
async fn a_call_that_might_cross_the_budget_of_run_or_tenant_is_not_sent() {
    let stage = stage([]).await;
    let budget =
        |usd: &str| Budget { on_reached: OnReached::Fail, ..Budget::usd(usd.parse::<Money>().unwrap()) };
    let run = stage.midwatch.start(asks, "whole".to_owned()).budget(budget("0.0001")).await.unwrap();
    let Err(RunError::Failed { failure, .. }) = run.result().await else { panic!("it is too little") };
    assert_eq!((failure.class, failure.attempts), (Class::Budget, 1), "{failure}");
    assert_eq!(stage.simulator.ledger().entries().len(), 0);
    stage.midwatch.shut_down().await;

    let options = GatewayOptions::default().upstream("openai", stage.simulator.openai_url());
    let midwatch = Midwatch::embedded(stage.folder.path().join("tenants.db"))
        .workflow(asks)
        .step(asks_whole)
        .tenant_budget("acme", budget("0.0001"))
        .gateway(options)
        .open()
        .await
        .unwrap();
    let run = midwatch.start(asks, "whole".to_owned()).tenant("acme").await.unwrap();
    let Err(RunError::Failed { failure, .. }) = run.result().await else { panic!("it is too little") };
    assert_eq!(failure.class, Class::Budget, "{failure}");
    assert!(failure.message.contains("acme"), "{failure}");
    midwatch.start(asks, "whole".to_owned()).await.unwrap().result().await.unwrap();
    assert_eq!(stage.simulator.ledger().entries().len(), 1, "only that of the other tenant");
    midwatch.shut_down().await;
}

/// Asks more than four thousand characters: by them it may be 2,250 tokens, counted it is at most 1,100.
#[step(timeout = "20s")]
async fn asks_at_length(cx: StepContext, _: ()) -> Result<String, Failure> {
    let url = format!("{}/chat/completions", cx.llm_base_url("openai")?);
    let content = "The fog was thick over the harbour. ".repeat(125);
    let body =
        json!({"model": "gpt-4o", "max_tokens": 1_000, "messages": [{"role": "user", "content": content}]});
    let asked = async {
        let request = reqwest::Client::new().post(url).json(&body);
        request.send().await?.error_for_status()?.text().await
    };
    asked.await.map_err(|error| cx.llm_failure(error))
}

#[tokio::test]
async fn where_a_budget_is_tight_counted_tokens_decide_whether_a_call_is_sent() {
    let stage = stage([]).await;
    for (usd, is_sent) in [("0.0135", cfg!(feature = "tokens")), ("0.0120", false)] {
        let budget = Budget { on_reached: OnReached::Fail, ..Budget::usd(usd.parse::<Money>().unwrap()) };
        let run = stage.midwatch.start(asks, "at length".to_owned()).budget(budget).await.unwrap();
        match run.result().await {
            Ok(_) => assert!(is_sent, "{usd}"),
            Err(RunError::Failed { failure, .. }) => {
                assert!(!is_sent && failure.class == Class::Budget, "{usd}: {failure}");
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(stage.simulator.ledger().entries().len(), usize::from(cfg!(feature = "tokens")));
    stage.midwatch.shut_down().await;
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let stage = stage([]).await;
    let Err(RunError::Failed { failure, .. }) = stage.start("nobody").await.result().await else {
        panic!("there is no such upstream")
    };
    assert_eq!(failure.class, Class::Bug);
    assert!(failure.message.contains("`nobody`") && failure.message.contains("GatewayOptions"), "{failure}");
    stage.midwatch.shut_down().await;
}

#[tokio::test]
async fn the_example_asks_and_pays_what_its_provider_bills() {
    let simulator = Simulator::builder().seed(7).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let builder = Midwatch::embedded(folder.path().join("midwatch.db"));
    let midwatch = any_client::register(builder, Some(simulator.openai_url())).open().await.unwrap();
    let run = midwatch.start(any_client::watch_talk, vec!["fog".to_owned(), "ice".to_owned()]).await.unwrap();
    let answers = run.result().await.unwrap();
    assert!(answers.len() == 2 && answers.iter().all(|answer| !answer.is_empty()), "{answers:?}");
    let spent = midwatch_journal::Journal::run(
        &SqliteJournal::open_reader(folder.path().join("midwatch.db")).unwrap(),
        run.id(),
    );
    let billed: u64 =
        simulator.ledger().entries().iter().map(|entry| entry.billed.input + entry.billed.output).sum();
    assert_eq!(spent.unwrap().unwrap().spent.usage.tokens(), billed);
    midwatch.shut_down().await;
}
