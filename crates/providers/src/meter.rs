//! What a stream has used so far, known at every moment: also when it is cut.

use midwatch_workflow::{Certainty, Charge, Usage};
use serde_json::Value;

use crate::estimate::estimate_output;
use crate::usage::{Report, usage_of};
use crate::{Provider, SseEvent};

/// Reads along with a stream of OpenAI (chat, Responses), Anthropic or Gemini.
///
/// Until the provider has had its last word, the usage is estimated. Input: what the provider said at the start
/// (Anthropic), else the caller's estimate. Output: the larger of what the provider last said, and what was seen of text,
/// arguments and thoughts. There a delta of up to ten characters is one token, since most providers send token by token;
/// a longer one is a batch, and a token for every four characters. What the provider generated and did not send
/// (reasoning, what was under way when the connection broke) is in neither.
#[derive(Clone, Debug)]
pub struct StreamMeter {
    provider: Provider,
    input_estimate: u64,
    said: Report,
    /// Usage that came is final: with a finish reason, or in an event that ends the stream.
    is_final: bool,
    has_finish: bool,
    has_usage: bool,
    /// Output tokens that were seen.
    seen: u64,
}

/// Deltas of up to so many characters are one token.
const DELTA_CHARS_MAX: usize = 10;

impl StreamMeter {
    /// Starts at nothing; `input_estimate` is taken for the input until the provider says better, see
    /// [`estimate_input`](crate::estimate_input).
    pub fn new(provider: Provider, input_estimate: u64) -> Self {
        Self {
            provider,
            input_estimate,
            said: Report::default(),
            is_final: false,
            has_finish: false,
            has_usage: false,
            seen: 0,
        }
    }

    /// Takes an event; whatever is no JSON, such as `[DONE]`, says nothing about usage.
    pub fn observe(&mut self, event: &SseEvent) {
        if let Ok(value) = serde_json::from_str(&event.data) {
            self.observe_value(&value);
        }
    }

    /// Takes an event that is parsed already.
    pub fn observe_value(&mut self, event: &Value) {
        self.see_text(event);
        if let Some(report) = usage_of(self.provider, event) {
            self.take(report);
            self.has_usage |= !matches!(event["type"].as_str(), Some("message_start"));
        }
        if self.said.model.is_none() {
            self.said.model = model(event);
        }
        self.has_finish |= is_finish(event);
        self.is_final = self.has_finish && self.has_usage;
    }

    /// Usage in streams is cumulative: the last word wins, but a later event that leaves a kind out (Anthropic's
    /// `message_delta` may say the output alone) takes nothing back.
    fn take(&mut self, report: Report) {
        let (said, new) = (&mut self.said.usage, report.usage);
        said.calls = 1;
        for (said, new) in [
            (&mut said.input, new.input),
            (&mut said.output, new.output),
            (&mut said.cached, new.cached),
            (&mut said.cache_write, new.cache_write),
            (&mut said.reasoning, new.reasoning),
            (&mut self.said.cache_write_1h, report.cache_write_1h),
            (&mut self.said.web_searches, report.web_searches),
        ] {
            if new > 0 {
                *said = new;
            }
        }
        if report.model.is_some() {
            self.said.model = report.model;
        }
        if report.tier.is_some() {
            self.said.tier = report.tier;
        }
    }

    fn see_text(&mut self, event: &Value) {
        for text in texts(event).into_iter().flatten().filter(|text| !text.is_empty()) {
            let is_token = text.chars().nth(DELTA_CHARS_MAX).is_none();
            self.seen += if is_token { 1 } else { estimate_output(text) };
        }
    }

    /// What was used so far, as well as it is known.
    pub fn report(&self) -> (Report, Certainty) {
        let mut report = self.said.clone();
        report.usage.calls = 1;
        if self.is_final {
            return (report, Certainty::Exact);
        }
        let Usage { input, output, .. } = &mut report.usage;
        if *input == 0 {
            *input = self.input_estimate;
        }
        *output = (*output).max(self.seen);
        (report, Certainty::Estimated)
    }

    /// A charge to `target` for what was used so far, still without a price.
    pub fn charge(&self, target: impl Into<String>) -> Charge {
        let (report, certainty) = self.report();
        Charge { certainty, ..report.charge(target) }
    }
}

/// The text that an event adds to the answer: visible text, arguments of tools, thoughts.
fn texts(event: &Value) -> [Option<&str>; 4] {
    let delta = &event["delta"];
    // Where a tool call begins, its name is all there is.
    if matches!(event["type"].as_str(), Some("content_block_start" | "response.output_item.added")) {
        return [event["content_block"]["name"].as_str(), event["item"]["name"].as_str(), None, None];
    }
    // Responses: `delta` is the text itself. Its `done` events repeat what was there already and have no delta.
    if let Some(text) = delta.as_str() {
        return [Some(text), None, None, None];
    }
    if delta.is_object() {
        return [&delta["text"], &delta["partial_json"], &delta["thinking"], &Value::Null].map(Value::as_str);
    }
    if let Some(choice) = event["choices"].get(0) {
        let delta = &choice["delta"];
        let call = &delta["tool_calls"][0]["function"];
        return [&delta["content"], &call["arguments"], &delta["reasoning_content"], &call["name"]]
            .map(Value::as_str);
    }
    let parts = &event["candidates"][0]["content"]["parts"];
    [&parts[0]["text"], &parts[1]["text"], &parts[2]["text"], &parts[3]["text"]].map(Value::as_str)
}

