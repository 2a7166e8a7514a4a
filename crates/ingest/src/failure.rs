//! What a span's error means: its class, by HTTP status or by the exception's name.

use http::HeaderMap;
use midwatch_providers::{Answer, Provider, classify, redact};
use midwatch_workflow::{Class, Failure, Timestamp};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use crate::attributes::Attributes;

/// The longest part of a message that is kept, in characters.
const MESSAGE_CHARS_MAX: usize = 400;

/// The failure that a span ended with, if it did.
pub(crate) fn failure(span: &Span, attributes: &Attributes<'_>, target: Option<&str>) -> Option<Failure> {
    let status = span.status.as_ref();
    let is_error = status.is_some_and(|status| status.code == StatusCode::Error as i32);
    // A span that was set to be fine is, whatever happened inside.
    let is_fine = status.is_some_and(|status| status.code == StatusCode::Ok as i32);
    let named = attributes.name(&["error.type"]);
    if is_fine || !(is_error || named.is_some()) {
        return None;
    }
    let exception = span.events.iter().rev().find(|event| event.name == "exception");
    let exception = exception.map(|event| Attributes::of(&event.attributes)).unwrap_or_default();
    let said = exception.text("exception.message").or_else(|| exception.text("error.message"));
    let said = said.or(status.map(|status| status.message.as_str()).filter(|text| !text.is_empty()));
    let said = said.unwrap_or_default();
    let names = [named, exception.name(&["exception.type"]), quoted(said)];
    let code = http_status(attributes, named, said);
    let class = code.map(|code| by_status(code, said, target));
    let by_name = names.into_iter().flatten().find_map(|name| by_name(name, said));
    // A name says more than a status where it is one of the classes that status does not tell.
    let class = by_name.or(class).unwrap_or(Class::Unknown);
    let failure = Failure::new(class, message(named.or(exception.name(&["exception.type"])), said));
    Some(match code {
        Some(code) => failure.status(code),
        None => failure,
    })
}

/// The name of the exception in what Python shows of it: `ConnectionError('no route')`.
fn quoted(said: &str) -> Option<&str> {
    let (name, _) = said.split_once('(')?;
    let is_name = |text: &str| {
        text.len() < 100 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._".contains(&b))
    };
    (!name.is_empty() && is_name(name)).then_some(name)
}

fn http_status(attributes: &Attributes<'_>, named: Option<&str>, said: &str) -> Option<u16> {
    let told = attributes.count(&["http.response.status_code", "http.status_code"]);
    let told = told.or_else(|| named?.parse().ok());
    // The official clients begin so.
    let told = told.or_else(|| said.split_once("rror code: ")?.1.get(..3)?.parse().ok());
    told.and_then(|code| u16::try_from(code).ok()).filter(|code| (400..600).contains(code))
}

fn by_status(status: u16, said: &str, target: Option<&str>) -> Class {
    if let Some(class) = by_words(said) {
        return class;
    }
    let provider = target.map_or(Provider::Generic, Provider::of_target);
    let answer = Answer { provider, status, headers: &HeaderMap::new(), body: b"" };
    classify(&answer, Timestamp::from_micros(0)).class
}

/// What only the provider's code tells.
fn by_words(said: &str) -> Option<Class> {
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    match () {
        () if has(&[
            "insufficient_quota",
            "credit_balance_exhausted",
            "spend_limit",
            "billing_hard_limit",
        ]) =>
        {
            Some(Class::QuotaExhausted)
        }
        () if has(&["context_length_exceeded", "prompt is too long", "maximum context length"]) => {
            Some(Class::ContextOverflow)
        }
        () if has(&["content_filter", "content_policy_violation"]) => Some(Class::ContentFiltered),
        () if has(&["overloaded_error"]) => Some(Class::Overloaded),
        () => None,
    }
}

/// Exceptions of the common clients and of Python, Node and Java, by how their names end.
const NAMES: &[(&str, Class)] = &[
    ("RateLimitError", Class::RateLimited),
    ("TooManyRequests", Class::RateLimited),
    ("ThrottlingException", Class::RateLimited),
    ("ResourceExhausted", Class::RateLimited),
    ("rate_limit_exceeded", Class::RateLimited),
    ("OverloadedError", Class::Overloaded),
    ("ServiceUnavailableError", Class::Overloaded),
    ("ServiceUnavailable", Class::Overloaded),
    ("APITimeoutError", Class::Timeout),
    ("APIConnectionTimeoutError", Class::Timeout),
    ("TimeoutError", Class::Timeout),
    ("TimeoutException", Class::Timeout),
    ("Timeout", Class::Timeout),
    ("DeadlineExceeded", Class::Timeout),
    ("timeout", Class::Timeout),
    ("APIConnectionError", Class::Connection),
    ("ConnectionError", Class::Connection),
    ("ConnectionResetError", Class::Connection),
    ("ConnectionRefusedError", Class::Connection),
    ("ConnectError", Class::Connection),
    ("RemoteProtocolError", Class::Connection),
    ("ReadError", Class::Connection),
    ("ConnectException", Class::Connection),
    ("InternalServerError", Class::Server),
    ("ContextWindowExceededError", Class::ContextOverflow),
    ("ContentPolicyViolationError", Class::ContentFiltered),
    ("ContentFilterFinishReasonError", Class::ContentFiltered),
    ("BadRequestError", Class::InvalidRequest),
    ("UnprocessableEntityError", Class::InvalidRequest),
    ("InvalidArgument", Class::InvalidRequest),
    ("ValidationError", Class::InvalidRequest),
    ("AuthenticationError", Class::Authentication),
    ("PermissionDeniedError", Class::Permission),
    ("NotFoundError", Class::NotFound),
    ("BudgetExceededError", Class::Budget),
    ("CancelledError", Class::Cancelled),
    ("KeyboardInterrupt", Class::Cancelled),
    ("GraphRecursionError", Class::Bug),
    ("TypeError", Class::Bug),
    ("KeyError", Class::Bug),
    ("AttributeError", Class::Bug),
    ("IndexError", Class::Bug),
    ("NameError", Class::Bug),
    ("AssertionError", Class::Bug),
];

