//! What a request's body asks for, as far as it matters for its cost.

use bytes::Bytes;
use http::StatusCode;
use midwatch_providers::{bound_of_estimate, estimate_input};
use midwatch_workflow::Usage;
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

use crate::refusal::Refusal;
use crate::route::Endpoint;

/// A request, read.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) model: Option<String>,
    pub(crate) is_stream: bool,
    /// The body as it goes upstream.
    pub(crate) body: Bytes,
    /// Usage is asked for in the client's stead, and to be taken out of the answer.
    pub(crate) hides_usage: bool,
    /// The input tokens, as far as the text tells.
    pub(crate) input_estimate: u64,
    /// The most that it may use.
    pub(crate) bound: Usage,
    /// Stands for what is asked.
    pub(crate) same: u64,
}

impl Asked {
    /// Reads a body; a call that says no limit is taken to use at most `output_assumed` tokens.
    ///
    /// # Errors
    /// The body of a call that costs tokens is no JSON object.
    pub(crate) fn of(endpoint: Endpoint, body: Bytes, output_assumed: u64) -> Result<Self, Refusal> {
        let same = xxh3_64(&body);
        if endpoint == Endpoint::Other {
            return Ok(Self::unread(body, same));
        }
        let value: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        if !value.is_object() {
            let what = "the body is no JSON object";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "invalid_request_error", what));
        }
        let is_stream = value["stream"] == true;
        let hides_usage =
            endpoint == Endpoint::Chat && is_stream && value["stream_options"]["include_usage"] != true;
        let output = match endpoint {
            Endpoint::Embeddings => 0,
            _ => output_max(&value).unwrap_or(output_assumed),
        };
        let input_estimate = estimate_input(&value);
        Ok(Self {
            model: value["model"].as_str().map(str::to_owned),
            is_stream,
            input_estimate,
            bound: Usage { calls: 1, input: bound_of_estimate(input_estimate), output, ..Usage::default() },
            body: if hides_usage { asking_for_usage(&body, value) } else { body },
            hides_usage,
            same,
        })
    }

    fn unread(body: Bytes, same: u64) -> Self {
        let bound = Usage { calls: 1, ..Usage::default() };
        Self { model: None, is_stream: false, body, hides_usage: false, input_estimate: 0, bound, same }
    }
}

/// What the body allows, for all the answers that it asks for.
fn output_max(body: &Value) -> Option<u64> {
    let said = ["max_completion_tokens", "max_output_tokens", "max_tokens"];
    let most = said.iter().find_map(|field| body[field].as_u64())?;
    Some(most.saturating_mul(body["n"].as_u64().unwrap_or(1).max(1)))
}

/// The body with `include_usage`. A field is put before the others, so that what the client wrote stays as it is to the
/// byte; only a client that has stream options of its own gets its body written anew.
fn asking_for_usage(body: &Bytes, mut value: Value) -> Bytes {
    if value.get("stream_options").is_some() {
        if !value["stream_options"].is_object() {
            value["stream_options"] = json!({});
        }
        value["stream_options"]["include_usage"] = json!(true);
        return Bytes::from(value.to_string());
    }
    let open = body.iter().position(|byte| *byte == b'{').map_or(0, |at| at + 1);
    let field = br#""stream_options":{"include_usage":true},"#;
    let mut asking = Vec::with_capacity(body.len() + field.len());
    asking.extend_from_slice(&body[..open]);
    asking.extend_from_slice(field);
    asking.extend_from_slice(&body[open..]);
    Bytes::from(asking)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(endpoint: Endpoint, body: &str) -> Asked {
        Asked::of(endpoint, Bytes::from(body.to_owned()), 900).unwrap()
    }

    #[test]
    fn usage_is_asked_for_where_the_client_did_not() {
        let plain = asked(Endpoint::Chat, r#" {"model":"m","stream":true,"seed":12345678901234567890123}"#);
        assert!(plain.hides_usage);
        let text = std::str::from_utf8(&plain.body).unwrap();
        assert_eq!(
            text,
            r#" {"stream_options":{"include_usage":true},"model":"m","stream":true,"seed":12345678901234567890123}"#
        );
        let own = asked(Endpoint::Chat, r#"{"stream":true,"stream_options":{"include_obfuscation":false}}"#);
        let value: Value = serde_json::from_slice(&own.body).unwrap();
        assert_eq!(value["stream_options"], json!({"include_obfuscation": false, "include_usage": true}));
        for (endpoint, body) in [
            (Endpoint::Chat, r#"{"stream":true,"stream_options":{"include_usage":true}}"#),
            (Endpoint::Chat, r#"{"model":"m"}"#),
            (Endpoint::Messages, r#"{"stream":true}"#),
        ] {
            let asked = asked(endpoint, body);
            assert!(!asked.hides_usage && asked.body == body, "{body}");
        }
    }

    #[test]
    fn the_bound_is_what_the_body_allows() {
        assert_eq!(asked(Endpoint::Chat, r#"{"max_completion_tokens":50,"n":3}"#).bound.output, 150);
        assert_eq!(asked(Endpoint::Chat, r#"{"model":"m"}"#).bound.output, 900);
        assert_eq!(asked(Endpoint::Embeddings, r#"{"input":"hello"}"#).bound.output, 0);
        assert!(Asked::of(Endpoint::Chat, Bytes::from_static(b"[1]"), 1).is_err());
    }
}
