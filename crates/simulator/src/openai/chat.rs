//! `POST /v1/chat/completions`.

use serde_json::{Value, json};

use super::{CREATED, data, model, reasons};
use crate::completion::{Cache, Completion, Finish, Part, Prompt, Tool};
use crate::dialect::{Ask, chars, chunk, essence};
use crate::ledger::Tokens;
use crate::stream::Transcript;
use crate::trouble::Trouble;

pub(crate) fn read(body: &Value) -> Result<Ask, Trouble> {
    let model = model(body)?;
    let Some(messages) = body["messages"].as_array().filter(|messages| !messages.is_empty()) else {
        return Err(Trouble::invalid(
            "messages must be an array with at least one message",
            Some("messages"),
        ));
    };
    let tools: Vec<Tool> = body["tools"].as_array().into_iter().flatten().filter_map(tool).collect();
    let choice = &body["tool_choice"];
    let called = messages.iter().filter(|m| m["role"] == "assistant" && m["tool_calls"].is_array()).count();
    let max = ["max_completion_tokens", "max_tokens"].iter().find_map(|name| body[*name].as_u64());
    let prompt = Prompt {
        essence: essence(body),
        chars: messages.iter().map(chars).sum::<u64>() + chars(&body["tools"]),
        messages: messages.len() as u64,
        tools: chosen(tools, choice),
        tool_required: choice == "required" || choice.is_object(),
        tool_rounds: called as u64,
        output_max: max,
        json_schema: json_schema(&body["response_format"]),
        cache: Cache::Automatic,
        reasons: reasons(&model),
        model,
    };
    Ok(Ask {
        prompt,
        stream: body["stream"] == true,
        include_usage: body["stream_options"]["include_usage"] == true,
        embed: None,
    })
}

fn tool(value: &Value) -> Option<Tool> {
    let function = &value["function"];
    Some(Tool { name: function["name"].as_str()?.to_owned(), parameters: function["parameters"].clone() })
}

/// The tools that `tool_choice` leaves.
pub(super) fn chosen(tools: Vec<Tool>, choice: &Value) -> Vec<Tool> {
    if choice == "none" {
        return Vec::new();
    }
    match choice["function"]["name"].as_str().or(choice["name"].as_str()) {
        None => tools,
        Some(name) => tools.into_iter().filter(|tool| tool.name == name).collect(),
    }
}

fn json_schema(format: &Value) -> Option<Value> {
    match format["type"].as_str() {
        Some("json_schema") => Some(format["json_schema"]["schema"].clone()),
        Some("json_object") => Some(json!({"type": "object", "properties": {"answer": {"type": "string"}}})),
        _ => None,
    }
}

pub(crate) fn usage(tokens: &Tokens) -> Value {
    json!({
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.input + tokens.output,
        "prompt_tokens_details": {"cached_tokens": tokens.cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning, "audio_tokens": 0},
    })
}

fn finish_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::Tools => "tool_calls",
    }
}

fn id(done: &Completion) -> String {
    format!("chatcmpl-{:016x}", done.draw)
}

pub(crate) fn whole(ask: &Ask, done: &Completion) -> Value {
    let calls: Vec<Value> = done
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Tool { id, name, pieces } => Some(json!({
                "id": format!("call_{id:016x}"), "type": "function",
                "function": {"name": name, "arguments": pieces.concat()},
            })),
        })
        .collect();
    let text = done.text();
    let content = if text.is_empty() && !calls.is_empty() { Value::Null } else { json!(text) };
    let mut message = json!({"role": "assistant", "content": content, "refusal": null});
    if !calls.is_empty() {
        message["tool_calls"] = Value::Array(calls);
    }
    json!({
        "id": id(done), "object": "chat.completion", "created": CREATED, "model": ask.prompt.model,
        "choices": [{
            "index": 0, "message": message, "logprobs": null, "finish_reason": finish_reason(done.finish),
        }],
        "usage": usage(&done.tokens), "service_tier": "default", "system_fingerprint": "fp_simulator",
    })
}

pub(crate) fn transcript(ask: &Ask, done: &Completion) -> Transcript {
    let event = |delta: Value, finish: Value, usage: Option<Value>| {
        let choices = match usage {
            Some(_) => json!([]),
            None => json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]),
        };
        let mut event = json!({
            "id": id(done), "object": "chat.completion.chunk", "created": CREATED, "model": ask.prompt.model,
            "system_fingerprint": "fp_simulator", "choices": choices,
        });
        if ask.include_usage {
            event["usage"] = usage.unwrap_or(Value::Null);
        }
        data(&event)
    };
    let delta = |delta: Value| chunk([event(delta, Value::Null, None)]);
    let mut tokens = Vec::new();
    let mut calls = 0;
    for part in &done.parts {
        match part {
            Part::Text(pieces) => tokens.extend(pieces.iter().map(|piece| delta(json!({"content": piece})))),
            Part::Tool { id, name, pieces } => {
                tokens.push(delta(json!({"tool_calls": [{
                    "index": calls, "id": format!("call_{id:016x}"), "type": "function",
                    "function": {"name": name, "arguments": ""},
                }]})));
                tokens.extend(pieces.iter().map(|piece| {
                    delta(json!({"tool_calls": [{"index": calls, "function": {"arguments": piece}}]}))
                }));
                calls += 1;
            }
        }
    }
    let last = event(json!({}), json!(finish_reason(done.finish)), None);
    let bill = ask.include_usage.then(|| event(json!({}), Value::Null, Some(usage(&done.tokens))));
    let (_, error) = super::error(&Trouble::Server);
    Transcript {
        opening: delta(json!({"role": "assistant", "content": "", "refusal": null})),
        tokens,
        closing: chunk([last].into_iter().chain(bill).chain(["data: [DONE]\n\n".to_owned()])),
        failure: chunk([data(&error)]),
        bill: done.tokens,
        told_at_opening: Tokens::default(),
        told_at_closing: ask.include_usage,
    }
}
