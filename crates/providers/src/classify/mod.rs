//! From a response to a failure: its class, how long to wait, what it used.
//!
//! One file for each provider maps the codes that its documentation lists; whatever they do not know goes by HTTP status.
//! Three things override what a code says: a replayed server error, `x-should-retry: false`, and, where only the status
//! is known, `x-should-retry: true`.

mod anthropic;
mod gemini;
mod openai;
mod stripe;
#[cfg(test)]
mod table;

use http::HeaderMap;
use midwatch_workflow::{Class, Failure, Timestamp};
use serde_json::Value;

use crate::retry_after::{asked, retry_after};
use crate::{Provider, redact, usage_of};

/// The longest part of a provider's message that is kept, in characters.
const MESSAGE_CHARS_MAX: usize = 500;

/// A response that is no success.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Who answered.
    pub provider: Provider,
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body, or what came of it.
    pub body: &'a [u8],
}

/// What a provider's own words mean.
#[derive(Debug, Default)]
struct Verdict {
    /// `None`: nothing is known beyond the HTTP status.
    class: Option<Class>,
    /// The provider's code, for the message.
    code: Option<String>,
    message: Option<String>,
    /// A wait that the body asks for.
    retry_after: Option<std::time::Duration>,
}

/// Says what a response means for whoever waits for its success.
///
/// Waits are limited to [`RETRY_AFTER_MAX`](crate::RETRY_AFTER_MAX). Usage that the body reports is in the failure's
/// charges, unpriced, under `provider:model`. The message holds nothing that looks like a credential.
///
/// ```
/// use midwatch_providers::{Answer, Provider, classify};
/// use midwatch_workflow::{Class, Timestamp};
///
/// let body = br#"{"error": {"code": "insufficient_quota", "message": "You exceeded your current quota."}}"#;
/// let headers = Default::default();
/// let answer = Answer { provider: Provider::OpenAi, status: 429, headers: &headers, body };
/// let failure = classify(&answer, Timestamp::from_micros(0));
/// assert_eq!(failure.class, Class::QuotaExhausted);
/// assert_eq!(failure.message, "openai answered 429 insufficient_quota: You exceeded your current quota.");
/// ```
pub fn classify(answer: &Answer<'_>, now: Timestamp) -> Failure {
    let body: Value = serde_json::from_slice(answer.body).unwrap_or(Value::Null);
    let verdict = verdict(answer.provider, answer.status, &body);
    let class = overridden(answer, &verdict);
    let mut failure = Failure::new(class, message(answer, &verdict)).status(answer.status);
    failure.ambiguous = class == Class::ReplayedFailure || is_ambiguous_status(answer.status);
    failure.retry_after = match class {
        Class::RateLimited => verdict.retry_after.or_else(|| retry_after(answer.headers, now)),
        _ => verdict.retry_after.or_else(|| asked(answer.headers, now)),
    };
    with_usage(failure, answer.provider, &body)
}

/// Looks for an `error` event in a stream that began with a success.
///
/// The stream is over then; what it used until there, only who read it knows (see
/// [`StreamMeter`](crate::StreamMeter)), so this failure has no charges. It is ambiguous, as every broken answer.
pub fn failed_event(provider: Provider, event: &Value) -> Option<Failure> {
    let is_error = match event["type"].as_str() {
        Some("error" | "response.failed") => true,
        _ => event["error"].is_object(),
    };
    if !is_error {
        return None;
    }
    let status = event["error"]["code"].as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or(500);
    let verdict = verdict(provider, status, event);
    let class = verdict.class.unwrap_or_else(|| by_status(status));
    let mut failure =
        Failure::new(class, format!("{provider} ended its stream with {}", said(&verdict))).ambiguous();
    failure.retry_after = verdict.retry_after;
    Some(failure)
}

/// Looks into the body of a 200 for an answer that is none: a blocked prompt, or a response that failed.
///
/// An answer that was cut for its length, or in which the model itself declines, is an answer.
pub fn failed_answer(provider: Provider, body: &Value) -> Option<Failure> {
    let blocked = match provider {
        Provider::Gemini => gemini::blocked(body),
        _ => openai::blocked(body),
    };
    let failure = match blocked {
        Some(reason) => {
            let message = format!("{provider} blocked the content: {}", shown(&reason));
            Failure::new(Class::ContentFiltered, message)
        }
        None if body["status"] == "failed" || body["error"].is_object() => {
            let verdict = verdict(provider, 500, body);
            let class = verdict.class.unwrap_or(Class::Server);
            Failure::new(class, format!("{provider} answered with {}", said(&verdict)))
        }
        None => return None,
    };
    Some(with_usage(failure.status(200), provider, body))
}

