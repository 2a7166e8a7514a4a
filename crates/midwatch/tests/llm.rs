//! Language models from within steps, against providers that misbehave: what is answered, how calls fail, and that the
//! books agree with the provider's ledger to the token.
#![allow(clippy::unwrap_used)]

mod attempt;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use attempt::{KEY, attempt};
use midwatch::llm::{Answer, Finish, LlmRequest, Message, Tool};
use midwatch::{Certainty, Class, Failure, StepContext, StepLlm};
use midwatch_simulator::{Cue, Fault, Reply, RetryAfter, Simulator, Tokens};
use serde_json::json;

const MODELS: [&str; 2] = ["openai:gpt-4o-mini", "anthropic:claude-sonnet-4-5"];

async fn simulator(cues: impl IntoIterator<Item = Cue>) -> Simulator {
    Simulator::builder().script(cues).start().await.unwrap()
}

fn ask(cx: &StepContext, simulator: &Simulator, model: &str) -> LlmRequest {
    let url = if model.starts_with("anthropic") { simulator.anthropic_url() } else { simulator.openai_url() };
    cx.llm(model).base_url(url).system("Answer in one sentence.").user("How does the middle watch end?")
}

/// The ledger once nothing is under way any more.
async fn billed(simulator: &Simulator) -> Tokens {
    while simulator.ledger().summary().open > 0 {
        tokio::task::yield_now().await;
    }
    simulator.ledger().summary().billed
}

#[tokio::test]
async fn an_answer_comes_with_its_usage_and_price_streamed_or_whole() {
    for model in MODELS {
        for whole in [false, true] {
            let simulator =
                simulator([Cue::anywhere().reply(Reply::text("At eight bells, with coffee."))]).await;
            let (cx, reported) = attempt(None);
            let request = ask(&cx, &simulator, model);
            let answer = if whole { request.whole() } else { request }.send().await.unwrap();
            assert_eq!((answer.text.as_str(), answer.finish), ("At eight bells, with coffee.", Finish::Stop));
            let (charge, billed) = (reported.charge(), billed(&simulator).await);
            assert_eq!((charge.usage.input, charge.usage.output), (billed.input, billed.output), "{model}");
            assert_eq!((charge.usage, charge.cost), (answer.usage, answer.cost));
            assert_eq!((charge.target.as_str(), charge.certainty), (model, Certainty::Exact));
            assert!(charge.cost.is_some() && charge.price.is_some(), "{model}");
            assert_eq!(reported.signs.load(Ordering::Relaxed) > 0, !whole, "chunks are signs of life");
            simulator.stop().await;
        }
    }
}

#[tokio::test]
async fn text_is_handed_on_as_it_comes() {
    let simulator = simulator([Cue::anywhere().reply(Reply::text("One two three."))]).await;
    let (cx, _) = attempt(None);
    let pieces = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&pieces);
    let take = move |text: &str| seen.lock().unwrap().push(text.to_owned());
    ask(&cx, &simulator, MODELS[0]).on_text(take).send().await.unwrap();
    assert_eq!(*pieces.lock().unwrap(), ["One", " two", " three."]);
    simulator.stop().await;
}

fn weather() -> Tool {
    Tool {
        name: "weather".into(),
        description: "The weather in a city.".into(),
        parameters: json!({"type": "object", "properties": {"city": {"type": "string"}}}),
    }
}

