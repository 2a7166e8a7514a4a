//! What a span says that a model's call used, under the names of all conventions.

use midwatch_providers::{Prices, Report};
use midwatch_workflow::{Charge, Money, Timestamp, Usage};

use crate::attributes::Attributes;

const INPUT: &[&str] = &[
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.prompt_tokens",
    "llm.token_count.prompt",
    "llm.usage.prompt_tokens",
    "llm.usage.input_tokens",
];
const OUTPUT: &[&str] = &[
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.completion_tokens",
    "llm.token_count.completion",
    "llm.usage.completion_tokens",
    "llm.usage.output_tokens",
];
const CACHED: &[&str] = &[
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_read_input_tokens",
    "gen_ai.usage.input_token_details.cache_read",
    "llm.token_count.prompt_details.cache_read",
    "llm.usage.cache_read_input_tokens",
];
const CACHE_WRITE: &[&str] = &[
    "gen_ai.usage.cache_write.input_tokens",
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens",
    "gen_ai.usage.input_token_details.cache_creation",
    "llm.token_count.prompt_details.cache_write",
    "llm.usage.cache_creation_input_tokens",
];
const REASONING: &[&str] = &[
    "gen_ai.usage.reasoning.output_tokens",
    "gen_ai.usage.reasoning_tokens",
    "gen_ai.usage.output_token_details.reasoning",
    "llm.token_count.completion_details.reasoning",
    "llm.usage.reasoning_tokens",
];
/// No convention has it yet; some senders say what a call cost.
const COST: &[&str] =
    &["gen_ai.usage.cost.amount", "gen_ai.usage.cost", "llm.cost.total", "llm.usage.cost", "llm.cost_usd"];

const MODEL_ASKED: &[&str] =
    &["gen_ai.request.model", "llm.request.model", "llm.model_name", "langsmith.metadata.ls_model_name"];
const MODEL_ANSWERED: &[&str] = &["gen_ai.response.model", "llm.response.model"];
const PROVIDER: &[&str] = &[
    "gen_ai.provider.name",
    "langsmith.metadata.ls_provider",
    "llm.provider",
    "gen_ai.system",
    "llm.system",
    "llm.vendor",
];

/// LangSmith says all of it once more in one object, and some of it only there.
const LANGSMITH: &str = "langsmith.metadata.usage_metadata";

/// The tokens that a span reports; `None` if it says nothing of them.
pub(crate) fn usage(attributes: &Attributes<'_>) -> Option<Usage> {
    let whole = attributes.json(LANGSMITH).unwrap_or_default();
    let count = |names, pointer: &str| {
        let also = || whole.pointer(pointer).and_then(serde_json::Value::as_u64);
        attributes.count(names).or_else(also)
    };
    let (input, output) = (count(INPUT, "/input_tokens"), count(OUTPUT, "/output_tokens"));
    if input.is_none() && output.is_none() {
        return None;
    }
    let mut usage = Usage {
        calls: 1,
        input: input.unwrap_or(0),
        output: output.unwrap_or(0),
        cached: count(CACHED, "/input_token_details/cache_read").unwrap_or(0),
        cache_write: count(CACHE_WRITE, "/input_token_details/cache_creation").unwrap_or(0),
        reasoning: count(REASONING, "/output_token_details/reasoning").unwrap_or(0),
    };
    // By the conventions tokens of the cache are among the input tokens; whose are more counted them beside.
    let of_cache = usage.cached.saturating_add(usage.cache_write);
    if of_cache > usage.input {
        usage.input = usage.input.saturating_add(of_cache);
    }
    if usage.reasoning > usage.output {
        usage.output = usage.output.saturating_add(usage.reasoning);
    }
    Some(usage)
}

/// Who was paid, `provider:model`; `None` if the span names no model.
pub(crate) fn target(attributes: &Attributes<'_>) -> Option<String> {
    let model = attributes.name(MODEL_ASKED).or_else(|| attributes.name(MODEL_ANSWERED))?;
    let named = PROVIDER.iter().find_map(|name| provider(attributes.name(&[name])?));
    // A router names models as `provider/model`.
    let routed = model.split_once('/').and_then(|(first, rest)| Some((provider(first)?, rest)));
    match (named, routed) {
        (Some(named), Some((routed, rest))) if named == routed => Some(format!("{named}:{rest}")),
        (Some(named), _) => Some(format!("{named}:{model}")),
        (None, Some((routed, rest))) => Some(format!("{routed}:{rest}")),
        (None, None) => Some(format!("{}:{model}", maker(model))),
    }
}

