//! OpenAI: <https://platform.openai.com/docs/guides/error-codes>, and the error object of Responses. Azure's codes too.

use midwatch_workflow::Class;
use serde_json::Value;

use super::Verdict;

pub(super) fn verdict(status: u16, body: &Value) -> Verdict {
    // An error; a failed response, or the event that wraps one; the flat `error` event of Responses.
    let error = [&body["error"], &body["response"]["error"], body]
        .into_iter()
        .find(|error| error.is_object())
        .unwrap_or(&Value::Null);
    let text = |name: &str| error[name].as_str().filter(|text| !text.is_empty());
    let (code, message) = (text("code"), text("message").unwrap_or_default());
    // The flat event's `type` is the word "error", which is no kind of error.
    let kind = text("type").filter(|kind| !matches!(*kind, "error" | "response.failed"));
    let class = code.and_then(|code| by_code(code, message)).or_else(|| kind.and_then(by_type));
    Verdict {
        class: class.or_else(|| by_message(status, message)),
        code: code.or(kind).map(str::to_owned),
        message: (!message.is_empty()).then(|| message.to_owned()),
        retry_after: None,
    }
}

fn by_code(code: &str, message: &str) -> Option<Class> {
    Some(match code {
        "insufficient_quota"
        | "credit_balance_exhausted"
        | "organization_usage_limit_exceeded"
        | "billing_hard_limit_reached"
        | "billing_not_active" => Class::QuotaExhausted,
        code if code.ends_with("_spend_limit_exceeded") => Class::QuotaExhausted,
        // One request over the whole limit: no wait makes it fit.
        "rate_limit_exceeded" if message.starts_with("Request too large") => Class::ContextOverflow,
        "rate_limit_exceeded" | "slow_down" => Class::RateLimited,
        "server_is_overloaded" | "engine_overloaded" | "model_overloaded" => Class::Overloaded,
        "server_error" | "internal_error" => Class::Server,
        "vector_store_timeout" => Class::Timeout,
        "context_length_exceeded" | "string_above_max_length" => Class::ContextOverflow,
        "content_filter"
        | "content_policy_violation"
        | "moderation_blocked"
        | "invalid_prompt"
        | "ResponsibleAIPolicyViolation" => Class::ContentFiltered,
        "invalid_api_key" | "invalid_authentication" | "token_expired" => Class::Authentication,
        "unsupported_country_region_territory"
        | "ip_not_authorized"
        | "access_terminated"
        | "account_deactivated" => Class::Permission,
        "model_not_found" | "DeploymentNotFound" => Class::NotFound,
        _ => return None,
    })
}

fn by_type(kind: &str) -> Option<Class> {
    Some(match kind {
        "insufficient_quota" => Class::QuotaExhausted,
        "requests" | "tokens" | "rate_limit_error" | "rate_limit_exceeded" => Class::RateLimited,
        "service_unavailable_error" | "overloaded_error" => Class::Overloaded,
        "server_error" => Class::Server,
        _ => return None,
    })
}

/// Compatible servers often leave the code out and keep the words.
fn by_message(status: u16, message: &str) -> Option<Class> {
    match status {
        400 | 413 | 422 if message.contains("maximum context length") => Some(Class::ContextOverflow),
        429 if message.contains("exceeded your current quota") => Some(Class::QuotaExhausted),
        _ => None,
    }
}

/// Why an answer was withheld: chat's finish reason when there is no text, or an incomplete response.
pub(super) fn blocked(body: &Value) -> Option<String> {
    let choice = &body["choices"][0];
    let is_empty = |text: &Value| text.as_str().is_none_or(str::is_empty);
    let chat = choice["finish_reason"] == "content_filter" && is_empty(&choice["message"]["content"]);
    let responses = body["incomplete_details"]["reason"] == "content_filter";
    (chat || responses).then(|| "content_filter".to_owned())
}
