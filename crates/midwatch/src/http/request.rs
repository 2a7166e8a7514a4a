//! A request, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use midwatch_providers::{Answer, IntoFailure, Provider, classify, headroom};
use midwatch_workflow::{Class, Failure, KEY_BYTES_MAX, StepContext};
use reqwest::{Method, RequestBuilder, Response};
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_128;

use super::{HttpResponse, client::now};
use crate::prices::priced;

/// The longest part of an error's body that is read, in bytes.
const ERROR_BYTES_MAX: usize = 256 << 10;

/// A request that is being put together; made by [`Http`](super::Http).
#[must_use = "nothing is sent until `send`"]
#[derive(Debug)]
pub struct HttpRequest {
    cx: StepContext,
    request: Result<RequestBuilder, Arc<Failure>>,
    provider: Option<Provider>,
    key: Option<String>,
}

impl HttpRequest {
    pub(super) fn new(
        cx: StepContext,
        client: Result<reqwest::Client, Arc<Failure>>,
        method: Method,
        url: impl reqwest::IntoUrl,
    ) -> Self {
        let key = Some(cx.idempotency_key().to_owned());
        Self { request: client.map(|client| client.request(method, url)), provider: None, key, cx }
    }

    #[cfg(any(feature = "async-openai", feature = "rig"))]
    pub(super) fn built(
        cx: StepContext,
        client: Result<reqwest::Client, Arc<Failure>>,
        request: reqwest::Request,
    ) -> Self {
        let key = Some(cx.idempotency_key().to_owned());
        let request = client.map(|client| RequestBuilder::from_parts(client, request));
        Self { request, provider: None, key, cx }
    }

    fn with(self, change: impl FnOnce(RequestBuilder) -> RequestBuilder) -> Self {
        Self { request: self.request.map(change), ..self }
    }

    /// Adds a header.
    pub fn header(self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        self.with(|request| request.header(name.as_ref(), value.as_ref()))
    }

    /// Adds `Authorization: Bearer …`.
    pub fn bearer(self, token: impl std::fmt::Display) -> Self {
        self.with(|request| request.bearer_auth(token))
    }

    /// Adds a secret header, which is left out wherever headers are shown.
    pub(crate) fn secret(self, name: &'static str, value: &str) -> Self {
        match HeaderValue::from_str(value) {
            Ok(mut value) => {
                value.set_sensitive(true);
                self.with(|request| request.header(HeaderName::from_static(name), value))
            }
            Err(_) => {
                let message = format!("the key for `{name}` has characters that no header can have");
                Self { request: Err(Arc::new(Failure::new(Class::Authentication, message))), ..self }
            }
        }
    }

    /// Adds parameters to the URL.
    pub fn query(self, parameters: &(impl Serialize + ?Sized)) -> Self {
        self.with(|request| request.query(parameters))
    }

    /// Sends this as JSON.
    pub fn json(self, body: &(impl Serialize + ?Sized)) -> Self {
        self.with(|request| request.json(body))
    }

    /// Sends this as a form.
    pub fn form(self, body: &(impl Serialize + ?Sized)) -> Self {
        self.with(|request| request.form(body))
    }

    /// Sends these bytes.
    pub fn body(self, body: impl Into<reqwest::Body>) -> Self {
        self.with(|request| request.body(body))
    }

    /// Gives the request a limit of its own, up to the end of its answer; usually the attempt's is enough.
    pub fn timeout(self, limit: Duration) -> Self {
        self.with(|request| request.timeout(limit))
    }

    /// Says whose errors these are, where the URL's host or the step's target does not tell.
    pub fn provider(self, provider: Provider) -> Self {
        Self { provider: Some(provider), ..self }
    }

    /// Gives the request a key of its own below the attempt's: two requests to one receiver within one step must have
    /// different ones, or the second gets the first one's answer. The part must be the same on every attempt.
    pub fn key_part(self, part: impl std::fmt::Display) -> Self {
        let key = key_part(&self.cx, part);
        Self { key: Some(key), ..self }
    }

