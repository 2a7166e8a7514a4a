//! What a response says it used.
//!
//! Shapes: OpenAI chat `usage.prompt_tokens`, OpenAI Responses `usage.input_tokens`, Anthropic `usage.input_tokens`
//! beside its cache tokens, Gemini `usageMetadata`. Errors may hold a `usage` too; it counts as well.

use midwatch_workflow::{Charge, Usage};
use serde_json::Value;

use crate::Provider;

/// What a provider says that one call used.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Tokens by kind, and one call.
    pub usage: Usage,
    /// The model that answered, as the provider names it.
    pub model: Option<String>,
    /// The service tier that was billed, e.g. `flex`; prices may depend on it.
    pub tier: Option<String>,
    /// Those of the cache-write tokens that are kept for an hour, which cost more.
    pub cache_write_1h: u64,
    /// Web searches made by the provider, billed one by one.
    pub web_searches: u64,
}

impl Report {
    /// A charge to `target`, still without a price.
    pub fn charge(&self, target: impl Into<String>) -> Charge {
        Charge { target: target.into(), usage: self.usage, ..Charge::default() }
    }
}

/// Reads the usage of a response body, of one event of a stream, or of an error.
///
/// Gives `None` if nothing is said about it.
///
/// ```
/// use midwatch_providers::{Provider, usage_of};
/// let body = serde_json::json!({"model": "gpt-4o", "usage": {"prompt_tokens": 12, "completion_tokens": 3}});
/// let report = usage_of(Provider::OpenAi, &body).unwrap();
/// assert_eq!((report.usage.input, report.usage.output, report.usage.calls), (12, 3, 1));
/// ```
pub fn usage_of(provider: Provider, body: &Value) -> Option<Report> {
    if let Some(metadata) = member(body, "usageMetadata") {
        return Some(gemini(body, metadata));
    }
    // Events of Responses wrap the response, those of Anthropic the message; errors may keep usage inside.
    let holder = [body, &body["response"], &body["message"], &body["error"]]
        .into_iter()
        .find(|holder| holder["usage"].is_object())?;
    let usage = &holder["usage"];
    let mut report = match usage {
        _ if has(usage, "prompt_tokens") || has(usage, "completion_tokens") => chat(usage),
        _ if is_anthropic(provider, usage) => anthropic(usage),
        _ if has(usage, "input_tokens") || has(usage, "output_tokens") => responses(usage),
        _ => return None,
    };
    let text = |name: &str| holder[name].as_str().or(body[name].as_str()).map(str::to_owned);
    report.model = text("model");
    report.tier = text("service_tier");
    Some(report)
}

fn has(value: &Value, name: &str) -> bool {
    value[name].is_u64()
}

fn member<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.get(name).filter(|member| member.is_object())
}

/// A count that may be missing, null or nonsense: then it is nothing.
fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

/// Responses and Anthropic share field names but not their meaning.
fn is_anthropic(provider: Provider, usage: &Value) -> bool {
    match provider {
        Provider::Anthropic => true,
        Provider::OpenAi => false,
        _ => {
            usage.get("cache_read_input_tokens").is_some()
                || usage.get("cache_creation_input_tokens").is_some()
        }
    }
}

fn chat(usage: &Value) -> Report {
    let (input, output) = (&usage["prompt_tokens_details"], &usage["completion_tokens_details"]);
    Report {
        usage: Usage {
            calls: 1,
            input: count(&usage["prompt_tokens"]),
            output: count(&usage["completion_tokens"]),
            cached: count(&input["cached_tokens"]),
            cache_write: count(&input["cache_write_tokens"]),
            reasoning: count(&output["reasoning_tokens"]),
        },
        ..Report::default()
    }
}

fn responses(usage: &Value) -> Report {
    let (input, output) = (&usage["input_tokens_details"], &usage["output_tokens_details"]);
    Report {
        usage: Usage {
            calls: 1,
            input: count(&usage["input_tokens"]),
            output: count(&usage["output_tokens"]),
            cached: count(&input["cached_tokens"]),
            cache_write: count(&input["cache_write_tokens"]),
            reasoning: count(&output["reasoning_tokens"]),
        },
        ..Report::default()
    }
}

/// Anthropic counts tokens read from and written to the cache beside `input_tokens`, not among them.
fn anthropic(usage: &Value) -> Report {
    let cached = count(&usage["cache_read_input_tokens"]);
    let cache_write = count(&usage["cache_creation_input_tokens"]);
    Report {
        usage: Usage {
            calls: 1,
            input: count(&usage["input_tokens"]).saturating_add(cached).saturating_add(cache_write),
            output: count(&usage["output_tokens"]),
            cached,
            cache_write,
            reasoning: count(&usage["output_tokens_details"]["thinking_tokens"]),
        },
        cache_write_1h: count(&usage["cache_creation"]["ephemeral_1h_input_tokens"]),
        web_searches: count(&usage["server_tool_use"]["web_search_requests"]),
        ..Report::default()
    }
}

