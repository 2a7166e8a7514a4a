//! Anthropic: <https://platform.claude.com/docs/en/api/errors>. Errors in streams have the same shape and no status.

use midwatch_workflow::Class;
use serde_json::Value;

use super::Verdict;

pub(super) fn verdict(body: &Value) -> Verdict {
    let error = &body["error"];
    let message = error["message"].as_str().unwrap_or_default();
    let kind = error["type"].as_str();
    let code = error["details"]["error_code"].as_str();
    Verdict {
        class: kind.and_then(|kind| class(kind, code, message)),
        code: code.or(kind).map(str::to_owned),
        message: (!message.is_empty()).then(|| message.to_owned()),
        retry_after: None,
    }
}

fn class(kind: &str, code: Option<&str>, message: &str) -> Option<Class> {
    Some(match kind {
        "invalid_request_error" => invalid_request(message),
        "authentication_error" => Class::Authentication,
        "billing_error" => Class::QuotaExhausted,
        "permission_error" => Class::Permission,
        "not_found_error" => Class::NotFound,
        "conflict_error" => Class::Unknown,
        "request_too_large" => Class::ContextOverflow,
        // The spend limit of the month answers as a rate limit does, but no wait cures it.
        "rate_limit_error" if code == Some("enforced_spend_limit_reached") => Class::QuotaExhausted,
        "rate_limit_error" => Class::RateLimited,
        "api_error" => Class::Server,
        "timeout_error" => Class::Timeout,
        "overloaded_error" => Class::Overloaded,
        _ => return None,
    })
}

/// One type stands for many reasons, which only the message tells apart.
fn invalid_request(message: &str) -> Class {
    let has = |part: &str| message.contains(part);
    if has("prompt is too long") || has("exceed context limit") || has("exceeds the maximum number of tokens")
    {
        Class::ContextOverflow
    } else if has("credit balance is too low") || has("usage limits") || has("spend limit") {
        Class::QuotaExhausted
    } else if has("content filtering policy") {
        Class::ContentFiltered
    } else {
        Class::InvalidRequest
    }
}
