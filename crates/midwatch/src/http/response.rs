//! The answer to a request.

use bytes::Bytes;
use http::HeaderMap;
use midwatch_providers::{IntoFailure, Provider};
use midwatch_workflow::{Class, Failure};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

/// A successful answer whose body is still to be read.
#[derive(Debug)]
pub struct HttpResponse {
    response: reqwest::Response,
    provider: Provider,
}

impl HttpResponse {
    /// The largest body that is read whole, in bytes; larger ones are read by [`HttpResponse::chunk`].
    pub const BODY_BYTES_MAX: usize = 64 << 20;

    pub(crate) fn new(response: reqwest::Response, provider: Provider) -> Self {
        Self { response, provider }
    }

    #[cfg(feature = "async-openai")]
    pub(crate) fn into_inner(self) -> reqwest::Response {
        self.response
    }

    /// The HTTP status, a 2xx.
    pub fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// Whether the receiver says that it did this before and repeats its answer.
    pub fn is_replayed(&self) -> bool {
        self.headers()
            .get("idempotent-replayed")
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"))
    }

    /// Reads JSON.
    ///
    /// # Errors
    /// Class `bug` if the JSON is not that of `T`, `server` if it is no JSON; else as [`HttpResponse::bytes`]. In all cases
    /// ambiguous: the receiver has acted.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, Failure> {
        let provider = self.provider;
        let status = self.status();
        let body = self.bytes().await?;
        serde_json::from_slice(&body).map_err(|error| {
            let (class, what) = match error.classify() {
                Category::Data => (Class::Bug, format!("is not a {}", std::any::type_name::<T>())),
                Category::Io | Category::Syntax | Category::Eof => (Class::Server, "is no JSON".to_owned()),
            };
            Failure::new(class, format!("{provider}'s answer {what}"))
                .status(status)
                .source(error)
                .ambiguous()
        })
    }

    /// Reads text; what is no UTF-8 is replaced.
    ///
    /// # Errors
    /// As [`HttpResponse::bytes`].
    pub async fn text(self) -> Result<String, Failure> {
        let body = self.bytes().await?;
        Ok(String::from_utf8(body)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }

    /// Reads the whole body.
    ///
    /// # Errors
    /// Class `connection` or `timeout`, ambiguous, if it breaks off; `invalid_request` if it is over
    /// [`HttpResponse::BODY_BYTES_MAX`].
    pub async fn bytes(mut self) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if body.len() + chunk.len() > Self::BODY_BYTES_MAX {
                let message =
                    format!("{}'s answer is over the limit of {} bytes", self.provider, Self::BODY_BYTES_MAX);
                return Err(Failure::new(Class::InvalidRequest, message).ambiguous());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// Reads the next part of the body as it comes; `None` at its end.
    ///
    /// # Errors
    /// Class `connection` or `timeout`, ambiguous, if it breaks off.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        self.response.chunk().await.map_err(IntoFailure::into_failure)
    }
}