    /// Sends another key than the attempt's, one that is the same on every attempt.
    pub fn idempotency_key(self, key: impl Into<String>) -> Self {
        Self { key: Some(key.into()), ..self }
    }

    /// Sends no key, for receivers that take offence at one.
    pub fn without_key(self) -> Self {
        Self { key: None, ..self }
    }

    /// Sends it and waits for the head of the answer.
    ///
    /// # Errors
    /// Whatever is no success (2xx), classified; see [`classify`]. Before anything was sent the failure is not ambiguous.
    /// What an error says it used is booked on the attempt.
    pub async fn send(self) -> Result<HttpResponse, Failure> {
        let cx = self.cx.clone();
        let (mut response, provider) = self.exchange().await?;
        if response.status().is_success() {
            return Ok(HttpResponse::new(response, provider));
        }
        let body = error_body(&mut response).await;
        let status = response.status().as_u16();
        let answer = Answer { provider, status, headers: response.headers(), body: &body };
        let mut failure = classify(&answer, now());
        for charge in std::mem::take(&mut failure.charges) {
            cx.charge(priced(charge));
        }
        Err(failure)
    }

    /// Sends it and waits for the head of the answer, whatever that is; gives whose answer it is, too.
    pub(crate) async fn exchange(self) -> Result<(Response, Provider), Failure> {
        let Self { cx, request, provider, key } = self;
        let request = request.map_err(Arc::unwrap_or_clone)?;
        let (client, request) = request.build_split();
        let mut request = request.map_err(IntoFailure::into_failure)?;
        let provider = provider.unwrap_or_else(|| provider_of(&cx, request.url().host_str()));
        add_headers(request.headers_mut(), &cx, key.as_deref())?;
        let response = client.execute(request).await.map_err(IntoFailure::into_failure)?;
        if let Some(headroom) = headroom(response.headers(), now()) {
            cx.headroom(headroom);
        }
        Ok((response, provider))
    }
}

impl HttpRequest {
    /// Sends it, and gives up if the head of the answer takes longer than `limit`.
    pub(crate) async fn send_within(self, limit: Duration) -> Result<HttpResponse, Failure> {
        match tokio::time::timeout(limit, self.send()).await {
            Ok(result) => result,
            Err(_) => {
                Err(Failure::new(Class::Stalled, format!("no answer began within {limit:?}")).ambiguous())
            }
        }
    }
}

/// The host knows best; a proxy's or a simulator's says nothing, but the step's target may.
fn provider_of(cx: &StepContext, host: Option<&str>) -> Provider {
    match host.map_or(Provider::Generic, Provider::of_host) {
        Provider::Generic => cx.target().map_or(Provider::Generic, Provider::of_target),
        provider => provider,
    }
}

/// What the caller set stays.
fn add_headers(headers: &mut HeaderMap, cx: &StepContext, key: Option<&str>) -> Result<(), Failure> {
    let traceparent = cx.traceparent();
    let ours = [("idempotency-key", key), ("traceparent", Some(traceparent.as_str()))];
    for (name, value) in ours.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        // Keys come from workflow ids, which may hold any character that can be printed.
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| {
            Failure::new(Class::InvalidRequest, format!("`{name}` has characters that no header can have"))
        })?;
        headers.entry(name).or_insert(value);
    }
    Ok(())
}

/// The key of one of several requests of an attempt.
pub(crate) fn key_part(cx: &StepContext, part: impl std::fmt::Display) -> String {
    fitted(format!("{}/{part}", cx.idempotency_key()))
}

/// A key that is too long for receivers keeps its beginning and gets the hash of the whole.
fn fitted(key: String) -> String {
    if key.len() <= KEY_BYTES_MAX {
        return key;
    }
    let hash = format!("~{:032x}", xxh3_128(key.as_bytes()));
    format!("{}{hash}", &key[..key.floor_char_boundary(KEY_BYTES_MAX - hash.len())])
}

/// Reads what an error says, and no more than it should say. If that fails, the status is enough.
pub(crate) async fn error_body(response: &mut Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = ERROR_BYTES_MAX - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() >= room {
            break;
        }
    }
    body
}
