//! HTTP to one server: bounded in time and size, with the token in a header and nowhere else.

use std::sync::mpsc::sync_channel;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::{RequestBuilder, StatusCode, redirect};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::{API, About, Address, ServerError};
use crate::error::error_text;

/// A connection must come about, the next piece of an answer arrive, and all of it be there within these.
const CONNECT_MAX: Duration = Duration::from_secs(10);
const SILENCE_MAX: Duration = Duration::from_secs(30);
const ANSWER_MAX: Duration = Duration::from_secs(300);
/// The largest answer, in bytes: a page of events and its last append, which may hold 64 MiB.
const BODY_MAX: usize = 96 << 20;
/// So much of what a stranger says is repeated.
const SAID_MAX: usize = 200;
/// Says who gives an order.
const BY: &str = "x-midwatch-by";

/// A client of one server.
pub(super) struct Client {
    http: reqwest::Client,
    address: Address,
    token: Option<HeaderValue>,
    /// Carries requests out; whoever asks waits, as for a disk.
    runtime: Option<Runtime>,
}

/// An answer, read to its end.
struct Answer {
    status: StatusCode,
    is_json: bool,
    location: Option<String>,
    body: Vec<u8>,
}

impl Client {
    pub(super) fn new(address: Address, token: Option<&str>) -> Result<Self, ServerError> {
        // Whoever installed another provider before keeps it; that is what the error here says.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = address.to_string();
        let unusable = |why: String| ServerError::Unreached { server: server.clone(), why };
        let http = reqwest::Client::builder()
            // A redirection could carry the token elsewhere, and an order's body nowhere.
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_MAX)
            .read_timeout(SILENCE_MAX)
            .timeout(ANSWER_MAX)
            .user_agent(concat!("midwatch/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| unusable(error_text(&error.into())))?;
        let token = token.map(|token| {
            bearer(token).ok_or_else(|| {
                unusable("the token holds characters that cannot be sent; it was not".to_owned())
            })
        });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| unusable(error.to_string()))?;
        Ok(Self { http, address, token: token.transpose()?, runtime: Some(runtime) })
    }

    /// The server as messages name it.
    pub(super) fn name(&self) -> String {
        self.address.to_string()
    }

    /// Asks who is there.
    pub(super) fn about(&self) -> Result<About, ServerError> {
        let answer = self.send(self.http.get(self.address.of(API, &["journal"], &[])))?;
        if answer.status == StatusCode::NOT_FOUND {
            return Err(match said(&answer.body) {
                // So answers a console that knows of no such address.
                Some(_) => {
                    self.other_version("a midwatch of another version", "it has no such JSON interface")
                }
                None => self.stranger(&answer),
            });
        }
        let body = self.accept(answer, false)?;
        let about: About = serde_json::from_slice(&body).map_err(|error| match version_of(&body) {
            Some(version) => self.other_version(&format!("midwatch {version}"), &error.to_string()),
            None => ServerError::Stranger { server: self.name(), why: "it answers otherwise".to_owned() },
        })?;
        if about.api == API {
            Ok(about)
        } else {
            let why = format!("version {} of the JSON interface instead of {API}", about.api);
            Err(self.other_version(&format!("midwatch {}", about.midwatch), &why))
        }
    }

