//! OpenAI's chat completions: <https://platform.openai.com/docs/api-reference/chat>.

use serde_json::{Value, json};

use super::answer::Finish;
use super::draft::Draft;
use super::message::{Message, Tool, ToolCall};
use super::request::Wanted;

pub(super) fn body(model: &str, is_official: bool, wanted: &Wanted) -> Value {
    let mut body = json!({
        "model": model,
        "messages": wanted.messages.iter().map(message).collect::<Vec<_>>(),
    });
    // OpenAI's newer models refuse the old name, and many compatible servers know no other.
    let limit = if is_official { "max_completion_tokens" } else { "max_tokens" };
    body[limit] = json!(wanted.output_tokens_max);
    if !wanted.tools.is_empty() {
        body["tools"] = wanted.tools.iter().map(tool).collect();
    }
    if let Some(temperature) = wanted.temperature {
        body["temperature"] = json!(temperature);
    }
    if wanted.stream {
        body["stream"] = json!(true);
        body["stream_options"] = json!({"include_usage": true});
    }
    body
}

fn message(message: &Message) -> Value {
    match message {
        Message::System { text } => json!({"role": "system", "content": text}),
        Message::User { text } => json!({"role": "user", "content": text}),
        Message::Assistant { text, tool_calls } if tool_calls.is_empty() => {
            json!({"role": "assistant", "content": text})
        }
        Message::Assistant { text, tool_calls } => {
            let content = if text.is_empty() { Value::Null } else { json!(text) };
            let calls: Vec<Value> = tool_calls.iter().map(call).collect();
            json!({"role": "assistant", "content": content, "tool_calls": calls})
        }
        Message::Tool { call_id, result } => {
            json!({"role": "tool", "tool_call_id": call_id, "content": result})
        }
    }
}

fn call(call: &ToolCall) -> Value {
    let arguments = match &call.arguments {
        Value::String(text) => text.clone(),
        json => json.to_string(),
    };
    json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}})
}

fn tool(tool: &Tool) -> Value {
    let Tool { name, description, parameters } = tool;
    json!({"type": "function", "function": {"name": name, "description": description, "parameters": parameters}})
}

/// Adds one event of a stream; gives the text that is new.
pub(super) fn add_event<'a>(draft: &mut Draft, event: &'a Value) -> Option<&'a str> {
    let choice = event["choices"].get(0)?;
    add(draft, event, choice, &choice["delta"])
}

/// Adds a whole answer.
pub(super) fn add_whole(draft: &mut Draft, body: &Value) {
    let choice = &body["choices"][0];
    add(draft, body, choice, &choice["message"]);
}

fn add<'a>(draft: &mut Draft, body: &Value, choice: &Value, part: &'a Value) -> Option<&'a str> {
    if let (None, Some(model)) = (&draft.model, body["model"].as_str()) {
        draft.model = Some(model.to_owned());
    }
    for (at, call) in part["tool_calls"].as_array().into_iter().flatten().enumerate() {
        add_call(draft, call["index"].as_u64().unwrap_or(at as u64), call);
    }
    draft.finish = choice["finish_reason"].as_str().map(finish).or(draft.finish);
    if part["refusal"].as_str().is_some_and(|refusal| !refusal.is_empty()) {
        draft.finish = Some(Finish::Refused);
    }
    // A refusal is the model's answer too.
    let text = part["content"].as_str().or(part["refusal"].as_str()).filter(|text| !text.is_empty())?;
    draft.text.push_str(text);
    Some(text)
}

fn add_call(draft: &mut Draft, index: u64, part: &Value) {
    let Some(call) = draft.call(index) else { return };
    for (field, part) in [
        (&mut call.id, &part["id"]),
        (&mut call.name, &part["function"]["name"]),
        (&mut call.arguments, &part["function"]["arguments"]),
    ] {
        field.push_str(part.as_str().unwrap_or_default());
    }
}

fn finish(reason: &str) -> Finish {
    match reason {
        "stop" => Finish::Stop,
        "length" => Finish::Length,
        "tool_calls" | "function_call" => Finish::ToolCalls,
        "content_filter" => Finish::Refused,
        _ => Finish::Other,
    }
}
