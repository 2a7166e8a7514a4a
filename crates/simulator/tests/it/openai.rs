//! Chat completions, responses, embeddings.

use midwatch_simulator::{Cue, Reply};
use serde_json::{Value, json};

use crate::client::{Client, chat_body, chat_stream_body, got, plain, streamed};

fn text(data: &[Value]) -> String {
    data.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect()
}

#[tokio::test]
async fn a_completion_is_billed_as_it_says() {
    let simulator = plain().await;
    let answer = Client::to(&simulator).chat().await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("x-request-id").is_some());
    let usage = &answer.body["usage"];
    let entry = simulator.ledger().entries().remove(0);
    assert_eq!(entry.billed.input, usage["prompt_tokens"].as_u64().unwrap());
    assert_eq!(entry.billed.output, usage["completion_tokens"].as_u64().unwrap());
    assert!(entry.usage_reported);
    simulator.stop().await;
}

#[tokio::test]
async fn a_stream_tells_the_same_as_the_answer_in_one_piece() {
    let simulator = plain().await;
    let client = Client::to(&simulator);
    let whole = client.chat().await.body;
    let stream = streamed(client.post("/v1/chat/completions", &chat_stream_body())).await;
    assert!(stream.done && !stream.broke);
    assert_eq!(text(&stream.data), whole["choices"][0]["message"]["content"].as_str().unwrap());
    let last = stream.data.last().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"], whole["usage"]);
    assert_eq!(last["id"], whole["id"]);
    simulator.stop().await;
}

#[tokio::test]
async fn a_stream_without_include_usage_is_billed_but_not_reported() {
    let simulator = plain().await;
    let mut body = chat_stream_body();
    body.as_object_mut().unwrap().remove("stream_options");
    let stream = streamed(Client::to(&simulator).post("/v1/chat/completions", &body)).await;
    assert!(stream.done && stream.data.iter().all(|event| event["usage"].is_null()));
    let entry = simulator.ledger().entries().remove(0);
    assert!(entry.billed.output > 0 && !entry.usage_reported);
    assert_eq!(simulator.ledger().summary().unreported, entry.billed);
    simulator.stop().await;
}

#[tokio::test]
async fn tools_are_called_and_then_the_answer_comes() {
    let simulator = plain().await;
    let client = Client::to(&simulator);
    let mut body = chat_body();
    body["tools"] = json!([{"type": "function", "function": {"name": "search", "parameters":
        {"type": "object", "properties": {"query": {"type": "string"}}}}}]);
    let mut rounds = 0;
    loop {
        let answer = got(client.post("/v1/chat/completions", &body)).await.body;
        let message = answer["choices"][0]["message"].clone();
        let Some(calls) = message["tool_calls"].as_array() else {
            assert_eq!(answer["choices"][0]["finish_reason"], "stop");
            break;
        };
        rounds += 1;
        let arguments: Value =
            serde_json::from_str(calls[0]["function"]["arguments"].as_str().unwrap()).unwrap();
        assert!(arguments["query"].is_string());
        let result = json!({"role": "tool", "tool_call_id": calls[0]["id"], "content": "found"});
        let messages = body["messages"].as_array_mut().unwrap();
        messages.push(message.clone());
        messages.push(result);
    }
    assert!((1..=2).contains(&rounds), "{rounds}");
    simulator.stop().await;
}

#[tokio::test]
async fn a_scripted_tool_call_streams_in_pieces() {
    let simulator = plain().await;
    let arguments = r#"{"city":"Oslo","days":3}"#;
    simulator.script([Cue::anywhere().containing("middle watch").reply(Reply::tool("weather", arguments))]);
    let stream = streamed(Client::to(&simulator).post("/v1/chat/completions", &chat_stream_body())).await;
    let pieces = stream
        .data
        .iter()
        .filter_map(|event| event["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].as_str());
    assert_eq!(pieces.collect::<String>(), arguments);
    assert!(stream.data.iter().any(|event| event["choices"][0]["finish_reason"] == "tool_calls"));
    simulator.stop().await;
}

#[tokio::test]
async fn max_tokens_and_the_context_window_are_kept() {
    let simulator = plain().await;
    let client = Client::to(&simulator);
    let mut body = chat_body();
    body["max_completion_tokens"] = json!(5);
    let answer = got(client.post("/v1/chat/completions", &body)).await.body;
    assert_eq!(answer["usage"]["completion_tokens"], 5);
    assert_eq!(answer["choices"][0]["finish_reason"], "length");
    body["messages"][0]["content"] = json!("long ".repeat(200_000));
    let refused = got(client.post("/v1/chat/completions", &body)).await;
    assert_eq!(refused.status, 400);
    assert_eq!(refused.body["error"]["code"], "context_length_exceeded");
    simulator.stop().await;
}

#[tokio::test]
async fn responses_stream_and_whole_agree() {
    let simulator = plain().await;
    let client = Client::to(&simulator);
    let body = json!({"model": "gpt-5-mini", "input": "hello there", "max_output_tokens": 400});
    let whole = got(client.post("/v1/responses", &body)).await.body;
    assert!(whole["usage"]["output_tokens_details"]["reasoning_tokens"].as_u64().unwrap() > 0);
    let mut streaming = body.clone();
    streaming["stream"] = json!(true);
    let stream = streamed(client.post("/v1/responses", &streaming)).await;
    let last = stream.data.last().unwrap();
    assert_eq!(last["type"], "response.completed");
    assert_eq!(last["response"], whole);
    let deltas = stream.data.iter().filter(|e| e["type"] == "response.output_text.delta");
    let text: String = deltas.filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!(text, whole["output"][0]["content"][0]["text"].as_str().unwrap());
    let numbers: Vec<u64> = stream.data.iter().filter_map(|e| e["sequence_number"].as_u64()).collect();
    assert_eq!(numbers, (0..stream.data.len() as u64).collect::<Vec<_>>());
    simulator.stop().await;
}

#[tokio::test]
async fn embeddings_bill_input_only() {
    let simulator = plain().await;
    let body = json!({"model": "text-embedding-3-small", "input": ["one", "two"], "dimensions": 8});
    let answer = got(Client::to(&simulator).post("/v1/embeddings", &body)).await.body;
    assert_eq!(answer["data"].as_array().unwrap().len(), 2);
    assert_eq!(answer["data"][1]["embedding"].as_array().unwrap().len(), 8);
    let billed = simulator.ledger().summary().billed;
    assert_eq!((billed.input, billed.output), (answer["usage"]["prompt_tokens"].as_u64().unwrap(), 0));
    simulator.stop().await;
}

#[tokio::test]
async fn a_request_without_model_or_messages_is_refused_and_costs_nothing() {
    let simulator = plain().await;
    let client = Client::to(&simulator);
    for (body, param) in [(json!({"messages": []}), "model"), (json!({"model": "m"}), "messages")] {
        let refused = got(client.post("/v1/chat/completions", &body)).await;
        assert_eq!((refused.status, refused.body["error"]["param"].as_str()), (400, Some(param)));
    }
    assert!(simulator.ledger().summary().models.is_empty());
    simulator.stop().await;
}
