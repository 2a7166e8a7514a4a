//! Messages.

use serde_json::{Value, json};

use crate::client::{Client, got, message_body, message_stream_body, plain, streamed};

#[tokio::test]
async fn a_stream_tells_the_same_as_the_answer_in_one_piece_and_its_usage_is_cumulative() {
    let simulator = plain().await;
    let client = Client::to(&simulator);
    let whole = client.message().await.body;
    let stream = streamed(client.post("/v1/messages", &message_stream_body())).await;
    let kinds: Vec<&str> = stream.data.iter().filter_map(|event| event["type"].as_str()).collect();
    assert_eq!((kinds[0], kinds[2]), ("message_start", "content_block_start"));
    assert_eq!(kinds.last(), Some(&"message_stop"));
    let text: String = stream.data.iter().filter_map(|event| event["delta"]["text"].as_str()).collect();
    assert_eq!(text, whole["content"][0]["text"].as_str().unwrap());
    let deltas: Vec<&Value> = stream.data.iter().filter(|e| e["type"] == "message_delta").collect();
    assert_eq!(deltas.last().unwrap()["usage"]["output_tokens"], whole["usage"]["output_tokens"]);
    assert!(deltas[0]["usage"]["output_tokens"].as_u64() < whole["usage"]["output_tokens"].as_u64());
    let start = &stream.data[0]["message"]["usage"];
    assert_eq!(start["input_tokens"], whole["usage"]["input_tokens"]);
    let entries = simulator.ledger().entries();
    assert_eq!(entries[0].billed, entries[1].billed);
    assert!(entries[1].usage_reported);
    simulator.stop().await;
}

#[tokio::test]
async fn cached_tokens_stand_beside_the_input_and_are_billed_within_it() {
    let simulator = plain().await;
    let client = Client::to(&simulator);
    let (mut written, mut read) = (0, 0);
    for n in 0..12 {
        let mut body = message_body();
        body["system"] = json!([{"type": "text", "text": format!("{n} rules ").repeat(1000),
            "cache_control": {"type": "ephemeral"}}]);
        let usage = got(client.post("/v1/messages", &body)).await.body["usage"].clone();
        let count = |name: &str| usage[name].as_u64().unwrap();
        let billed = simulator.ledger().entries().pop().unwrap().billed;
        let (w, r) = (count("cache_creation_input_tokens"), count("cache_read_input_tokens"));
        assert_eq!((billed.cache_write, billed.cached), (w, r));
        assert_eq!(billed.input, count("input_tokens") + w + r);
        written += w;
        read += r;
    }
    assert!(written > 0 && read > 0, "{written} written, {read} read");
    simulator.stop().await;
}

#[tokio::test]
async fn tool_choice_any_brings_a_tool_use_block() {
    let simulator = plain().await;
    let mut body = message_body();
    body["tools"] = json!([{"name": "book", "input_schema":
        {"type": "object", "properties": {"nights": {"type": "integer"}}}}]);
    body["tool_choice"] = json!({"type": "any"});
    let answer = got(Client::to(&simulator).post("/v1/messages", &body)).await.body;
    assert_eq!(answer["stop_reason"], "tool_use");
    assert!(answer["content"][0]["input"]["nights"].is_u64());
    simulator.stop().await;
}

#[tokio::test]
async fn max_tokens_is_required() {
    let simulator = plain().await;
    let mut body = message_body();
    body.as_object_mut().unwrap().remove("max_tokens");
    let refused = got(Client::to(&simulator).post("/v1/messages", &body)).await;
    assert_eq!(refused.status, 400);
    assert_eq!(refused.body["type"], "error");
    assert_eq!(refused.body["error"]["type"], "invalid_request_error");
    simulator.stop().await;
}
