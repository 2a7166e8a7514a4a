//! Anthropic: `POST /v1/messages`.
//!
//! Shapes after <https://platform.claude.com/docs/en/api/messages> and <https://platform.claude.com/docs/en/api/errors>.

pub(crate) mod stream;

use serde_json::{Value, json};

use crate::completion::{Cache, Completion, Finish, Part, Prompt, Tool};
use crate::dialect::{Ask, chars, essence};
use crate::ledger::Tokens;
use crate::trouble::Trouble;

/// Status and body of an error.
pub(crate) fn error(trouble: &Trouble, request_id: &str) -> (u16, Value) {
    let (status, kind, message) = match trouble {
        Trouble::RateLimited(_) => {
            (429, "rate_limit_error", "The request would exceed the rate limit of the organization.".into())
        }
        Trouble::QuotaExhausted => {
            (429, "rate_limit_error", "The organization has reached its monthly spend limit.".into())
        }
        Trouble::Overloaded => (529, "overloaded_error", "Overloaded".into()),
        Trouble::Unavailable(_) => (503, "api_error", "Service unavailable.".into()),
        Trouble::Server => (500, "api_error", "Internal server error".into()),
        Trouble::ContextOverflow { tokens, max } => {
            (400, "invalid_request_error", format!("prompt is too long: {tokens} tokens > {max} maximum"))
        }
        Trouble::ContentFiltered => {
            (400, "invalid_request_error", "Output blocked by content filtering policy".into())
        }
        Trouble::Invalid { message, .. } => (400, "invalid_request_error", message.clone()),
        Trouble::Unauthorized => (401, "authentication_error", "invalid x-api-key".into()),
        Trouble::Forbidden => (403, "permission_error", "The key may not use this resource.".into()),
        Trouble::NotFound { what } => (404, "not_found_error", format!("{what} does not exist")),
    };
    let mut error = json!({"type": kind, "message": message});
    if *trouble == Trouble::QuotaExhausted {
        error["details"] = json!({"error_code": "enforced_spend_limit_reached"});
    }
    (status, json!({"type": "error", "error": error, "request_id": request_id}))
}

pub(crate) fn read(body: &Value) -> Result<Ask, Trouble> {
    let required = |name: &'static str| Trouble::invalid(format!("{name}: Field required"), Some(name));
    let model = body["model"].as_str().filter(|m| !m.is_empty()).ok_or_else(|| required("model"))?.to_owned();
    let max = body["max_tokens"].as_u64().filter(|max| *max > 0).ok_or_else(|| required("max_tokens"))?;
    let messages =
        body["messages"].as_array().filter(|m| !m.is_empty()).ok_or_else(|| required("messages"))?;
    let tools: Vec<Tool> = body["tools"].as_array().into_iter().flatten().filter_map(tool).collect();
    let choice = &body["tool_choice"];
    let tools = match (choice["type"].as_str(), choice["name"].as_str()) {
        (Some("none"), _) => Vec::new(),
        (Some("tool"), Some(name)) => tools.into_iter().filter(|tool| tool.name == name).collect(),
        _ => tools,
    };
    let prompt = Prompt {
        essence: essence(body),
        chars: messages.iter().map(chars).sum::<u64>() + chars(&body["system"]) + chars(&body["tools"]),
        messages: messages.len() as u64,
        tools,
        tool_required: choice["type"] == "any" || choice["type"] == "tool",
        tool_rounds: messages.iter().filter(|m| calls_tool(m)).count() as u64,
        output_max: Some(max),
        json_schema: None,
        cache: Cache::Marked { chars: marked(body) },
        reasons: false,
        model,
    };
    Ok(Ask { prompt, stream: body["stream"] == true, include_usage: true, embed: None })
}

fn tool(value: &Value) -> Option<Tool> {
    Some(Tool { name: value["name"].as_str()?.to_owned(), parameters: value["input_schema"].clone() })
}

fn calls_tool(message: &Value) -> bool {
    message["content"].as_array().is_some_and(|blocks| blocks.iter().any(|b| b["type"] == "tool_use"))
}

/// The characters up to the last block that is marked for the cache; tools come first, then system, then messages.
fn marked(body: &Value) -> u64 {
    let (mut so_far, mut marked) = (0, 0);
    for block in blocks(body) {
        so_far += chars(block);
        if block.get("cache_control").is_some() {
            marked = so_far - chars(&block["cache_control"]);
        }
    }
    marked
}

fn blocks(body: &Value) -> impl Iterator<Item = &Value> {
    let contents = body["messages"].as_array().into_iter().flatten().map(|message| &message["content"]);
    let list = |value: &'_ Value| -> bool { value.is_array() };
    [&body["tools"], &body["system"]].into_iter().chain(contents).flat_map(move |value| {
        if list(value) { value.as_array().into_iter().flatten().collect::<Vec<_>>() } else { vec![value] }
    })
}

/// Usage as Anthropic counts: `input_tokens` leaves the cached ones out.
pub(crate) fn usage(tokens: &Tokens) -> Value {
    json!({
        "input_tokens": tokens.input - tokens.cached - tokens.cache_write,
        "cache_creation_input_tokens": tokens.cache_write,
        "cache_read_input_tokens": tokens.cached,
        "output_tokens": tokens.output,
        "service_tier": "standard",
    })
}

pub(crate) fn whole(ask: &Ask, done: &Completion) -> Value {
    let content: Vec<Value> = done.parts.iter().map(block).collect();
    message(ask, done, json!(content), json!(stop_reason(done.finish)), usage(&done.tokens))
}

fn message(ask: &Ask, done: &Completion, content: Value, stop_reason: Value, usage: Value) -> Value {
    json!({
        "id": format!("msg_{:016x}", done.draw), "type": "message", "role": "assistant", "model": ask.prompt.model,
        "content": content, "stop_reason": stop_reason, "stop_sequence": null, "usage": usage,
    })
}

fn block(part: &Part) -> Value {
    match part {
        Part::Text(pieces) => json!({"type": "text", "text": pieces.concat()}),
        Part::Tool { id, name, pieces } => {
            // Arguments that were cut off are no JSON; the model's caller gets what there is.
            let text = pieces.concat();
            let input = serde_json::from_str(&text).unwrap_or_else(|_| json!({"partial_json": text}));
            json!({"type": "tool_use", "id": format!("toolu_{id:016x}"), "name": name, "input": input})
        }
    }
}

fn stop_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "end_turn",
        Finish::Length => "max_tokens",
        Finish::Tools => "tool_use",
    }
}