fn model(event: &Value) -> Option<String> {
    [&event["model"], &event["message"]["model"], &event["response"]["model"], &event["modelVersion"]]
        .into_iter()
        .find_map(Value::as_str)
        .map(str::to_owned)
}

/// Whether the provider says that the answer is complete.
fn is_finish(event: &Value) -> bool {
    let kind = event["type"].as_str().unwrap_or_default();
    matches!(kind, "message_stop" | "response.completed" | "response.incomplete" | "response.failed")
        || event["delta"]["stop_reason"].is_string()
        || event["choices"][0]["finish_reason"].is_string()
        || event["candidates"][0]["finishReason"].is_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn openai() -> Vec<Value> {
        let chunk = |delta: Value, finish: Value| {
            json!({"model": "gpt-4o-2024-08-06", "usage": null,
                "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
        };
        vec![
            chunk(json!({"role": "assistant", "content": ""}), Value::Null),
            chunk(json!({"content": "Once"}), Value::Null),
            chunk(json!({"content": " upon"}), Value::Null),
            chunk(json!({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}), Value::Null),
            chunk(json!({}), json!("stop")),
            json!({"model": "gpt-4o-2024-08-06", "choices": [],
                "usage": {"prompt_tokens": 40, "completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 2}}}),
        ]
    }

    fn responses() -> Vec<Value> {
        vec![
            json!({"type": "response.created", "response": {"model": "gpt-4o", "usage": null}}),
            json!({"type": "response.output_text.delta", "delta": "Once"}),
            json!({"type": "response.output_text.delta", "delta": " upon a time"}),
            json!({"type": "response.output_text.done", "text": "Once upon a time"}),
            json!({"type": "response.completed", "response": {"model": "gpt-4o",
                "usage": {"input_tokens": 40, "output_tokens": 9, "output_tokens_details": {"reasoning_tokens": 2}}}}),
        ]
    }

    fn anthropic() -> Vec<Value> {
        vec![
            json!({"type": "message_start", "message": {"model": "claude-sonnet-4-5",
                "usage": {"input_tokens": 30, "cache_read_input_tokens": 10, "output_tokens": 1}}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Once upon"}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{}"}}),
            json!({"type": "message_delta", "delta": {"stop_reason": null}, "usage": {"output_tokens": 4}}),
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}}),
            json!({"type": "message_stop"}),
        ]
    }

    fn gemini() -> Vec<Value> {
        let chunk = |text: &str, finish: Value, output: u64| {
            json!({"modelVersion": "gemini-2.5-pro",
                "candidates": [{"content": {"parts": [{"text": text}]}, "finishReason": finish}],
                "usageMetadata": {"promptTokenCount": 40, "candidatesTokenCount": output, "thoughtsTokenCount": 2}})
        };
        vec![
            chunk("Once", Value::Null, 1),
            chunk(" upon", Value::Null, 2),
            chunk(" a time", json!("STOP"), 7),
        ]
    }

    fn metered(provider: Provider, events: &[Value]) -> (Report, Certainty) {
        let mut meter = StreamMeter::new(provider, 37);
        events.iter().for_each(|event| meter.observe_value(event));
        meter.report()
    }

    fn streams() -> [(Provider, Vec<Value>); 4] {
        [
            (Provider::OpenAi, openai()),
            (Provider::OpenAi, responses()),
            (Provider::Anthropic, anthropic()),
            (Provider::Gemini, gemini()),
        ]
    }

    #[test]
    fn a_whole_stream_is_metered_exactly() {
        for (provider, events) in streams() {
            let (report, certainty) = metered(provider, &events);
            assert_eq!(
                (report.usage.input, report.usage.output, report.usage.calls),
                (40, 9, 1),
                "{provider}"
            );
            assert_eq!(certainty, Certainty::Exact, "{provider}");
            assert!(report.model.is_some(), "{provider}");
        }
    }

    #[test]
    fn a_cut_stream_is_estimated_and_never_more_than_the_whole() {
        for (provider, events) in streams() {
            let mut before = 0;
            for cut in 0..events.len() - 1 {
                let (report, certainty) = metered(provider, &events[..cut]);
                assert_eq!(certainty, Certainty::Estimated, "{provider} cut at {cut}");
                assert!(
                    (before..=9).contains(&report.usage.output),
                    "{provider} cut at {cut}: {:?}",
                    report.usage
                );
                before = report.usage.output;
            }
        }
    }

    #[test]
    fn the_input_of_a_cut_stream_is_the_providers_word_or_the_callers_estimate() {
        assert_eq!(metered(Provider::OpenAi, &openai()[..2]).0.usage.input, 37);
        let (report, _) = metered(Provider::Anthropic, &anthropic()[..2]);
        assert_eq!((report.usage.input, report.usage.cached), (40, 10));
    }

    #[test]
    fn a_short_delta_is_a_token_and_a_long_one_a_token_for_four_characters() {
        for (text, tokens) in
            [("a", 1), (" eastward.", 1), ("Once upon a time", 4), ("十一個漢字就是十一個詞", 11)]
        {
            let event = json!({"choices": [{"delta": {"content": text}}]});
            let (report, _) = metered(Provider::OpenAi, &vec![event; 7]);
            assert_eq!(report.usage.output, 7 * tokens, "{text}");
        }
    }
}
