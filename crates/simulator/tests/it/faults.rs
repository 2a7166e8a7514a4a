//! Every fault, as each provider words it, and what it costs.

use std::time::Duration;

use midwatch_simulator::{Cue, Fault, Faults, RetryAfter, Simulator, Tokens};
use serde_json::json;

use crate::client::{Client, SETTLE, chat_body, chat_stream_body, got, message_stream_body, plain, streamed};

#[tokio::test]
async fn each_refusal_has_its_providers_shape_and_costs_nothing() {
    let simulator = plain().await;
    let client = Client::to(&simulator);
    let wait = RetryAfter::Seconds(2.0);
    let cases = [
        (Fault::RateLimited { retry_after: wait }, (429, "rate_limit_exceeded"), (429, "rate_limit_error")),
        (Fault::QuotaExhausted, (429, "insufficient_quota"), (429, "rate_limit_error")),
        (Fault::Overloaded, (503, "server_overloaded"), (529, "overloaded_error")),
        (Fault::Unavailable { retry_after: wait }, (503, ""), (503, "api_error")),
        (Fault::ServerError, (500, ""), (500, "api_error")),
        (Fault::ContextOverflow, (400, "context_length_exceeded"), (400, "invalid_request_error")),
        (Fault::ContentFiltered, (400, "content_policy_violation"), (400, "invalid_request_error")),
        (Fault::InvalidRequest, (400, ""), (400, "invalid_request_error")),
        (Fault::Unauthorized, (401, "invalid_api_key"), (401, "authentication_error")),
        (Fault::Forbidden, (403, "unsupported_country_region_territory"), (403, "permission_error")),
        (Fault::ErrorEvent { after_tokens: 0 }, (503, "server_overloaded"), (529, "overloaded_error")),
    ];
    for (fault, openai, anthropic) in cases {
        simulator.script([Cue::anywhere().fault(fault).times(2)]);
        let chat = client.chat().await;
        assert_eq!((chat.status, chat.body["error"]["code"].as_str().unwrap_or("")), openai, "{fault:?}");
        let message = client.message().await;
        assert_eq!((message.status, message.body["error"]["type"].as_str().unwrap()), anthropic, "{fault:?}");
        if let Fault::RateLimited { .. } | Fault::Unavailable { .. } = fault {
            assert_eq!((chat.header("retry-after"), message.header("retry-after")), (Some("2"), Some("2")));
        }
        if fault == Fault::QuotaExhausted {
            assert_eq!(chat.header("x-should-retry"), Some("false"));
            assert_eq!(message.body["error"]["details"]["error_code"], "enforced_spend_limit_reached");
        }
        assert_eq!(simulator.ledger().entries().pop().unwrap().fault.as_deref(), Some(fault.name()));
    }
    assert_eq!(simulator.ledger().summary().billed, Tokens::default());
    simulator.stop().await;
}

#[tokio::test]
async fn a_500_with_usage_is_billed_as_it_says() {
    let simulator = plain().await;
    let client = Client::to(&simulator);
    simulator.script([Cue::anywhere().fault(Fault::ServerErrorAfter).times(3)]);
    let chat = client.chat().await;
    let streaming = got(client.post("/v1/chat/completions", &chat_stream_body())).await;
    let message = client.message().await;
    assert_eq!((chat.status, streaming.status, message.status), (500, 500, 500));
    let entries = simulator.ledger().entries();
    for (entry, told) in [
        (&entries[0], &chat.body["usage"]["completion_tokens"]),
        (&entries[1], &streaming.body["usage"]["completion_tokens"]),
        (&entries[2], &message.body["usage"]["output_tokens"]),
    ] {
        assert_eq!(entry.billed.output, told.as_u64().unwrap());
        assert!(entry.usage_reported && entry.billed.output > 0);
    }
    simulator.stop().await;
}

#[tokio::test]
async fn a_cut_stream_bills_its_input_and_the_tokens_that_were_sent() {
    let simulator = plain().await;
    let client = Client::to(&simulator);
    for after in [0, 1, 7] {
        simulator.script([Cue::anywhere().fault(Fault::CutStream { after_tokens: after })]);
        let stream = streamed(client.post("/v1/chat/completions", &chat_stream_body())).await;
        assert!(stream.broke && !stream.done);
        let contents = stream.data.iter().filter_map(|e| e["choices"][0]["delta"]["content"].as_str());
        assert_eq!(contents.filter(|text| !text.is_empty()).count() as u64, after);
        let entry = simulator.ledger().entries().pop().unwrap();
        assert_eq!(entry.billed.output, after);
        assert!(entry.billed.input > 0 && !entry.usage_reported);
        assert_eq!(entry.reported, Tokens::default());
    }
    simulator.stop().await;
}