/// The name under which prices know a provider; `None` for what is none, such as a framework.
fn provider(name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase();
    let known = match name.as_str() {
        "langchain" | "langgraph" | "litellm" | "crewai" | "llamaindex" | "haystack" | "unknown" => {
            return None;
        }
        "openai" | "openai_responses" | "openai-chat" => "openai",
        "azure" | "azure.ai.openai" | "az.ai.openai" | "azure_openai" | "azure.ai.inference"
        | "az.ai.inference" => "azure",
        "anthropic" | "anthropic-chat" => "anthropic",
        "aws.bedrock" | "bedrock" | "amazon_bedrock" | "bedrock_converse" => "aws",
        "google" | "gemini" | "gcp.gemini" | "gcp.gen_ai" | "gcp.vertex_ai" | "vertexai" | "vertex_ai"
        | "google_genai" | "google_vertexai" => "google",
        "x_ai" | "xai" | "x-ai" => "x-ai",
        "mistral_ai" | "mistralai" | "mistral" => "mistral",
        _ => return (!name.contains(char::is_whitespace)).then_some(name),
    };
    Some(known.to_owned())
}

/// Whose model it is by its name.
fn maker(model: &str) -> &'static str {
    let starts = |names: &[&str]| names.iter().any(|name| model.starts_with(name));
    match () {
        () if starts(&["gpt-", "o1", "o3", "o4", "chatgpt-", "text-embedding-"]) => "openai",
        () if starts(&["claude-"]) => "anthropic",
        () if starts(&["gemini-"]) => "google",
        () if starts(&["mistral-", "codestral-"]) => "mistral",
        () if starts(&["deepseek-"]) => "deepseek",
        () if starts(&["grok-"]) => "x-ai",
        () => "unknown",
    }
}