fn by_name(name: &str, said: &str) -> Option<Class> {
    let last = name.rsplit(['.', ':']).next().unwrap_or(name);
    let class = NAMES.iter().find(|(known, _)| *known == last).map(|(_, class)| *class)?;
    match class {
        Class::RateLimited | Class::InvalidRequest | Class::Server => by_words(said).or(Some(class)),
        _ => Some(class),
    }
}

/// The first line, without a stack trace, and without what looks like a credential.
fn message(name: Option<&str>, said: &str) -> String {
    let said = said.split("Traceback").next().unwrap_or_default();
    let said = said.lines().next().unwrap_or_default().trim();
    let kept: String = redact(said).chars().take(MESSAGE_CHARS_MAX).collect();
    match (name, kept.is_empty()) {
        (None, true) => "the span says that it failed, and not why".to_owned(),
        (Some(name), true) => redact(name),
        // Some senders put everything under one name.
        (None | Some("Exception" | "Error"), false) => kept,
        (Some(name), false) if kept.contains(name) => kept,
        (Some(name), false) => format!("{}: {kept}", redact(name)),
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::trace::v1::Status;
    use opentelemetry_proto::tonic::trace::v1::span::Event;

    use super::*;
    use crate::attributes::attribute;

    fn failed(error_type: Option<&str>, exception: Option<(&str, &str)>, status: &str) -> Failure {
        let event = exception.map(|(name, said)| Event {
            name: "exception".to_owned(),
            attributes: vec![
                attribute("exception.type", name.to_owned()),
                attribute("exception.message", said.to_owned()),
            ],
            ..Event::default()
        });
        let span = Span {
            status: Some(Status { code: StatusCode::Error as i32, message: status.to_owned() }),
            attributes: error_type.map(|name| attribute("error.type", name.to_owned())).into_iter().collect(),
            events: event.into_iter().collect(),
            ..Span::default()
        };
        failure(&span, &Attributes::of(&span.attributes), Some("openai:gpt-4o")).unwrap()
    }

    #[test]
    fn errors_have_the_class_of_what_they_tell() {
        for (error_type, exception, status, class) in [
            (None, Some(("ConnectionError", "search engine is down")), "", Class::Connection),
            (
                None,
                Some(("Exception", "ConnectionError('down')Traceback (most recent call last): …")),
                "",
                Class::Connection,
            ),
            (Some("openai.RateLimitError"), None, "", Class::RateLimited),
            (
                None,
                Some(("RateLimitError", "Error code: 429 - {'code': 'insufficient_quota'}")),
                "",
                Class::QuotaExhausted,
            ),
            (None, Some(("openai.APIStatusError", "Error code: 529 - {}")), "", Class::Overloaded),
            (Some("429"), None, "", Class::RateLimited),
            (Some("500"), None, "", Class::Server),
            (Some("timeout"), None, "", Class::Timeout),
            (
                None,
                Some(("BadRequestError", "Error code: 400 - {'code': 'context_length_exceeded'}")),
                "",
                Class::ContextOverflow,
            ),
            (None, Some(("openai.AuthenticationError", "Error code: 401")), "", Class::Authentication),
            (None, Some(("asyncio.exceptions.CancelledError", "")), "", Class::Cancelled),
            (None, None, "it broke", Class::Unknown),
            (None, None, "", Class::Unknown),
        ] {
            let failure = failed(error_type, exception, status);
            assert_eq!(failure.class, class, "{error_type:?} {exception:?} {status}: {}", failure.message);
        }
    }

    #[test]
    fn messages_are_short_and_hold_no_secret_and_no_stack() {
        let failure = failed(
            None,
            Some(("ValueError", "key sk-proj-abcdef0123456789 refusedTraceback (most\nrecent")),
            "",
        );
        assert_eq!(failure.message, "ValueError: key sk-[redacted] refused");
        assert_eq!(failed(None, None, "").message, "the span says that it failed, and not why");
        assert_eq!(failed(Some("timeout"), None, "").message, "timeout");
    }

    #[test]
    fn what_is_no_error_is_no_failure() {
        let span = Span {
            status: Some(Status { code: StatusCode::Ok as i32, ..Status::default() }),
            ..Span::default()
        };
        assert!(failure(&span, &Attributes::of(&span.attributes), None).is_none());
        assert!(failure(&Span::default(), &Attributes::default(), None).is_none());
    }
}
