//! `POST /v1/responses`.

use serde_json::{Value, json};

use super::chat::chosen;
use super::{CREATED, model, reasons};
use crate::completion::{Cache, Completion, Finish, Part, Prompt, Tool};
use crate::dialect::{Ask, chars, chunk, essence};
use crate::ledger::Tokens;
use crate::stream::Transcript;
use crate::trouble::Trouble;

pub(crate) fn read(body: &Value) -> Result<Ask, Trouble> {
    let model = model(body)?;
    let input = &body["input"];
    let items = match input {
        Value::String(_) => 1,
        Value::Array(items) if !items.is_empty() => items.len(),
        _ => return Err(Trouble::invalid("input must be text or an array of items", Some("input"))),
    };
    let tools: Vec<Tool> = body["tools"].as_array().into_iter().flatten().filter_map(tool).collect();
    let choice = &body["tool_choice"];
    let results =
        input.as_array().into_iter().flatten().filter(|i| i["type"] == "function_call_output").count();
    let format = &body["text"]["format"];
    let prompt = Prompt {
        essence: essence(body),
        chars: chars(input) + chars(&body["instructions"]) + chars(&body["tools"]),
        messages: items as u64,
        tools: chosen(tools, choice),
        tool_required: choice == "required" || choice.is_object(),
        tool_rounds: results as u64,
        output_max: body["max_output_tokens"].as_u64(),
        json_schema: (format["type"] == "json_schema").then(|| format["schema"].clone()),
        cache: Cache::Automatic,
        reasons: reasons(&model),
        model,
    };
    Ok(Ask { prompt, stream: body["stream"] == true, include_usage: true, embed: None })
}

fn tool(value: &Value) -> Option<Tool> {
    Some(Tool { name: value["name"].as_str()?.to_owned(), parameters: value["parameters"].clone() })
}

pub(crate) fn usage(tokens: &Tokens) -> Value {
    json!({
        "input_tokens": tokens.input,
        "input_tokens_details": {"cached_tokens": tokens.cached},
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": tokens.input + tokens.output,
    })
}

pub(crate) fn whole(ask: &Ask, done: &Completion) -> Value {
    let cut = done.finish == Finish::Length;
    let output: Vec<Value> =
        done.parts.iter().enumerate().map(|(n, part)| item(done, n, part, "completed")).collect();
    let details = if cut { json!({"reason": "max_output_tokens"}) } else { Value::Null };
    response(
        ask,
        done,
        if cut { "incomplete" } else { "completed" },
        json!(output),
        usage(&done.tokens),
        details,
    )
}

fn response(
    ask: &Ask,
    done: &Completion,
    status: &str,
    output: Value,
    usage: Value,
    incomplete: Value,
) -> Value {
    json!({
        "id": format!("resp_{:016x}", done.draw), "object": "response", "created_at": CREATED, "status": status,
        "error": null, "incomplete_details": incomplete, "model": ask.prompt.model, "output": output,
        "parallel_tool_calls": true, "usage": usage,
    })
}

fn item(done: &Completion, n: usize, part: &Part, status: &str) -> Value {
    match part {
        Part::Text(pieces) => json!({
            "type": "message", "id": format!("msg_{:015x}{n}", done.draw >> 4), "status": status, "role": "assistant",
            "content": [{"type": "output_text", "text": pieces.concat(), "annotations": []}],
        }),
        Part::Tool { id, name, pieces } => json!({
            "type": "function_call", "id": format!("fc_{id:016x}"), "call_id": format!("call_{id:016x}"),
            "status": status, "name": name, "arguments": pieces.concat(),
        }),
    }
}

/// Numbers the events of one stream.
struct Events(u64);

impl Events {
    fn event(&mut self, kind: &str, mut fields: Value) -> String {
        fields["type"] = json!(kind);
        fields["sequence_number"] = json!(self.0);
        self.0 += 1;
        format!("event: {kind}\ndata: {fields}\n\n")
    }
}

pub(crate) fn transcript(ask: &Ask, done: &Completion) -> Transcript {
    let mut events = Events(0);
    let begun = response(ask, done, "in_progress", json!([]), Value::Null, Value::Null);
    let opening = chunk([
        events.event("response.created", json!({"response": begun})),
        events.event("response.in_progress", json!({"response": begun})),
    ]);
    let tokens: Vec<_> =
        done.parts.iter().enumerate().flat_map(|(n, part)| part_events(&mut events, done, n, part)).collect();
    let whole = whole(ask, done);
    let last = if done.finish == Finish::Length { "response.incomplete" } else { "response.completed" };
    let failure = events.0;
    let closing = chunk([events.event(last, json!({"response": whole}))]);
    let failed = Events(failure)
        .event("error", json!({"code": "server_error", "message": "The server failed.", "param": null}));
    Transcript {
        opening,
        tokens,
        closing,
        failure: chunk([failed]),
        bill: done.tokens,
        told_at_opening: Tokens::default(),
        told_at_closing: true,
    }
}

/// One chunk for each token of a part; the first carries what opens the part, the last what closes it.
fn part_events(events: &mut Events, done: &Completion, n: usize, part: &Part) -> Vec<axum::body::Bytes> {
    let empty = match part {
        Part::Text(_) => Part::Text(Vec::new()),
        Part::Tool { id, name, .. } => Part::Tool { id: *id, name: name.clone(), pieces: Vec::new() },
    };
    let begun = item(done, n, &empty, "in_progress");
    let id = begun["id"].clone();
    let place = json!({"item_id": id, "output_index": n, "content_index": 0});
    let with = |name: &str, value: Value| {
        let mut fields = place.clone();
        fields[name] = value;
        fields
    };
    let mut tokens: Vec<String> = Vec::new();
    let added = events.event("response.output_item.added", json!({"output_index": n, "item": begun}));
    let (kind, pieces) = match part {
        Part::Text(pieces) => ("response.output_text", pieces),
        Part::Tool { pieces, .. } => ("response.function_call_arguments", pieces),
    };
    let mut pending = added;
    match part {
        Part::Text(_) => {
            let empty = json!({"type": "output_text", "text": "", "annotations": []});
            pending += &events.event("response.content_part.added", with("part", empty));
        }
        Part::Tool { .. } => tokens.push(std::mem::take(&mut pending)),
    }
    for piece in pieces {
        let delta = events.event(&format!("{kind}.delta"), with("delta", json!(piece)));
        tokens.push(std::mem::take(&mut pending) + &delta);
    }
    let name = if matches!(part, Part::Text(_)) { "text" } else { "arguments" };
    let mut closing = events.event(&format!("{kind}.done"), with(name, json!(pieces.concat())));
    closing += &events.event(
        "response.output_item.done",
        json!({"output_index": n, "item": item(done, n, part, "completed")}),
    );
    if let Some(last) = tokens.last_mut() {
        last.push_str(&closing);
    }
    tokens.into_iter().map(|token| chunk([token])).collect()
}