/// Gemini counts thoughts beside the candidates' tokens, and the prompts of its tools beside the prompt's.
fn gemini(body: &Value, usage: &Value) -> Report {
    let thoughts = count(&usage["thoughtsTokenCount"]);
    Report {
        usage: Usage {
            calls: 1,
            input: count(&usage["promptTokenCount"]).saturating_add(count(&usage["toolUsePromptTokenCount"])),
            output: count(&usage["candidatesTokenCount"]).saturating_add(thoughts),
            cached: count(&usage["cachedContentTokenCount"]),
            cache_write: 0,
            reasoning: thoughts,
        },
        model: body["modelVersion"].as_str().map(str::to_owned),
        ..Report::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Input, output, cached, cache write, reasoning.
    type Counts = [u64; 5];

    fn cases() -> Vec<(&'static str, Provider, &'static str, Value, Counts)> {
        let chat_usage = json!({"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120,
            "prompt_tokens_details": {"cached_tokens": 64}, "completion_tokens_details": {"reasoning_tokens": 8}});
        let responses_usage = json!({"input_tokens": 100, "output_tokens": 20,
            "input_tokens_details": {"cached_tokens": 64}, "output_tokens_details": {"reasoning_tokens": 8}});
        let messages_usage = json!({"input_tokens": 30, "output_tokens": 20, "cache_read_input_tokens": 60,
            "cache_creation_input_tokens": 10, "cache_creation": {"ephemeral_1h_input_tokens": 4}});
        vec![
            (
                "chat",
                Provider::OpenAi,
                "chat",
                json!({"model": "gpt-4o", "usage": chat_usage}),
                [100, 20, 64, 0, 8],
            ),
            (
                "responses",
                Provider::OpenAi,
                "responses",
                json!({"model": "gpt-4o", "usage": responses_usage}),
                [100, 20, 64, 0, 8],
            ),
            (
                "anthropic",
                Provider::Anthropic,
                "default",
                json!({"model": "claude-sonnet-4-5", "usage": messages_usage}),
                [100, 20, 60, 10, 0],
            ),
            (
                "gemini",
                Provider::Gemini,
                "default",
                json!({"modelVersion": "gemini-2.5-pro", "usageMetadata": {"promptTokenCount": 90,
                    "toolUsePromptTokenCount": 10, "candidatesTokenCount": 12, "thoughtsTokenCount": 8,
                    "cachedContentTokenCount": 64}}),
                [100, 20, 64, 0, 8],
            ),
        ]
    }

    fn counts(usage: &Usage) -> Counts {
        [usage.input, usage.output, usage.cached, usage.cache_write, usage.reasoning]
    }

    #[test]
    fn every_providers_usage_is_read() {
        for (name, provider, _, body, expected) in cases() {
            let report = usage_of(provider, &body).expect(name);
            assert_eq!(counts(&report.usage), expected, "{name}");
            assert!(report.model.is_some(), "{name}");
        }
    }

    #[test]
    fn the_price_tables_own_reader_agrees() {
        for (name, provider, flavor, body, expected) in cases() {
            let id = if provider == Provider::Gemini { "google" } else { provider.as_str() };
            let request =
                genai_prices::ExtractRequest::from_value(&body).with_provider_id(id).with_api_flavor(flavor);
            let usage = genai_prices::extract_provider_usage(&request).expect(name).usage;
            let keys = ["input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"];
            for (key, count) in keys.iter().zip(expected) {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                let theirs = usage.get(key).unwrap_or(0.0) as u64;
                assert_eq!(theirs, count, "{name} {key}");
            }
        }
    }

    #[test]
    fn usage_in_errors_and_in_wrapped_events_counts() {
        let usage = json!({"input_tokens": 5, "output_tokens": 2});
        for body in [
            json!({"error": {"type": "server_error"}, "usage": usage}),
            json!({"error": {"type": "server_error", "usage": usage}}),
            json!({"type": "response.failed", "response": {"model": "m", "usage": usage}}),
            json!({"type": "message_start", "message": {"model": "m", "usage": usage}}),
        ] {
            assert_eq!(usage_of(Provider::OpenAi, &body).map(|r| r.usage.tokens()), Some(7), "{body}");
        }
    }

    #[test]
    fn silence_is_not_zero() {
        for body in
            [json!({}), json!(null), json!([]), json!({"usage": null}), json!({"usage": {"seconds": 3}})]
        {
            assert_eq!(usage_of(Provider::OpenAi, &body), None, "{body}");
        }
    }
}
