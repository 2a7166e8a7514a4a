//! The event stream of a message.

use serde_json::{Value, json};

use super::{message, stop_reason, usage};
use crate::completion::{Completion, Part};
use crate::dialect::{Ask, chunk};
use crate::ledger::Tokens;
use crate::stream::Transcript;

/// What `message_start` says about the output that is still to come.
const OUTPUT_AT_START: u64 = 1;

fn event(mut fields: Value, kind: &str) -> String {
    fields["type"] = json!(kind);
    format!("event: {kind}\ndata: {fields}\n\n")
}

pub(crate) fn transcript(ask: &Ask, done: &Completion) -> Transcript {
    let told = Tokens { output: OUTPUT_AT_START.min(done.tokens.output), ..done.tokens };
    let start = message(ask, done, json!([]), Value::Null, usage(&told));
    let opening = chunk([event(json!({"message": start}), "message_start"), event(json!({}), "ping")]);
    let tokens = done.parts.iter().enumerate().flat_map(|(n, part)| part_events(n, part)).collect();
    let failure = json!({"error": {"type": "overloaded_error", "message": "Overloaded"}});
    Transcript {
        opening,
        tokens,
        closing: closing(done),
        failure: chunk([event(failure, "error")]),
        bill: done.tokens,
        told_at_opening: told,
        told_at_closing: true,
    }
}

/// The usage in `message_delta` is cumulative and there may be several: here are two, so that adding them up shows.
fn closing(done: &Completion) -> axum::body::Bytes {
    let delta = |reason: Value, output: u64| {
        let fields = json!({
            "delta": {"stop_reason": reason, "stop_sequence": null},
            "usage": {"output_tokens": output},
        });
        event(fields, "message_delta")
    };
    chunk([
        delta(Value::Null, done.tokens.output / 2),
        delta(json!(stop_reason(done.finish)), done.tokens.output),
        event(json!({}), "message_stop"),
    ])
}

/// One chunk for each token of a block; the first carries what opens the block, the last what closes it.
fn part_events(n: usize, part: &Part) -> Vec<axum::body::Bytes> {
    let (block, pieces, text) = match part {
        Part::Text(pieces) => (json!({"type": "text", "text": ""}), pieces, true),
        Part::Tool { id, name, pieces } => {
            let id = format!("toolu_{id:016x}");
            (json!({"type": "tool_use", "id": id, "name": name, "input": {}}), pieces, false)
        }
    };
    let mut pending = event(json!({"index": n, "content_block": block}), "content_block_start");
    let mut tokens: Vec<String> = Vec::new();
    if !text {
        tokens.push(std::mem::take(&mut pending));
    }
    for piece in pieces {
        let delta = if text {
            json!({"type": "text_delta", "text": piece})
        } else {
            json!({"type": "input_json_delta", "partial_json": piece})
        };
        let delta = event(json!({"index": n, "delta": delta}), "content_block_delta");
        tokens.push(std::mem::take(&mut pending) + &delta);
    }
    if let Some(last) = tokens.last_mut() {
        last.push_str(&event(json!({"index": n}), "content_block_stop"));
    }
    tokens.into_iter().map(|token| chunk([token])).collect()
}
