//! The names of attributes, all in one place: OpenTelemetry's semantic conventions for generative AI, pinned, and ours.
//!
//! Pinned to the conventions of the core repository, version 1.42. They are marked as *development* there, and the
//! repository that they moved to renames some of them; backends know the older names, so those are sent.
//! <https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/>
//!
//! No convention knows what a call cost, or how often it was tried: those are the `llm.` names. What is ours begins with
//! `midwatch.`. Cost stands on attempts alone, so that adding up the spans of a trace counts nothing twice; what a run
//! cost in all stands on the run's span, under another name.

use std::borrow::Cow;

use midwatch_workflow::{Certainty, Charge, Spent};

use super::span::{Attributes, Value};

/// What kind of call it was.
pub const GEN_AI_OPERATION: &str = "gen_ai.operation.name";
/// Whose model it was.
pub const GEN_AI_PROVIDER: &str = "gen_ai.provider.name";
/// The model that was asked for.
pub const GEN_AI_REQUEST_MODEL: &str = "gen_ai.request.model";
/// The model that answered, and that is paid.
pub const GEN_AI_RESPONSE_MODEL: &str = "gen_ai.response.model";
/// Input tokens, cached ones included.
pub const GEN_AI_INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
/// Output tokens, reasoning included.
pub const GEN_AI_OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
/// Input tokens that were read from a cache.
pub const GEN_AI_CACHE_READ: &str = "gen_ai.usage.cache_read.input_tokens";
/// Input tokens that were written to a cache.
pub const GEN_AI_CACHE_CREATION: &str = "gen_ai.usage.cache_creation.input_tokens";
/// Output tokens that were reasoning.
pub const GEN_AI_REASONING: &str = "gen_ai.usage.reasoning.output_tokens";
/// The workflow.
pub const GEN_AI_WORKFLOW: &str = "gen_ai.workflow.name";
/// The class of a failure.
pub const ERROR_TYPE: &str = "error.type";
/// The outside party.
pub const PEER_SERVICE: &str = "peer.service";
/// What an outside party answered.
pub const HTTP_STATUS: &str = "http.response.status_code";
/// The class of a failure, on the happening that tells of it.
pub const EXCEPTION_TYPE: &str = "exception.type";
/// A failure in words.
pub const EXCEPTION_MESSAGE: &str = "exception.message";

/// All tokens of an attempt.
pub const LLM_TOKENS: &str = "llm.token_count";
/// What an attempt cost, in dollars; not there if no price is known.
pub const LLM_COST: &str = "llm.cost_usd";
/// How often it was tried before.
pub const LLM_RETRIES: &str = "llm.retry_count";

/// What the span is.
pub const KIND: &str = "midwatch.kind";
/// The run.
pub const RUN: &str = "midwatch.run";
/// The user's id for the run.
pub const WORKFLOW_ID: &str = "midwatch.workflow_id";
/// For whom it runs.
pub const TENANT: &str = "midwatch.tenant";
/// The process that took it up.
pub const WORKER: &str = "midwatch.worker";
/// The step.
pub const STEP: &str = "midwatch.step";
/// The how-manieth use of it.
pub const NTH: &str = "midwatch.step.nth";
/// Which attempt.
pub const ATTEMPT: &str = "midwatch.attempt";
/// How many attempts there were.
pub const ATTEMPTS: &str = "midwatch.attempts";
/// How many of them failed.
pub const FAILURES: &str = "midwatch.failed_attempts";
/// Through which queue.
pub const QUEUE: &str = "midwatch.queue";
/// What held it back.
pub const HELD_BY: &str = "midwatch.held_by";
/// Why the wait is so long, why it was given up, why it is parked.
pub const BECAUSE: &str = "midwatch.because";
/// Whether the attempt may have had its effect although it failed.
pub const AMBIGUOUS: &str = "midwatch.ambiguous";
/// How long the target asked to wait, in milliseconds.
pub const RETRY_AFTER_MS: &str = "midwatch.retry_after_ms";
/// How many heartbeats came.
pub const HEARTBEATS: &str = "midwatch.heartbeats";
/// How well the usage is known, if the provider did not say it: `estimated` or `bound`.
pub const CERTAINTY: &str = "midwatch.certainty";
/// How many charges have no price.
pub const UNPRICED: &str = "midwatch.unpriced";
/// Whether the step undoes another.
pub const UNDOES: &str = "midwatch.undoes";
/// Whether the workflow no longer wanted it.
pub const ABANDONED: &str = "midwatch.abandoned";
/// Whether the wait ended without what was waited for.
pub const TIMED_OUT: &str = "midwatch.timed_out";
/// The signal.
pub const SIGNAL: &str = "midwatch.signal";
/// The child run.
pub const CHILD_RUN: &str = "midwatch.child.run";
/// The status that the run ended with.
pub const STATUS: &str = "midwatch.status";
/// What the run cost, all attempts, in dollars.
pub const RUN_COST: &str = "midwatch.run.cost_usd";
/// What failed attempts cost of it.
pub const RUN_WASTED: &str = "midwatch.run.wasted_usd";
/// The tokens of all attempts.
pub const RUN_TOKENS: &str = "midwatch.run.token_count";
/// How many attempts were retries.
pub const RUN_RETRIES: &str = "midwatch.run.retry_count";
/// How many steps were undone.
pub const COMPENSATED: &str = "midwatch.compensated";
/// How often the run was taken back before.
pub const REWINDS: &str = "midwatch.rewinds";
/// How many happenings were left out.
pub const LEFT_OUT: &str = "midwatch.happenings_left_out";

