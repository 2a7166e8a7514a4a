//! Gemini: <https://ai.google.dev/gemini-api/docs/troubleshooting>, with the details of `google.rpc`.

use std::time::Duration;

use midwatch_workflow::Class;
use serde_json::Value;

use super::Verdict;
use crate::retry_after::compound;

pub(super) fn verdict(status: u16, body: &Value) -> Verdict {
    let error = &body["error"];
    let text = |name: &str| error[name].as_str().filter(|text| !text.is_empty());
    let (code, message) = (text("status"), text("message").unwrap_or_default());
    let details = Details(error["details"].as_array().map_or(&[], Vec::as_slice));
    Verdict {
        class: code.and_then(|code| class(code, status, message, &details)),
        code: code.map(str::to_owned),
        message: (!message.is_empty()).then(|| message.to_owned()),
        retry_after: details.retry_delay().or_else(|| delay_in(message)),
    }
}

fn class(code: &str, status: u16, message: &str, details: &Details<'_>) -> Option<Class> {
    Some(match code {
        // A key that is not valid is an argument that is not valid, here.
        "INVALID_ARGUMENT" if details.has_reason("API_KEY_INVALID") => Class::Authentication,
        "INVALID_ARGUMENT" if is_too_long(message) => Class::ContextOverflow,
        "INVALID_ARGUMENT" | "OUT_OF_RANGE" | "UNIMPLEMENTED" | "ALREADY_EXISTS" => Class::InvalidRequest,
        "FAILED_PRECONDITION" | "PERMISSION_DENIED" => Class::Permission,
        "UNAUTHENTICATED" => Class::Authentication,
        "NOT_FOUND" => Class::NotFound,
        "RESOURCE_EXHAUSTED" if status == 402 || details.is_daily_quota() => Class::QuotaExhausted,
        "RESOURCE_EXHAUSTED" => Class::RateLimited,
        "ABORTED" | "CANCELLED" => Class::Unknown,
        "INTERNAL" | "UNKNOWN" | "DATA_LOSS" => Class::Server,
        "UNAVAILABLE" => Class::Overloaded,
        "DEADLINE_EXCEEDED" => Class::Timeout,
        _ => return None,
    })
}

fn is_too_long(message: &str) -> bool {
    message.contains("input token count") || message.contains("exceeds the maximum number of tokens")
}

/// The list of typed details.
struct Details<'a>(&'a [Value]);

impl Details<'_> {
    fn of(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.0.iter().filter(move |detail| detail["@type"].as_str().is_some_and(|name| name.ends_with(kind)))
    }

    fn has_reason(&self, reason: &str) -> bool {
        self.of("google.rpc.ErrorInfo").any(|info| info["reason"] == reason)
    }

    /// `"45.8379s"`.
    fn retry_delay(&self) -> Option<Duration> {
        self.of("google.rpc.RetryInfo").find_map(|info| compound(info["retryDelay"].as_str()?))
    }

    fn is_daily_quota(&self) -> bool {
        let mut violations =
            self.of("google.rpc.QuotaFailure").flat_map(|f| f["violations"].as_array().into_iter().flatten());
        violations.any(|violation| violation["quotaId"].as_str().is_some_and(|id| id.contains("PerDay")))
    }
}

/// The wait in the words "Please retry in 45.8379s.", where details are missing.
fn delay_in(message: &str) -> Option<Duration> {
    let after = message.split("retry in ").nth(1)?;
    compound(after.split_whitespace().next()?.trim_end_matches('.'))
}

/// Why a prompt or an answer was withheld.
pub(super) fn blocked(body: &Value) -> Option<String> {
    if let Some(reason) = body["promptFeedback"]["blockReason"].as_str() {
        return Some(reason.to_owned());
    }
    let candidate = &body["candidates"][0];
    let reason = candidate["finishReason"].as_str()?;
    let is_filter = matches!(
        reason,
        "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "IMAGE_SAFETY"
    );
    let is_empty = candidate["content"]["parts"].as_array().is_none_or(Vec::is_empty);
    (is_filter && is_empty).then(|| reason.to_owned())
}