fn verdict(provider: Provider, status: u16, body: &Value) -> Verdict {
    // Gemini's streams, and some proxies, put the error into a list.
    let body = if body.is_array() { &body[0] } else { body };
    match provider {
        Provider::OpenAi => openai::verdict(status, body),
        Provider::Anthropic => anthropic::verdict(body),
        Provider::Gemini => gemini::verdict(status, body),
        Provider::Stripe => stripe::verdict(status, body),
        Provider::Generic => generic(body),
    }
}

/// The message of the usual shapes of errors, RFC 9457 among them. Codes of strangers prove nothing.
fn generic(body: &Value) -> Verdict {
    let error = &body["error"];
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    Verdict {
        code: [&error["code"], &error["type"], &body["code"]].into_iter().find_map(text),
        message: [&error["message"], error, &body["message"], &body["detail"], &body["title"]]
            .into_iter()
            .find_map(text),
        ..Verdict::default()
    }
}

/// The class by HTTP status alone.
pub(crate) const fn by_status(status: u16) -> Class {
    match status {
        401 => Class::Authentication,
        402 => Class::QuotaExhausted,
        403 | 451 => Class::Permission,
        404 | 410 => Class::NotFound,
        408 | 504 | 524 => Class::Timeout,
        // Conflicts, locks and early data pass; they say nothing about the target's capacity.
        409 | 423 | 425 => Class::Unknown,
        424 => Class::Server,
        429 => Class::RateLimited,
        501 | 505 => Class::InvalidRequest,
        503 | 529 => Class::Overloaded,
        521..=523 => Class::Connection,
        500..=599 => Class::Server,
        300..=499 => Class::InvalidRequest,
        _ => Class::Unknown,
    }
}

/// Whether the target may have acted although it answers so: it failed, or whoever stands before it lost it. A refusal
/// for lack of capacity comes before the act.
pub(crate) const fn is_ambiguous_status(status: u16) -> bool {
    matches!(status, 408 | 424 | 500..=599) && !matches!(status, 501 | 503 | 505 | 521 | 523 | 529)
}

fn overridden(answer: &Answer<'_>, verdict: &Verdict) -> Class {
    let header = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
    let class = verdict.class.unwrap_or_else(|| by_status(answer.status));
    // A replayed refusal is the refusal that an earlier attempt did not hear; a replayed server error says nothing of
    // what was done, and would be replayed for ever.
    let is_replayed = header("idempotent-replayed").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if is_replayed && (class.is_retried() || answer.status >= 500) {
        return Class::ReplayedFailure;
    }
    match header("x-should-retry").or_else(|| header("stripe-should-retry")) {
        Some("false") if answer.status == 429 && class.is_retried() => Class::QuotaExhausted,
        Some("false") if class.is_retried() => Class::InvalidRequest,
        Some("true") if verdict.class.is_none() && !class.is_retried() => Class::Unknown,
        _ => class,
    }
}

fn with_usage(failure: Failure, provider: Provider, body: &Value) -> Failure {
    let Some(report) = usage_of(provider, body) else { return failure };
    let target = match &report.model {
        Some(model) => format!("{provider}:{model}"),
        None => provider.to_string(),
    };
    failure.charge(report.charge(target))
}

fn message(answer: &Answer<'_>, verdict: &Verdict) -> String {
    let (provider, status) = (answer.provider, answer.status);
    match (&verdict.code, &verdict.message) {
        (None, None) => match plain(answer.body) {
            Some(text) => format!("{provider} answered {status}: {}", shown(text)),
            None => format!("{provider} answered {status}"),
        },
        (None, Some(text)) => format!("{provider} answered {status}: {}", shown(text)),
        _ => format!("{provider} answered {status} {}", said(verdict)),
    }
}

/// A body that is short text and no page.
fn plain(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?.trim();
    (!text.is_empty() && !text.starts_with(['<', '{', '['])).then_some(text)
}

/// `code: message`, as far as there are such.
fn said(verdict: &Verdict) -> String {
    match (&verdict.code, &verdict.message) {
        (Some(code), Some(text)) => format!("{}: {}", shown(code), shown(text)),
        (Some(text), None) | (None, Some(text)) => shown(text),
        (None, None) => "an error".to_owned(),
    }
}

/// A foreign text in one line, shortened, without secrets.
fn shown(text: &str) -> String {
    let line: String =
        text.chars().take(MESSAGE_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    redact(&line)
}