/// What a call of a model is called, and what is known of it; `None` if no tokens were spent.
pub(super) fn model_call(target: Option<&str>, charges: &[Charge]) -> Option<(String, Attributes)> {
    let main = charges.iter().max_by_key(|charge| charge.usage.tokens())?;
    let (provider, model) = main.target.split_once(':').unwrap_or(("", &main.target));
    let asked = target.and_then(|target| target.split_once(':')).map_or(model, |(_, model)| model);
    let operation = if model.contains("embed") { "embeddings" } else { "chat" };
    let mut attributes: Attributes = vec![(GEN_AI_OPERATION, operation.into())];
    if !provider.is_empty() {
        attributes.push((GEN_AI_PROVIDER, Value::Text(provider_name(provider))));
    }
    attributes.push((GEN_AI_REQUEST_MODEL, asked.to_owned().into()));
    attributes.push((GEN_AI_RESPONSE_MODEL, model.to_owned().into()));
    spent(charges, &mut attributes);
    Some((format!("{operation} {asked}"), attributes))
}

/// Adds tokens and cost. A part that was not used is left out.
fn spent(charges: &[Charge], attributes: &mut Attributes) {
    let mut sum = Spent::default();
    sum.add_all(charges);
    let usage = sum.usage;
    attributes.push((GEN_AI_INPUT_TOKENS, usage.input.into()));
    attributes.push((GEN_AI_OUTPUT_TOKENS, usage.output.into()));
    for (name, tokens) in [
        (GEN_AI_CACHE_READ, usage.cached),
        (GEN_AI_CACHE_CREATION, usage.cache_write),
        (GEN_AI_REASONING, usage.reasoning),
    ] {
        if tokens > 0 {
            attributes.push((name, tokens.into()));
        }
    }
    attributes.push((LLM_TOKENS, usage.tokens().into()));
    if sum.unpriced < charges.len() as u64 {
        attributes.push((LLM_COST, Value::Float(sum.cost.as_usd())));
    }
    if sum.unpriced > 0 {
        attributes.push((UNPRICED, sum.unpriced.into()));
    }
    let least = charges.iter().map(|charge| certainty_word(charge.certainty)).max();
    if let Some((1.., word)) = least {
        attributes.push((CERTAINTY, word.into()));
    }
}

fn certainty_word(certainty: Certainty) -> (u8, &'static str) {
    match certainty {
        Certainty::Exact => (0, "exact"),
        Certainty::Estimated => (1, "estimated"),
        Certainty::Bound => (2, "bound"),
    }
}

/// The conventions' own word for a provider, where they have one.
fn provider_name(prefix: &str) -> Cow<'static, str> {
    match prefix {
        "gemini" | "google" => "gcp.gemini".into(),
        "vertex" | "vertexai" => "gcp.vertex_ai".into(),
        "azure" => "azure.ai.openai".into(),
        "bedrock" => "aws.bedrock".into(),
        "mistral" => "mistral_ai".into(),
        "xai" => "x_ai".into(),
        other => other.to_owned().into(),
    }
}
