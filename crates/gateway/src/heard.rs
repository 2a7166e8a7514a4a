//! The answer of a stream, put together as if it had come in one piece, as far as it is to be kept. Pure.
//!
//! What a person looks for is there under the names that a whole answer has for it, so that the same rules hide it: text,
//! refusals, thoughts that the provider shows, calls of tools, and why it ended.

use serde_json::{Map, Value};

use crate::bodies::kept_value;
use crate::config::Bodies;

/// So many parts of one kind (choices, blocks, calls of tools) are kept.
const PARTS_MAX: u64 = 64;
/// What a part counts beside its text, in bytes.
const PART_BYTES: usize = 64;

/// The texts of a choice of chat completions.
const OF_CHAT: [&str; 3] = ["content", "refusal", "reasoning_content"];
/// The deltas of Anthropic's blocks, and where they belong in a block.
const OF_BLOCK: [(&str, &str); 3] = [("text", "text"), ("thinking", "thinking"), ("partial_json", "input")];
/// The deltas of Responses' parts of an item, and where they belong in a part.
const OF_PART: [(&str, &str); 2] =
    [("response.output_text.delta", "text"), ("response.refusal.delta", "refusal")];

/// An answer that comes in.
pub(crate) struct Heard {
    rules: Bodies,
    answer: Value,
    /// How many bytes may still be taken in.
    left: usize,
    is_cut: bool,
}

/// Where in an answer something belongs.
#[derive(Clone, Copy)]
enum At<'a> {
    Field(&'a str),
    Item(u64),
}
use At::{Field, Item};

impl Heard {
    /// Nothing yet; `None` unless bodies are kept.
    pub(crate) fn of(rules: &Bodies) -> Option<Self> {
        rules.keep.then(|| {
            // Characters may take four bytes, and what is hidden leaves room for more.
            let left = rules.chars_max.saturating_mul(4).saturating_add(4_096);
            Self { rules: rules.clone(), answer: Value::Null, left, is_cut: false }
        })
    }

    /// Takes in an event.
    pub(crate) fn hear(&mut self, event: &Value) {
        for choice in event["choices"].as_array().into_iter().flatten() {
            self.hear_choice(choice);
        }
        match event["type"].as_str().unwrap_or_default() {
            "content_block_start" => {
                let at = [Field("content"), Item(number(&event["index"]))];
                self.name(&at, &event["content_block"]);
            }
            "content_block_delta" => {
                for (said, field) in OF_BLOCK {
                    let at = [Field("content"), Item(number(&event["index"])), Field(field)];
                    self.add(&at, &event["delta"][said]);
                }
            }
            "message_delta" => self.add(&[Field("stop_reason")], &event["delta"]["stop_reason"]),
            "response.output_item.added" => {
                self.name(&[Field("output"), Item(number(&event["output_index"]))], &event["item"]);
            }
            "response.function_call_arguments.delta" => {
                let at = [Field("output"), Item(number(&event["output_index"])), Field("arguments")];
                self.add(&at, &event["delta"]);
            }
            kind => {
                if let Some((_, field)) = OF_PART.iter().find(|(of, _)| *of == kind) {
                    let [item, part] = ["output_index", "content_index"].map(|name| number(&event[name]));
                    let at = [Field("output"), Item(item), Field("content"), Item(part), Field(field)];
                    self.add(&at, &event["delta"]);
                }
            }
        }
    }

