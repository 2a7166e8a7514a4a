//! What the gateway itself answers, in the form of the provider's own errors.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use midwatch_workflow::RunId;
use serde_json::{Value, json};

use crate::config::Dialect;

/// Tells the official SDKs whether to try again.
pub(crate) const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// A budget is in the way.
pub(crate) const BUDGET_EXCEEDED: &str = "budget_exceeded";

/// Why a call is not made, or has no answer.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// For programs.
    pub(crate) code: &'static str,
    /// For people.
    pub(crate) message: String,
    pub(crate) again: Again,
}

/// Goes with an answer that is the gateway's own: it says nothing of the call, so no repeat gets it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OfTheGateway;

/// What the client is told of coming again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Again {
    /// It would get the same.
    Never,
    /// After so long it makes sense.
    After(Duration),
    /// Nothing: that is its own affair.
    Unsaid,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), again: Again::Never }
    }

    pub(crate) fn after(self, wait: Duration) -> Self {
        Self { again: Again::After(wait), ..self }
    }

    pub(crate) fn unsaid(self) -> Self {
        Self { again: Again::Unsaid, ..self }
    }

    /// A budget is in the way, and no retry helps.
    pub(crate) fn budget(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYMENT_REQUIRED, BUDGET_EXCEEDED, message)
    }

    /// Somebody has stopped the run for good.
    pub(crate) fn stopped(run: RunId, why: &str) -> Self {
        let what = format!("run {} was {why}: call under another name", run.short());
        Self::new(StatusCode::FORBIDDEN, "run_cancelled", what)
    }

    /// The answer, as the provider would put it.
    pub(crate) fn response(&self, dialect: Dialect) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from(self.error(dialect).to_string()));
        *response.status_mut() = self.status;
        response.extensions_mut().insert(OfTheGateway);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match self.again {
            Again::Never => drop(headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"))),
            Again::After(wait) => {
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                headers.insert(SHOULD_RETRY, HeaderValue::from_static("true"));
                headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
            }
            Again::Unsaid => {}
        }
        response
    }

    /// The same as the last event of a stream that is under way.
    pub(crate) fn event(&self, dialect: Dialect) -> Bytes {
        event(dialect, &self.error(dialect))
    }

    fn error(&self, dialect: Dialect) -> Value {
        let message = format!("midwatch: {}", self.message);
        match dialect {
            Dialect::OpenAi => json!({"error": {
                "message": message, "type": self.code, "param": null, "code": self.code,
            }}),
            Dialect::Anthropic => json!({"type": "error", "error": {
                "type": self.anthropic_type(), "message": message, "code": self.code,
            }}),
        }
    }

    const fn anthropic_type(&self) -> &'static str {
        match self.status.as_u16() {
            401 => "authentication_error",
            402 => "billing_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            503 => "overloaded_error",
            400..=499 => "invalid_request_error",
            _ => "api_error",
        }
    }
}

/// An error as an event of a stream.
pub(crate) fn event(dialect: Dialect, error: &Value) -> Bytes {
    Bytes::from(match dialect {
        Dialect::OpenAi => format!("data: {error}\n\n"),
        Dialect::Anthropic => format!("event: error\ndata: {error}\n\n"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_refused_in_each_providers_form_and_never_to_be_retried() {
        let refusal = Refusal::budget("run: $0.10 of $1.00 is left");
        for (dialect, kind) in [(Dialect::OpenAi, "budget_exceeded"), (Dialect::Anthropic, "billing_error")] {
            let response = refusal.response(dialect);
            assert_eq!(response.status(), 402);
            assert_eq!(response.headers()[SHOULD_RETRY], "false");
            let body: Value = serde_json::from_slice(response.body()).unwrap();
            assert_eq!(body["error"]["type"], kind);
            assert!(body["error"]["message"].as_str().unwrap().contains("$0.10 of $1.00"));
        }
    }

    #[test]
    fn a_wait_is_rounded_up() {
        let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, "cooling_down", "x");
        let response = refusal.after(Duration::from_millis(2_100)).response(Dialect::OpenAi);
        assert_eq!(
            (&response.headers()["retry-after"], &response.headers()[SHOULD_RETRY]),
            (&HeaderValue::from_static("3"), &HeaderValue::from_static("true"))
        );
    }
}
