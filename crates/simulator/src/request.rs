//! A request that has arrived, with what is read from it before anybody decides anything.

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{HeaderMap, header};
use serde_json::Value;

use crate::draw::hash;
use crate::endpoint::{Endpoint, Provider};
use crate::ledger::Entry;
use crate::payments::parse_form;
use crate::script::Request;

/// Longer header values are cut in the ledger.
const KEPT_MAX: usize = 512;
/// So many `x-midwatch-…` headers of a request are kept.
const HEADERS_MAX: usize = 16;

/// A request that has arrived whole.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) endpoint: Endpoint,
    /// The model, or the kind of effect.
    pub(crate) model: Arc<str>,
    /// The id of what is to be read; only for GET.
    pub(crate) id: Option<String>,
    pub(crate) read_only: bool,
    pub(crate) key: Option<String>,
    pub(crate) raw: Bytes,
    /// The parsed body, or why it cannot be parsed.
    pub(crate) body: Result<Value, String>,
    /// Tells this request from others; a repeat of it has the same.
    pub(crate) identity: u64,
    headers: Vec<(String, String)>,
    traceparent: Option<String>,
}

impl Arrived {
    /// Reads a POST; `kind` is the kind of effect that the path names.
    pub(crate) fn post(
        seed: u64,
        endpoint: Endpoint,
        kind: Option<&str>,
        headers: &HeaderMap,
        raw: Bytes,
    ) -> Self {
        let body = parse(endpoint, headers, &raw);
        let model = match (kind, &body) {
            (Some(kind), _) => kind,
            (None, Ok(body)) => body["model"].as_str().unwrap_or("(none)"),
            (None, Err(_)) => "(none)",
        };
        let key = text(headers, "idempotency-key");
        let said = key.as_deref().map_or(&raw[..], str::as_bytes);
        let identity = hash(seed, &[&[endpoint as u8], kind.unwrap_or_default().as_bytes(), said]);
        Arrived {
            endpoint,
            model: short(model).into(),
            id: None,
            read_only: false,
            key,
            identity,
            headers: midwatch_headers(headers),
            traceparent: text(headers, "traceparent"),
            raw: raw.clone(),
            body,
        }
    }

    /// Reads a GET.
    pub(crate) fn get(
        seed: u64,
        endpoint: Endpoint,
        kind: &str,
        id: Option<String>,
        headers: &HeaderMap,
    ) -> Self {
        let read = Arrived::post(seed, endpoint, Some(kind), headers, Bytes::new());
        Arrived { id, read_only: true, body: Ok(Value::Null), ..read }
    }

    pub(crate) fn provider(&self) -> Provider {
        self.endpoint.provider()
    }

    /// The run that the headers name.
    pub(crate) fn run(&self) -> Option<&str> {
        self.headers.iter().find(|(name, _)| name == "x-midwatch-run").map(|(_, value)| value.as_str())
    }

    pub(crate) fn streams(&self) -> bool {
        self.body.as_ref().is_ok_and(|body| body["stream"] == true)
    }

    /// What the script looks at.
    pub(crate) fn with_cue<T>(&self, look: impl FnOnce(&Request<'_>) -> T) -> T {
        let body = String::from_utf8_lossy(&self.raw);
        look(&Request { endpoint: self.endpoint, model: &self.model, key: self.key.as_deref(), body: &body })
    }

    /// The ledger entry to begin with.
    pub(crate) fn entry(&self) -> Entry {
        Entry {
            read_only: self.read_only,
            stream: self.streams(),
            key: self.key.as_deref().map(short).map(Into::into),
            traceparent: self.traceparent.clone(),
            midwatch: self.headers.clone(),
            ..Entry::new(self.endpoint, self.model.clone())
        }
    }
}

fn parse(endpoint: Endpoint, headers: &HeaderMap, raw: &[u8]) -> Result<Value, String> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let json = kind.starts_with("application/json") || endpoint.provider() != Provider::Payments;
    if !json {
        return Ok(parse_form(raw));
    }
    if raw.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(raw).map_err(|error| format!("the body is not valid JSON: {error}"))
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(Into::into)
}

fn midwatch_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("x-midwatch-"))
        .filter_map(|(name, value)| Some((name.to_string(), short(value.to_str().ok()?).to_owned())))
        .take(HEADERS_MAX)
        .collect()
}

fn short(text: &str) -> &str {
    let mut end = text.len().min(KEPT_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