    /// Reads something; `None` if it is not there.
    pub(super) fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&'static str, String)],
    ) -> Result<Option<T>, ServerError> {
        let answer = self.send(self.http.get(self.address.of(API, path, query)))?;
        if answer.status == StatusCode::NOT_FOUND && said(&answer.body).is_some() {
            return Ok(None);
        }
        self.read(&self.accept(answer, false)?).map(Some)
    }

    /// Gives an order in somebody's name.
    pub(super) fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        by: &str,
        body: &impl Serialize,
    ) -> Result<T, ServerError> {
        let mut request = self.http.post(self.address.of(API, path, &[])).json(body);
        if let Ok(by) = HeaderValue::from_bytes(by.as_bytes()) {
            request = request.header(BY, by);
        }
        let answer = self.send(request)?;
        self.read(&self.accept(answer, true)?)
    }

    /// Understands an answer that the server gave gladly.
    fn read<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, ServerError> {
        let strange = |error: serde_json::Error| {
            self.other_version("a midwatch of another version", &error.to_string())
        };
        serde_json::from_slice(body).map_err(strange)
    }

    fn other_version(&self, theirs: &str, why: &str) -> ServerError {
        ServerError::Version { server: self.name(), theirs: theirs.to_owned(), why: why.to_owned() }
    }

    /// Sends a request and waits for the whole answer.
    fn send(&self, request: RequestBuilder) -> Result<Answer, ServerError> {
        let unreached = |why: String| ServerError::Unreached { server: self.name(), why };
        let request = match &self.token {
            Some(token) => request.header(AUTHORIZATION, token),
            None => request,
        };
        let (tell, told) = sync_channel(1);
        let Some(runtime) = &self.runtime else { return Err(unreached("it ended".to_owned())) };
        runtime.spawn(async move { drop(tell.send(fetch(request).await)) });
        told.recv().unwrap_or_else(|_| Err("the request was given up".to_owned())).map_err(unreached)
    }

    /// The body of an answer that is one.
    fn accept(&self, answer: Answer, is_order: bool) -> Result<Vec<u8>, ServerError> {
        let server = self.name();
        let says = said(&answer.body);
        Err(match (answer.status, says) {
            (status, _) if status.is_success() && answer.is_json => return Ok(answer.body),
            (StatusCode::UNAUTHORIZED, _) => ServerError::Token { server, is_given: self.token.is_some() },
            (StatusCode::SERVICE_UNAVAILABLE | StatusCode::INTERNAL_SERVER_ERROR, Some(says)) => {
                ServerError::Failed { server, says }
            }
            (status, Some(says)) if status.is_client_error() => {
                ServerError::Refused { server, says, is_order }
            }
            (status, None) if matches!(status.as_u16(), 502..=504) => {
                let says = format!("HTTP {} from what stands before it", status.as_u16());
                ServerError::Failed { server, says }
            }
            _ => self.stranger(&answer),
        })
    }

    fn stranger(&self, answer: &Answer) -> ServerError {
        let why = match &answer.location {
            Some(elsewhere) => format!("it sends to {elsewhere}; if that is the server, give that address"),
            None if answer.status.is_success() => "it does not answer in JSON".to_owned(),
            None => {
                format!("HTTP {} {}", answer.status.as_u16(), beginning(&answer.body)).trim_end().to_owned()
            }
        };
        ServerError::Stranger { server: self.name(), why }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Not waited for: it may be dropped where that is not allowed, and nobody waits for an answer any more.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// `Authorization: Bearer TOKEN`, of which nothing is ever printed.
fn bearer(token: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

async fn fetch(request: RequestBuilder) -> Result<Answer, String> {
    let explained = |error: reqwest::Error| {
        if error.is_timeout() {
            "no answer in time".to_owned()
        } else {
            error_text(&error.without_url().into())
        }
    };
    let mut response = request.send().await.map_err(explained)?;
    let header = |name| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let is_json = header(CONTENT_TYPE).is_some_and(|kind| kind.starts_with("application/json"));
    let location = header(LOCATION).map(str::to_owned);
    let status = response.status();
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(explained)? {
        if body.len() + piece.len() > BODY_MAX {
            return Err(format!("its answer is larger than {} MiB", BODY_MAX >> 20));
        }
        body.extend_from_slice(&piece);
    }
    Ok(Answer { status, is_json, location, body })
}

/// What a console says is wrong.
fn said(body: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    answer["error"]["message"].as_str().map(str::to_owned)
}

fn version_of(body: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    answer["midwatch"].as_str().map(str::to_owned)
}

fn beginning(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * SAID_MAX)]);
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(SAID_MAX).collect()
}
