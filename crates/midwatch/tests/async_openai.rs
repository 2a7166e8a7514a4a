//! The client of `async-openai` within steps: sent once, keyed, classified and booked.
#![allow(clippy::unwrap_used)]

mod attempt;

use async_openai::config::OpenAIConfig;
use async_openai::types::chat::{ChatCompletionRequestUserMessage, CreateChatCompletionRequest};
use attempt::{KEY, attempt};
use midwatch::async_openai::StepAsyncOpenAi;
use midwatch::{Certainty, Class};
use midwatch_simulator::{Cue, Fault, Reply, RetryAfter, Simulator};

async fn simulator(cue: Cue) -> Simulator {
    Simulator::builder().script([cue]).start().await.unwrap()
}

fn config(simulator: &Simulator) -> OpenAIConfig {
    OpenAIConfig::new().with_api_base(simulator.openai_url()).with_api_key("sk-none")
}

fn request() -> CreateChatCompletionRequest {
    let message = ChatCompletionRequestUserMessage::from("How does the middle watch end?");
    CreateChatCompletionRequest {
        model: "gpt-4o-mini".to_owned(),
        messages: vec![message.into()],
        max_completion_tokens: Some(100),
        ..CreateChatCompletionRequest::default()
    }
}

#[tokio::test]
async fn an_answer_is_booked_as_the_provider_bills_it() {
    let simulator = simulator(Cue::anywhere().reply(Reply::text("At eight bells."))).await;
    let (cx, reported) = attempt(None);
    let answer = cx.async_openai_chat(config(&simulator), request()).await.unwrap();
    assert_eq!(answer.choices[0].message.content.as_deref(), Some("At eight bells."));
    let (charge, entries) = (reported.charge(), simulator.ledger().entries());
    let billed = entries[0].billed;
    assert_eq!((charge.usage.input, charge.usage.output), (billed.input, billed.output));
    assert_eq!((charge.certainty, charge.cost.is_some()), (Certainty::Exact, true));
    assert!(entries[0].key.as_deref().unwrap().starts_with(KEY), "{:?}", entries[0].key);
    assert!(entries[0].traceparent.is_some());
    simulator.stop().await;
}

#[tokio::test]
async fn a_refusal_is_sent_once_and_comes_back_with_its_class_and_wait() {
    for (fault, class, wait) in [
        (Fault::RateLimited { retry_after: RetryAfter::Seconds(7.0) }, Class::RateLimited, Some(7)),
        (Fault::ServerErrorAfter, Class::Server, None),
    ] {
        let simulator = simulator(Cue::anywhere().fault(fault).always()).await;
        let (cx, reported) = attempt(None);
        let failure = cx.async_openai_chat(config(&simulator), request()).await.unwrap_err();
        assert_eq!((failure.class, failure.retry_after.map(|wait| wait.as_secs())), (class, wait));
        let entries = simulator.ledger().entries();
        assert_eq!(entries.len(), 1, "retries are the step's");
        let booked: u64 = reported.charges().iter().map(|charge| charge.usage.tokens()).sum();
        assert_eq!(booked, entries[0].billed.input + entries[0].billed.output);
        simulator.stop().await;
    }
}

#[tokio::test]
async fn a_lost_answer_leaves_its_bound() {
    let simulator = simulator(Cue::anywhere().fault(Fault::ResetAfter).always()).await;
    let (cx, reported) = attempt(None);
    let failure = cx.async_openai_chat(config(&simulator), request()).await.unwrap_err();
    assert_eq!((failure.class, failure.ambiguous), (Class::Connection, true));
    let charge = reported.charge();
    assert_eq!((charge.certainty, charge.usage.output), (Certainty::Bound, 100));
    simulator.stop().await;
}

#[cfg(feature = "gateway")]
mod through_the_gateway {
    use std::time::Duration;

    use async_openai::Client;
    use futures_util::StreamExt as _;
    use midwatch::{Context, Failure, GatewayOptions, Midwatch, StepContext, StepGateway, step, workflow};
    use midwatch_simulator::Simulator;

    use super::{OpenAIConfig, request};

    /// The client as its users have it, once for an answer and once for a stream.
    #[step(timeout = "30s", attempts = 1)]
    async fn ask(cx: StepContext, _: ()) -> Result<String, Failure> {
        let config = OpenAIConfig::new().with_api_base(cx.llm_base_url("openai")?).with_api_key("sk-none");
        let client = Client::with_config(config);
        let answer = client.chat().create(request()).await.map_err(|error| cx.llm_failure(error))?;
        let stream = client.chat().create_stream(request()).await;
        let mut stream = stream.map_err(|error| cx.llm_failure(error))?;
        while let Some(chunk) = stream.next().await {
            chunk.map_err(|error| cx.llm_failure(error))?;
        }
        Ok(answer.choices[0].message.content.clone().unwrap_or_default())
    }

    #[workflow]
    async fn asks(cx: Context, _: ()) -> Result<String, Failure> {
        cx.step(ask, &()).await
    }

    #[tokio::test]
    async fn the_plain_client_is_metered_to_the_token() {
        let simulator = Simulator::builder().seed(7).start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("midwatch.db");
        let options = GatewayOptions::default().upstream("openai", simulator.openai_url());
        let builder = Midwatch::embedded(&path).workflow(asks).step(ask).gateway(options);
        let midwatch = builder.open().await.unwrap();
        let run = midwatch.start(asks, ()).await.unwrap();
        assert!(!run.result().await.unwrap().is_empty());
        assert!(simulator.ledger().settled(Duration::from_secs(10)).await);
        let entries = simulator.ledger().entries();
        let billed: u64 = entries.iter().map(|entry| entry.billed.input + entry.billed.output).sum();
        let journal = midwatch_journal::sqlite::SqliteJournal::open_reader(&path).unwrap();
        let spent = midwatch_journal::Journal::run(&journal, run.id()).unwrap().unwrap().spent;
        assert_eq!((spent.usage.tokens(), spent.usage.calls, entries.len()), (billed, 2, 2));
        midwatch.shut_down().await;
    }
}