#[tokio::test]
async fn an_anthropic_stream_that_breaks_has_told_its_input() {
    let simulator = plain().await;
    let client = Client::to(&simulator);
    simulator.script([Cue::anywhere().fault(Fault::ErrorEvent { after_tokens: 5 })]);
    let stream = streamed(client.post("/v1/messages", &message_stream_body())).await;
    assert!(!stream.broke);
    assert_eq!(stream.data.last().unwrap()["error"]["type"], "overloaded_error");
    let entry = simulator.ledger().entries().pop().unwrap();
    assert_eq!((entry.status, entry.billed.output), (Some(200), 5));
    assert_eq!(entry.reported, Tokens { output: 1, ..entry.billed });
    simulator.stop().await;
}

#[tokio::test]
async fn a_hang_is_silent_and_only_the_one_after_the_spend_is_billed() {
    let simulator = plain().await;
    let client = Client::to(&simulator);
    for (fault, billed) in [(Fault::Hang { ms: 600_000 }, false), (Fault::HangAfter { ms: 600_000 }, true)] {
        simulator.script([Cue::anywhere().fault(fault)]);
        let request = client.post("/v1/chat/completions", &chat_body());
        let error = request.timeout(Duration::from_millis(200)).send().await.unwrap_err();
        assert!(error.is_timeout());
        let entry = simulator.ledger().entries().pop().unwrap();
        assert_eq!((entry.status, entry.billed.output > 0), (None, billed));
        assert_eq!(entry.usage_reported, !billed);
    }
    simulator.stop().await;
}

#[tokio::test]
async fn a_hang_ends_with_a_reset() {
    let simulator = plain().await;
    simulator.script([Cue::anywhere().fault(Fault::Hang { ms: 20 })]);
    let error = Client::to(&simulator).post("/v1/messages", &json!({})).send().await.unwrap_err();
    assert!(!error.is_timeout() && !error.is_connect());
    simulator.stop().await;
}

#[tokio::test]
async fn a_stream_that_stalls_stays_open_and_bills_what_was_sent() {
    let simulator = plain().await;
    let client = Client::to(&simulator);
    simulator.script([Cue::anywhere().fault(Fault::StallStream { after_tokens: 3, ms: 600_000 })]);
    let request = client.post("/v1/messages", &message_stream_body()).timeout(Duration::from_millis(300));
    let mut response = request.send().await.unwrap();
    let mut text = String::new();
    let error = loop {
        match response.chunk().await {
            Ok(chunk) => text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap()),
            Err(error) => break error,
        }
    };
    assert!(error.is_timeout());
    assert_eq!(text.matches("text_delta").count(), 3);
    assert_eq!(simulator.ledger().entries().pop().unwrap().billed.output, 3);
    simulator.stop().await;
}

#[tokio::test]
async fn a_stream_whose_client_leaves_bills_what_was_generated_until_then() {
    let simulator = plain().await;
    let client = Client::to(&simulator);
    simulator.script([Cue::anywhere().fault(Fault::SlowTokens { token_ms: 20 })]);
    let mut response = client.post("/v1/chat/completions", &chat_stream_body()).send().await.unwrap();
    let mut text = String::new();
    while text.matches("\"content\":").count() < 4 {
        text.push_str(std::str::from_utf8(&response.chunk().await.unwrap().unwrap()).unwrap());
    }
    drop(response);
    assert!(simulator.ledger().settled(SETTLE).await);
    let entry = simulator.ledger().entries().pop().unwrap();
    let whole = client.chat().await.body["usage"]["completion_tokens"].as_u64().unwrap();
    assert!(entry.client_gone && !entry.usage_reported);
    assert!((3..whole).contains(&entry.billed.output), "{} of {whole}", entry.billed.output);
    simulator.stop().await;
}

#[tokio::test]
async fn a_lost_answer_is_billed_and_unreported() {
    let simulator = plain().await;
    let client = Client::to(&simulator);
    for (n, body) in [chat_body(), chat_stream_body()].iter().enumerate() {
        simulator.script([Cue::anywhere().fault(Fault::ResetAfter)]);
        assert!(client.post("/v1/chat/completions", body).send().await.is_err());
        let books = simulator.ledger().summary();
        assert_eq!(books.by_fault["reset_after"], n as u64 + 1);
        assert!(books.billed.output > 0);
        assert_eq!(books.unreported, books.billed);
    }
    simulator.stop().await;
}

#[tokio::test]
async fn random_faults_strike_the_same_requests_again_whatever_the_order() {
    let strike = async |order: Vec<u32>| {
        let faults = Faults { rate_limited: 0.3, server_error: 0.2, ..Faults::default() };
        let simulator = Simulator::builder().seed(11).faults(faults).start().await.unwrap();
        let client = Client::to(&simulator);
        let mut statuses = Vec::new();
        for n in order {
            let request = client.post("/v1/chat/completions", &chat_body());
            statuses.push((n, got(request.header("idempotency-key", format!("k{n}"))).await.status));
        }
        statuses.sort_unstable();
        simulator.stop().await;
        statuses
    };
    let forward = strike((0..60).collect()).await;
    assert_eq!(forward, strike((0..60).rev().collect()).await);
    for status in [200, 429, 500] {
        assert!(forward.iter().any(|(_, s)| *s == status), "no {status}");
    }
}