    fn hear_choice(&mut self, choice: &Value) {
        let choices = [Field("choices"), Item(number(&choice["index"]))];
        let [a, b] = choices;
        for field in OF_CHAT {
            self.add(&[a, b, Field("message"), Field(field)], &choice["delta"][field]);
        }
        for call in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
            let [c, d] = [Field("message"), Field("tool_calls")];
            let e = Item(number(&call["index"]));
            for field in ["name", "arguments"] {
                self.add(&[a, b, c, d, e, Field("function"), Field(field)], &call["function"][field]);
            }
        }
        self.add(&[a, b, Field("finish_reason")], &choice["finish_reason"]);
    }

    /// What a block or an item is.
    fn name(&mut self, at: &[At<'_>; 2], of: &Value) {
        for field in ["type", "name"] {
            self.add(&[at[0], at[1], Field(field)], &of[field]);
        }
    }

    /// Adds a text where it belongs.
    fn add(&mut self, at: &[At<'_>], text: &Value) {
        let Some(text) = text.as_str().filter(|text| !text.is_empty()) else { return };
        let place = (self.left > 0).then(|| place(&mut self.answer, at)).flatten();
        let Some(place) = place else {
            self.is_cut = true;
            return;
        };
        let cost = if place.is_null() { PART_BYTES } else { 0 };
        let kept = text.floor_char_boundary(self.left.saturating_sub(cost));
        self.is_cut |= kept < text.len();
        self.left = self.left.saturating_sub(cost + kept);
        match place {
            Value::String(told) => told.push_str(&text[..kept]),
            place => *place = text[..kept].into(),
        }
    }

    /// What is kept of it; `None` if nothing was heard.
    pub(crate) fn answer(self) -> Option<String> {
        let Self { rules, answer, is_cut, .. } = self;
        (!answer.is_null()).then(|| kept_value(&rules, answer, is_cut))
    }
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

/// The place, made if it is not there; `None` if that is beyond what is kept.
fn place<'v>(within: &'v mut Value, at: &[At<'_>]) -> Option<&'v mut Value> {
    at.iter().try_fold(within, |within, at| match at {
        Field(name) => {
            if !within.is_object() {
                *within = Value::Object(Map::new());
            }
            Some(&mut within[*name])
        }
        Item(number) if *number < PARTS_MAX => {
            let number = usize::try_from(*number).ok()?;
            if !within.is_array() {
                *within = Value::Array(Vec::new());
            }
            let items = within.as_array_mut()?;
            if items.len() <= number {
                items.resize(number + 1, Value::Null);
            }
            items.get_mut(number)
        }
        Item(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rules(chars_max: usize) -> Bodies {
        Bodies { keep: true, chars_max, redact: vec!["email".to_owned()] }
    }

    fn heard(rules: &Bodies, events: &[Value]) -> String {
        let mut heard = Heard::of(rules).unwrap();
        events.iter().for_each(|event| heard.hear(event));
        heard.answer().unwrap()
    }

    #[test]
    fn each_dialects_stream_is_kept_as_its_answer_in_one_piece() {
        let chat = |delta: Value| json!({"choices": [{"index": 0, "delta": delta, "finish_reason": null}]});
        let call = |index, part: &str| {
            chat(json!({"tool_calls": [{"index": index, "function": {"name": null, "arguments": part}}]}))
        };
        let told = heard(
            &rules(4_000),
            &[
                chat(json!({"role": "assistant", "content": ""})),
                chat(json!({"content": "Ask "})),
                chat(json!({"content": "Ann: sk-proj-abcd"})),
                chat(json!({"content": "ef0123456789"})),
                call(0, "{\"email\":"),
                call(0, "\"ann@example.org\"}"),
                json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
            ],
        );
        assert_eq!(
            told,
            r#"{"choices":[{"finish_reason":"stop","message":{"content":"Ask Ann: sk-[redacted]","tool_calls":[{"function":{"arguments":"{\"email\":\"[redacted]\"}"}}]}}]}"#
        );
        let told = heard(
            &rules(4_000),
            &[
                json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
                json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "one "}}),
                json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "bell"}}),
                json!({"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "name": "mail"}}),
                json!({"type": "content_block_delta", "index": 1, "delta": {"partial_json": "{\"email\":\"ann@"}}),
            ],
        );
        assert_eq!(
            told,
            r#"{"content":[{"text":"one bell","type":"text"},{"input":"[redacted]","name":"mail","type":"tool_use"}]}"#,
            "of a part that broke off nobody can say what is to be hidden"
        );
        let told = heard(
            &rules(4_000),
            &[
                json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "message"}}),
                json!({"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "two "}),
                json!({"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "bells"}),
            ],
        );
        assert_eq!(told, r#"{"output":[{"content":[{"text":"two bells"}],"type":"message"}]}"#);
    }

    #[test]
    fn what_is_kept_is_bounded_however_long_the_stream_and_says_that_it_was_cut() {
        assert!(Heard::of(&Bodies::default()).is_none());
        let mut heard = Heard::of(&rules(100)).unwrap();
        for index in 0..10_000 {
            heard.hear(&json!({"choices": [{"index": index % 100, "delta": {"content": "é".repeat(100)}}]}));
        }
        assert!(heard.answer.to_string().len() < 100_000);
        let told = heard.answer().unwrap();
        assert!(told.starts_with(r#"{"choices":[{"message":{"content":"éé"#), "{told}");
        assert!(told.ends_with("é… [cut]") && told.chars().count() == 107, "{told}");
    }
}
