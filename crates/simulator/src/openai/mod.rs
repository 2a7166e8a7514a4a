//! OpenAI: chat completions, responses, embeddings, and the one shape of its errors.
//!
//! Shapes after the API reference at <https://platform.openai.com/docs/api-reference>.

pub(crate) mod chat;
pub(crate) mod embeddings;
pub(crate) mod responses;

use serde_json::{Value, json};

use crate::trouble::Trouble;

/// When every answer was created: 2026-01-01T00:00:00Z. Answers do not depend on the clock.
pub(crate) const CREATED: u64 = 1_767_225_600;

/// Status and body of an error.
pub(crate) fn error(trouble: &Trouble) -> (u16, Value) {
    let (status, kind, code, param, message) = match trouble {
        Trouble::RateLimited(wait) => {
            let hint =
                wait.wait().map_or(String::new(), |w| format!(" Please try again in {}s.", w.as_secs_f64()));
            (
                429,
                "requests",
                Some("rate_limit_exceeded"),
                None,
                format!("Rate limit reached for requests.{hint}"),
            )
        }
        Trouble::QuotaExhausted => (
            429,
            "insufficient_quota",
            Some("insufficient_quota"),
            None,
            "The quota of this account is used up; check plan and billing.".into(),
        ),
        Trouble::Overloaded => (
            503,
            "service_unavailable_error",
            Some("server_overloaded"),
            None,
            "The servers are overloaded at the moment.".into(),
        ),
        Trouble::Unavailable(_) => {
            (503, "service_unavailable_error", None, None, "The service is unavailable.".into())
        }
        Trouble::Server => {
            (500, "server_error", None, None, "The server failed while processing the request.".into())
        }
        Trouble::ContextOverflow { tokens, max } => (
            400,
            "invalid_request_error",
            Some("context_length_exceeded"),
            Some("messages"),
            format!(
                "This model's maximum context length is {max} tokens, and the messages are {tokens} tokens."
            ),
        ),
        Trouble::ContentFiltered => (
            400,
            "invalid_request_error",
            Some("content_policy_violation"),
            None,
            "The prompt was rejected by the safety system.".into(),
        ),
        Trouble::Invalid { message, param } => (400, "invalid_request_error", None, *param, message.clone()),
        Trouble::Unauthorized => (
            401,
            "invalid_request_error",
            Some("invalid_api_key"),
            None,
            "Incorrect API key provided.".into(),
        ),
        Trouble::Forbidden => (
            403,
            "invalid_request_error",
            Some("unsupported_country_region_territory"),
            None,
            "This region is not supported.".into(),
        ),
        Trouble::NotFound { what } => {
            (404, "invalid_request_error", Some("model_not_found"), None, format!("{what} does not exist."))
        }
    };
    (status, json!({"error": {"message": message, "type": kind, "param": param, "code": code}}))
}

/// Whether a model of this name reasons before it speaks.
fn reasons(model: &str) -> bool {
    ["o1", "o3", "o4", "gpt-5"].iter().any(|family| model.starts_with(family))
}

/// Takes the model's name out of a request.
fn model(body: &Value) -> Result<String, Trouble> {
    match body["model"].as_str() {
        Some(name) if !name.is_empty() => Ok(name.to_owned()),
        _ => Err(Trouble::invalid("you must provide a model parameter", Some("model"))),
    }
}

fn data(event: &Value) -> String {
    format!("data: {event}\n\n")
}
