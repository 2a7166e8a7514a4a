//! The client of `genai` within steps: sent once, keyed, classified and booked.
#![allow(clippy::unwrap_used)]

mod attempt;

use attempt::{KEY, attempt};
use genai::chat::{ChatMessage, ChatOptions, ChatRequest};
use genai::resolver::{AuthData, Endpoint, ServiceTargetResolver};
use genai::{Client, ServiceTarget};
use midwatch::genai::{StepGenai, client_builder};
use midwatch::{Certainty, Class};
use midwatch_simulator::{Cue, Fault, Reply, RetryAfter, Simulator};

async fn simulator(cue: Cue) -> Simulator {
    Simulator::builder().script([cue]).start().await.unwrap()
}

/// A client whose providers are all played by the simulator.
fn client(simulator: &Simulator) -> Client {
    let (openai, anthropic) =
        (format!("{}/", simulator.openai_url()), format!("{}/v1/", simulator.anthropic_url()));
    let resolver = ServiceTargetResolver::from_resolver_fn(move |target: ServiceTarget| {
        let is_anthropic = target.model.adapter_kind == genai::adapter::AdapterKind::Anthropic;
        let url = if is_anthropic { &anthropic } else { &openai };
        let endpoint = Endpoint::from_owned(url.clone());
        Ok(ServiceTarget { endpoint, auth: AuthData::from_single("sk-none"), ..target })
    });
    client_builder().unwrap().with_service_target_resolver(resolver).build().unwrap()
}

fn request() -> ChatRequest {
    ChatRequest::new(vec![ChatMessage::user("How does the middle watch end?")])
}

fn options() -> ChatOptions {
    ChatOptions::default().with_max_tokens(100)
}

#[tokio::test]
async fn an_answer_is_booked_as_the_provider_bills_it() {
    for model in ["gpt-4o-mini", "claude-haiku-4-5"] {
        let simulator = simulator(Cue::anywhere().reply(Reply::text("At eight bells."))).await;
        let (cx, reported) = attempt(None);
        let answer = cx.genai_chat(&client(&simulator), model, request(), options()).await.unwrap();
        assert_eq!(answer.first_text(), Some("At eight bells."));
        let (charge, entries) = (reported.charge(), simulator.ledger().entries());
        let billed = entries[0].billed;
        assert_eq!((charge.usage.input, charge.usage.output), (billed.input, billed.output), "{model}");
        assert_eq!((charge.certainty, charge.cost.is_some()), (Certainty::Exact, true), "{model}");
        assert!(entries[0].key.as_deref().unwrap().starts_with(KEY), "{:?}", entries[0].key);
        assert!(entries[0].traceparent.is_some());
        simulator.stop().await;
    }
}

#[tokio::test]
async fn a_refusal_is_sent_once_and_comes_back_with_its_class_wait_and_usage() {
    for (fault, class, wait) in [
        (Fault::RateLimited { retry_after: RetryAfter::Seconds(7.0) }, Class::RateLimited, Some(7)),
        (Fault::ServerErrorAfter, Class::Server, None),
    ] {
        let simulator = simulator(Cue::anywhere().fault(fault).always()).await;
        let (cx, reported) = attempt(None);
        let client = client(&simulator);
        let failure = cx.genai_chat(&client, "gpt-4o-mini", request(), options()).await.unwrap_err();
        assert_eq!((failure.class, failure.retry_after.map(|wait| wait.as_secs())), (class, wait));
        let entries = simulator.ledger().entries();
        assert_eq!(entries.len(), 1, "retries are the step's");
        let booked: u64 = reported.charges().iter().map(|charge| charge.usage.tokens()).sum();
        assert_eq!(booked, entries[0].billed.input + entries[0].billed.output);
        simulator.stop().await;
    }
}

#[tokio::test]
async fn a_lost_answer_leaves_a_bound_that_is_not_below_the_bill() {
    let simulator = simulator(Cue::anywhere().fault(Fault::ResetAfter).always()).await;
    let (cx, reported) = attempt(None);
    let client = client(&simulator);
    let failure = cx.genai_chat(&client, "gpt-4o-mini", request(), options()).await.unwrap_err();
    assert_eq!((failure.class, failure.ambiguous), (Class::Connection, true));
    let (charge, billed) = (reported.charge(), simulator.ledger().entries()[0].billed);
    assert_eq!((charge.certainty, charge.usage.output), (Certainty::Bound, 100));
    assert!(charge.usage.input >= billed.input, "{charge:?}, {billed:?}");
    simulator.stop().await;
}
