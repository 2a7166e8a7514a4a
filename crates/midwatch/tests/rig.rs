//! The models of `rig` within steps: sent once, keyed, classified and booked.
#![allow(clippy::unwrap_used)]

mod attempt;

use attempt::{KEY, attempt};
use futures_util::StreamExt as _;
use midwatch::rig::{StepRig as _, failure};
use midwatch::{Certainty, Class, StepContext};
use midwatch_simulator::{Cue, Fault, Reply, RetryAfter, Simulator};
use rig_core::DynModel;
use rig_core::completion::{AssistantContent, CompletionRequest};
use rig_core::operation::Completion;
use rig_core::providers::anthropic::wire::AnthropicConfig;
use rig_core::providers::openai::OpenAIConfig;

async fn simulator(cue: Cue) -> Simulator {
    Simulator::builder().script([cue]).start().await.unwrap()
}

/// A model whose provider is played by the simulator.
fn model(simulator: &Simulator, cx: &StepContext, model: &str) -> DynModel<Completion> {
    if model.starts_with("claude") {
        let config =
            AnthropicConfig { base_url: simulator.anthropic_url(), ..AnthropicConfig::new("sk-none") };
        return config.connect(cx.rig()).completion(model).erase();
    }
    let config = OpenAIConfig { base_url: simulator.openai_url(), ..OpenAIConfig::new("sk-none") };
    config.connect(cx.rig()).chat(model).erase()
}

fn request() -> CompletionRequest {
    CompletionRequest::new("How does the middle watch end?").max_tokens(100)
}

#[tokio::test]
async fn an_answer_is_booked_as_the_provider_bills_it() {
    for name in ["gpt-4o-mini", "claude-haiku-4-5"] {
        let simulator = simulator(Cue::anywhere().reply(Reply::text("At eight bells."))).await;
        let (cx, reported) = attempt(None);
        let answer = model(&simulator, &cx, name).call(request()).await.unwrap();
        let AssistantContent::Text(text) = &answer.choice[0] else { panic!("{answer:?}") };
        assert_eq!(text.text, "At eight bells.");
        let (charge, entries) = (reported.charge(), simulator.ledger().entries());
        let billed = entries[0].billed;
        assert_eq!((charge.usage.input, charge.usage.output), (billed.input, billed.output), "{name}");
        assert_eq!((charge.certainty, charge.cost.is_some()), (Certainty::Exact, true), "{name}");
        assert!(charge.target.ends_with(name), "{}", charge.target);
        assert!(entries[0].key.as_deref().unwrap().starts_with(KEY), "{:?}", entries[0].key);
        assert!(entries[0].traceparent.is_some());
        simulator.stop().await;
    }
}

#[tokio::test]
async fn a_stream_is_booked_too_and_one_that_breaks_by_what_was_seen() {
    for (cue, is_whole) in [
        (Cue::anywhere().reply(Reply::text("At eight bells.")), true),
        (Cue::anywhere().fault(Fault::CutStream { after_tokens: 2 }).always(), false),
    ] {
        let simulator = simulator(cue).await;
        let (cx, reported) = attempt(None);
        let mut stream = model(&simulator, &cx, "claude-haiku-4-5").stream(request()).unwrap();
        let mut broke = None;
        while let Some(event) = stream.next().await {
            broke = event.err().or(broke);
        }
        drop(stream);
        let (charge, billed) = (reported.charge(), simulator.ledger().entries()[0].billed);
        assert_eq!((charge.usage.input, charge.usage.output), (billed.input, billed.output));
        assert_eq!(charge.certainty == Certainty::Exact, is_whole, "{charge:?}");
        match broke {
            None => assert!(is_whole),
            Some(error) => assert_eq!((failure(error).class, is_whole), (Class::Connection, false)),
        }
        simulator.stop().await;
    }
}

#[tokio::test]
async fn a_refusal_is_sent_once_and_comes_back_with_its_class_wait_and_usage() {
    for name in ["gpt-4o-mini", "claude-haiku-4-5"] {
        for (fault, class, wait) in [
            (Fault::RateLimited { retry_after: RetryAfter::Seconds(7.0) }, Class::RateLimited, Some(7)),
            (Fault::Overloaded, Class::Overloaded, None),
            (Fault::Unauthorized, Class::Authentication, None),
            (Fault::QuotaExhausted, Class::QuotaExhausted, None),
            (Fault::ServerErrorAfter, Class::Server, None),
        ] {
            let simulator = simulator(Cue::anywhere().fault(fault).always()).await;
            let (cx, reported) = attempt(None);
            let error = model(&simulator, &cx, name).call(request()).await.unwrap_err();
            let failure = failure(error);
            let seen = (failure.class, failure.retry_after.map(|wait| wait.as_secs()));
            assert_eq!(seen, (class, wait), "{name}: {failure:?}");
            assert!(failure.charges.is_empty(), "booked once: {failure:?}");
            let entries = simulator.ledger().entries();
            assert_eq!(entries.len(), 1, "retries are the step's");
            let booked: u64 = reported.charges().iter().map(|charge| charge.usage.tokens()).sum();
            assert_eq!(booked, entries[0].billed.input + entries[0].billed.output, "{name} {fault:?}");
            simulator.stop().await;
        }
    }
}

#[tokio::test]
async fn a_lost_answer_leaves_a_bound_that_is_not_below_the_bill() {
    let simulator = simulator(Cue::anywhere().fault(Fault::ResetAfter).always()).await;
    let (cx, reported) = attempt(None);
    let error = model(&simulator, &cx, "gpt-4o-mini").call(request()).await.unwrap_err();
    let failure = failure(error);
    assert_eq!((failure.class, failure.ambiguous), (Class::Connection, true));
    let (charge, billed) = (reported.charge(), simulator.ledger().entries()[0].billed);
    assert_eq!((charge.certainty, charge.usage.output), (Certainty::Bound, 100));
    assert!(charge.usage.input >= billed.input, "{charge:?}, {billed:?}");
    simulator.stop().await;
}
