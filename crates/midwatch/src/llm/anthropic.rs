//! Anthropic's Messages: <https://platform.claude.com/docs/en/api/messages>.

use serde_json::{Value, json};

use super::answer::Finish;
use super::draft::Draft;
use super::message::{Message, Tool};
use super::request::Wanted;

/// The version of the API that these shapes are of.
pub(super) const VERSION: &str = "2023-06-01";

pub(super) fn body(model: &str, wanted: &Wanted) -> Value {
    let system: Vec<&str> = wanted.messages.iter().filter_map(system_text).collect();
    let mut body = json!({
        "model": model,
        "messages": turns(&wanted.messages),
        "max_tokens": wanted.output_tokens_max,
    });
    if !system.is_empty() {
        body["system"] = json!(system.join("\n\n"));
    }
    if !wanted.tools.is_empty() {
        body["tools"] = wanted.tools.iter().map(tool).collect();
    }
    if let Some(temperature) = wanted.temperature {
        body["temperature"] = json!(temperature);
    }
    if wanted.stream {
        body["stream"] = json!(true);
    }
    body
}

fn system_text(message: &Message) -> Option<&str> {
    match message {
        Message::System { text } => Some(text),
        _ => None,
    }
}

/// Results of tools that were called together must come together, in one message of the user.
fn turns(messages: &[Message]) -> Vec<Value> {
    let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
    for message in messages {
        let (role, blocks) = match message {
            Message::System { .. } => continue,
            Message::User { text } => ("user", vec![text_block(text)]),
            Message::Assistant { text, tool_calls } => {
                let calls = tool_calls.iter().map(|call| {
                    // Arguments that are no JSON cannot be told to this API.
                    let input = if call.arguments.is_object() { call.arguments.clone() } else { json!({}) };
                    json!({"type": "tool_use", "id": call.id, "name": call.name, "input": input})
                });
                let text = (!text.is_empty()).then(|| text_block(text));
                ("assistant", text.into_iter().chain(calls).collect())
            }
            Message::Tool { call_id, result } => {
                ("user", vec![json!({"type": "tool_result", "tool_use_id": call_id, "content": result})])
            }
        };
        match turns.last_mut() {
            Some((last, earlier)) if *last == role => earlier.extend(blocks),
            _ => turns.push((role, blocks)),
        }
    }
    turns.into_iter().map(|(role, content)| json!({"role": role, "content": content})).collect()
}

fn text_block(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

fn tool(tool: &Tool) -> Value {
    json!({"name": tool.name, "description": tool.description, "input_schema": tool.parameters})
}

/// Adds one event of a stream; gives the text that is new.
pub(super) fn add_event<'a>(draft: &mut Draft, event: &'a Value) -> Option<&'a str> {
    let index = event["index"].as_u64().unwrap_or(0);
    match event["type"].as_str()? {
        "message_start" => draft.model = event["message"]["model"].as_str().map(str::to_owned),
        "content_block_start" if event["content_block"]["type"] == "tool_use" => {
            start_call(draft, index, &event["content_block"]);
        }
        "content_block_delta" => return add_delta(draft, index, &event["delta"]),
        "message_delta" => draft.finish = event["delta"]["stop_reason"].as_str().map(finish).or(draft.finish),
        _ => {}
    }
    None
}

fn add_delta<'a>(draft: &mut Draft, index: u64, delta: &'a Value) -> Option<&'a str> {
    if let (Some(json), Some(call)) = (delta["partial_json"].as_str(), draft.call_if(index)) {
        call.arguments.push_str(json);
    }
    let text = delta["text"].as_str().filter(|text| !text.is_empty())?;
    draft.text.push_str(text);
    Some(text)
}

fn start_call(draft: &mut Draft, index: u64, block: &Value) {
    if let Some(call) = draft.call(index) {
        call.id = block["id"].as_str().unwrap_or_default().to_owned();
        call.name = block["name"].as_str().unwrap_or_default().to_owned();
    }
}

/// Adds a whole answer.
pub(super) fn add_whole(draft: &mut Draft, body: &Value) {
    draft.model = body["model"].as_str().map(str::to_owned);
    draft.finish = body["stop_reason"].as_str().map(finish);
    for (index, block) in body["content"].as_array().into_iter().flatten().enumerate() {
        if block["type"] == "tool_use" {
            start_call(draft, index as u64, block);
            if let Some(call) = draft.call(index as u64) {
                call.arguments = block["input"].to_string();
            }
        }
        draft.text.push_str(block["text"].as_str().unwrap_or_default());
    }
}

fn finish(reason: &str) -> Finish {
    match reason {
        "end_turn" | "stop_sequence" => Finish::Stop,
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "tool_use" => Finish::ToolCalls,
        "refusal" => Finish::Refused,
        _ => Finish::Other,
    }
}