#[tokio::test]
async fn tools_are_called_and_their_results_go_back() {
    for model in MODELS {
        for whole in [false, true] {
            let call = Reply::tool("weather", r#"{"city":"Oslo"}"#).and_tool("weather", r#"{"city":"Rome"}"#);
            let simulator = simulator([Cue::anywhere().reply(call)]).await;
            let (cx, reported) = attempt(None);
            let request = ask(&cx, &simulator, model).tool(weather());
            let asked: Answer = if whole { request.whole() } else { request }.send().await.unwrap();
            assert_eq!(asked.finish, Finish::ToolCalls);
            let cities: Vec<_> = asked.tool_calls.iter().map(|call| &call.arguments["city"]).collect();
            assert_eq!(cities, ["Oslo", "Rome"], "{model}");

            simulator.script([Cue::anywhere().reply(Reply::text("Cold there, warm here."))]);
            let results = asked.tool_calls.iter().map(|call| Message::tool(call, "20 °C"));
            let request =
                ask(&cx, &simulator, model).tool(weather()).messages([asked.message()]).messages(results);
            assert_eq!(request.send().await.unwrap().text, "Cold there, warm here.", "{model}");
            let booked: u64 = reported.charges().iter().map(|charge| charge.usage.tokens()).sum();
            let billed = billed(&simulator).await;
            assert_eq!(booked, billed.input + billed.output, "{model}");
            simulator.stop().await;
        }
    }
}

#[tokio::test]
async fn broken_streams_fail_by_their_kind_and_are_booked_to_the_token_as_estimates() {
    let text =
        Reply::text("the bell rings eastward over narrow harbour lamps and quiet anchors until dawn comes.");
    for model in MODELS {
        for (fault, class) in [
            (Fault::CutStream { after_tokens: 5 }, Class::Connection),
            (Fault::StallStream { after_tokens: 5, ms: 60_000 }, Class::Stalled),
            (Fault::ErrorEvent { after_tokens: 5 }, Class::Server),
        ] {
            let simulator =
                simulator([Cue::anywhere().fault(fault), Cue::anywhere().reply(text.clone())]).await;
            let (cx, reported) = attempt(None);
            let request = ask(&cx, &simulator, model).stall_limit(Duration::from_millis(100));
            let failure = request.send().await.expect_err("breaks");
            let overloaded = model.starts_with("anthropic") && class == Class::Server;
            let class = if overloaded { Class::Overloaded } else { class };
            assert_eq!((failure.class, failure.ambiguous), (class, true), "{model} {fault:?}: {failure}");
            let (charge, billed) = (reported.charge(), billed(&simulator).await);
            assert_eq!(charge.certainty, Certainty::Estimated, "{model} {fault:?}");
            let booked = (charge.usage.input, charge.usage.output);
            assert_eq!(booked, (billed.input, billed.output), "{model} {fault:?}");
            simulator.stop().await;
        }
    }
}

#[tokio::test]
async fn a_call_that_is_dropped_in_the_middle_is_booked_as_far_as_it_came() {
    for model in MODELS {
        let simulator =
            simulator([Cue::anywhere().fault(Fault::StallStream { after_tokens: 4, ms: 60_000 })]).await;
        let (cx, reported) = attempt(None);
        let (heard, mut hears) = tokio::sync::mpsc::unbounded_channel();
        let call = ask(&cx, &simulator, model).on_text(move |_| heard.send(()).unwrap()).send();
        let four_words = async {
            for _ in 0..4 {
                hears.recv().await;
            }
        };
        tokio::select! {
            biased;
            result = call => panic!("hangs, and yet: {result:?}"),
            () = four_words => {}
        }
        let (charge, billed) = (reported.charge(), billed(&simulator).await);
        assert_eq!(charge.certainty, Certainty::Estimated);
        assert_eq!((charge.usage.input, charge.usage.output), (billed.input, billed.output), "{model}");
        simulator.stop().await;
    }
}

#[tokio::test]
async fn a_refused_call_costs_nothing_and_says_why() {
    for model in MODELS {
        for (fault, class) in [
            (Fault::RateLimited { retry_after: RetryAfter::Seconds(2.0) }, Class::RateLimited),
            (Fault::QuotaExhausted, Class::QuotaExhausted),
            (Fault::Overloaded, Class::Overloaded),
            (Fault::ServerError, Class::Server),
            (Fault::ContextOverflow, Class::ContextOverflow),
            (Fault::ContentFiltered, Class::ContentFiltered),
            (Fault::Unauthorized, Class::Authentication),
            (Fault::Forbidden, Class::Permission),
        ] {
            let simulator = simulator([Cue::anywhere().fault(fault)]).await;
            let (cx, reported) = attempt(None);
            let failure = ask(&cx, &simulator, model).send().await.expect_err("is refused");
            assert_eq!(failure.class, class, "{model} {fault:?}: {failure}");
            assert_eq!(reported.charges(), [], "{model} {fault:?}");
            let asked = (class == Class::RateLimited).then_some(Duration::from_secs(2));
            assert_eq!(failure.retry_after, asked, "{model} {fault:?}");
            simulator.stop().await;
        }
    }
}

#[tokio::test]
async fn a_server_error_that_did_cost_is_booked_exactly() {
    for model in MODELS {
        let simulator = simulator([Cue::anywhere().fault(Fault::ServerErrorAfter)]).await;
        let (cx, reported) = attempt(None);
        let failure = ask(&cx, &simulator, model).send().await.expect_err("fails");
        assert_eq!(failure.class, Class::Server);
        let (charge, billed) = (reported.charge(), billed(&simulator).await);
        assert_eq!((charge.usage.input, charge.usage.output), (billed.input, billed.output), "{model}");
        assert_eq!(charge.certainty, Certainty::Exact);
        simulator.stop().await;
    }
}

#[tokio::test]
async fn where_nothing_came_back_a_bound_is_booked_that_holds() {
    for model in MODELS {
        for (fault, class) in [
            (Fault::HangAfter { ms: 60_000 }, Class::Stalled),
            (Fault::ResetAfter, Class::Connection),
            (Fault::CutStream { after_tokens: 3 }, Class::Connection),
        ] {
            let simulator = simulator([Cue::anywhere().fault(fault)]).await;
            let (cx, reported) = attempt(None);
            let request = ask(&cx, &simulator, model).whole().first_chunk_limit(Duration::from_millis(100));
            let failure = request.send().await.expect_err("is lost");
            assert_eq!((failure.class, failure.ambiguous), (class, true), "{model} {fault:?}: {failure}");
            let (charge, billed) = (reported.charge(), billed(&simulator).await);
            assert_eq!(charge.certainty, Certainty::Bound, "{model} {fault:?}");
            assert!(
                charge.usage.input >= billed.input && charge.usage.output >= billed.output,
                "{model} {fault:?}"
            );
            simulator.stop().await;
        }
    }
}

#[tokio::test]
async fn an_endpoint_that_nobody_serves_costs_nothing() {
    let simulator = simulator([]).await;
    let (cx, reported) = attempt(None);
    let request = ask(&cx, &simulator, MODELS[0]);
    simulator.stop().await;
    let failure = request.send().await.expect_err("is refused");
    assert_eq!((failure.class, failure.ambiguous), (Class::Connection, false));
    assert_eq!(reported.charges(), []);
}

#[tokio::test]
async fn each_call_keeps_its_own_key_on_every_attempt() {
    let simulator = simulator([]).await;
    let (cx, _) = attempt(None);
    for question in ["one", "two", "one"] {
        ask(&cx, &simulator, MODELS[0]).user(question).send().await.unwrap();
    }
    let keys: Vec<_> = simulator.ledger().entries().into_iter().filter_map(|entry| entry.key).collect();
    assert!(keys.iter().all(|key| key.starts_with(KEY)));
    assert!(keys[0] == keys[2] && keys[0] != keys[1], "{keys:?}");
    simulator.stop().await;
}

#[tokio::test]
async fn an_answer_cut_for_its_length_is_an_answer() {
    for model in MODELS {
        let simulator = simulator([Cue::anywhere().reply(Reply::text("one two three four five"))]).await;
        let (cx, _) = attempt(None);
        let answer = ask(&cx, &simulator, model).max_tokens(3).send().await.unwrap();
        assert_eq!((answer.finish, answer.text.as_str()), (Finish::Length, "one two three"), "{model}");
        simulator.stop().await;
    }
}

#[tokio::test]
async fn json_is_read_with_and_without_a_fence_and_anything_else_is_tried_again() {
    for (text, expected) in
        [(r#"{"ok": true}"#, Some(true)), ("```json\n{\"ok\": true}\n```", Some(true)), ("Certainly!", None)]
    {
        let simulator = simulator([Cue::anywhere().reply(Reply::text(text))]).await;
        let (cx, _) = attempt(None);
        let answer = ask(&cx, &simulator, MODELS[0]).send().await.unwrap();
        let read: Result<serde_json::Value, Failure> = answer.json();
        match expected {
            Some(ok) => assert_eq!(read.unwrap()["ok"], ok),
            None => assert!(read.expect_err("no JSON").class.is_retried()),
        }
        simulator.stop().await;
    }
}