/// The charge that a span is, priced: by the tables, or else as the sender says, or else not at all.
pub(crate) fn charge(attributes: &Attributes<'_>, prices: &Prices, at: Timestamp) -> Option<Charge> {
    let usage = usage(attributes)?;
    let report = Report {
        usage,
        model: attributes.name(MODEL_ANSWERED).map(str::to_owned),
        tier: attributes
            .name(&["gen_ai.openai.response.service_tier", "openai.response.service_tier"])
            .map(str::to_owned),
        ..Report::default()
    };
    let target = target(attributes).unwrap_or_else(|| "unknown:unknown".to_owned());
    let charge = prices.price(report.charge(target), &report, at);
    if charge.cost.is_some() {
        return Some(charge);
    }
    let said = attributes.amount(COST).filter(|usd| usd.is_finite() && (0.0..1e6).contains(usd));
    let cost = said.and_then(|usd| format!("{usd:.12}").parse::<Money>().ok());
    Some(Charge { price: cost.map(|_| "as the span says".to_owned()), cost, ..charge })
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::KeyValue;

    use super::*;
    use crate::attributes::attribute;

    fn numbers(pairs: &[(&str, i64)]) -> Vec<KeyValue> {
        pairs.iter().map(|(name, value)| attribute(name, *value)).collect()
    }

    fn texts(pairs: &[(&str, &str)]) -> Vec<KeyValue> {
        pairs.iter().map(|(name, value)| attribute(name, (*value).to_owned())).collect()
    }

    #[test]
    fn every_convention_says_the_same() {
        let expected = Usage { calls: 1, input: 100, output: 20, cached: 60, cache_write: 10, reasoning: 5 };
        let conventions: [&[(&str, i64)]; 5] = [
            &[
                ("gen_ai.usage.input_tokens", 100),
                ("gen_ai.usage.output_tokens", 20),
                ("gen_ai.usage.cache_read.input_tokens", 60),
                ("gen_ai.usage.cache_write.input_tokens", 10),
                ("gen_ai.usage.reasoning.output_tokens", 5),
            ],
            &[
                ("gen_ai.usage.prompt_tokens", 100),
                ("gen_ai.usage.completion_tokens", 20),
                ("gen_ai.usage.cache_read_input_tokens", 60),
                ("gen_ai.usage.cache_creation_input_tokens", 10),
                ("gen_ai.usage.reasoning_tokens", 5),
            ],
            &[
                ("llm.token_count.prompt", 100),
                ("llm.token_count.completion", 20),
                ("llm.token_count.prompt_details.cache_read", 60),
                ("llm.token_count.prompt_details.cache_write", 10),
                ("llm.token_count.completion_details.reasoning", 5),
            ],
            &[
                ("llm.usage.prompt_tokens", 100),
                ("llm.usage.completion_tokens", 20),
                ("llm.usage.cache_read_input_tokens", 60),
                ("llm.usage.cache_creation_input_tokens", 10),
                ("llm.usage.reasoning_tokens", 5),
            ],
            // Counted beside the input, as Anthropic's own API does.
            &[
                ("gen_ai.usage.input_tokens", 30),
                ("gen_ai.usage.output_tokens", 20),
                ("gen_ai.usage.cache_read.input_tokens", 60),
                ("gen_ai.usage.cache_creation.input_tokens", 10),
                ("gen_ai.usage.reasoning.output_tokens", 5),
            ],
        ];
        for pairs in conventions {
            let list = numbers(pairs);
            assert_eq!(usage(&Attributes::of(&list)), Some(expected), "{pairs:?}");
        }
        let whole = r#"{"input_tokens":100,"output_tokens":20,"input_token_details":{"cache_read":60,"cache_creation":10},
            "output_token_details":{"reasoning":5}}"#;
        let list = texts(&[(LANGSMITH, whole)]);
        assert_eq!(usage(&Attributes::of(&list)), Some(expected));
        assert_eq!(usage(&Attributes::default()), None);
    }

    #[test]
    fn targets_have_the_names_that_prices_know() {
        for (pairs, expected) in [
            (&[("gen_ai.provider.name", "openai"), ("gen_ai.request.model", "gpt-4o")][..], "openai:gpt-4o"),
            (&[("gen_ai.system", "az.ai.openai"), ("gen_ai.request.model", "gpt-4o")], "azure:gpt-4o"),
            (
                &[("gen_ai.provider.name", "gcp.gemini"), ("gen_ai.request.model", "gemini-2.5-pro")],
                "google:gemini-2.5-pro",
            ),
            (
                &[("llm.system", "anthropic"), ("llm.model_name", "claude-sonnet-4-5")],
                "anthropic:claude-sonnet-4-5",
            ),
            (
                &[("gen_ai.system", "langchain"), ("gen_ai.request.model", "claude-sonnet-4-5")],
                "anthropic:claude-sonnet-4-5",
            ),
            (&[("gen_ai.request.model", "openai/gpt-4o")], "openai:gpt-4o"),
            (
                &[("gen_ai.provider.name", "openai"), ("gen_ai.request.model", "openai/gpt-4o")],
                "openai:gpt-4o",
            ),
            (
                &[("gen_ai.provider.name", "groq"), ("gen_ai.request.model", "meta/llama-4")],
                "groq:meta/llama-4",
            ),
            (&[("gen_ai.request.model", "my-own")], "unknown:my-own"),
        ] {
            let list = texts(pairs);
            assert_eq!(target(&Attributes::of(&list)).as_deref(), Some(expected), "{pairs:?}");
        }
    }

    #[test]
    fn a_price_is_that_of_the_tables_or_else_what_the_span_says_or_none() {
        let at = Timestamp::from_micros(1_793_491_200_000_000);
        let cost = |model: &str, said: Option<f64>| {
            let mut list = numbers(&[("gen_ai.usage.input_tokens", 1_000_000)]);
            list.push(attribute("gen_ai.request.model", model.to_owned()));
            list.extend(said.map(|usd| attribute("gen_ai.usage.cost", usd)));
            let charge = charge(&Attributes::of(&list), &Prices::bundled(), at).unwrap();
            charge.cost.map(|cost| cost.to_string())
        };
        assert_eq!(cost("gpt-4o", Some(9.0)).as_deref(), Some("$2.50"));
        assert_eq!(cost("my-own", Some(0.25)).as_deref(), Some("$0.25"));
        assert_eq!(cost("my-own", None), None);
    }
}
