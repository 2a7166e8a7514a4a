//! HTTP from within a step: every request carries the attempt's idempotency key and `traceparent`, and whatever is no
//! success comes back as a classified [`Failure`].

mod client;
mod request;
mod response;

use std::sync::Arc;

use midwatch_workflow::{Failure, StepContext};
pub use reqwest::{self, Method};

pub(crate) use client::{now, shared_unredirected};
pub use request::HttpRequest;
#[cfg(feature = "rig")]
pub(crate) use request::error_body;
#[cfg(feature = "genai")]
pub(crate) use request::key_part;
pub use response::HttpResponse;

/// Gives steps an HTTP client.
pub trait StepHttp {
    /// The client that all steps of this process share: its own retries are off, TLS goes by the system's roots, and a
    /// connection must come about within 10 s. How long an answer may take is the attempt's limit.
    ///
    /// ```no_run
    /// use midwatch::{Failure, StepContext, StepHttp, step};
    /// # use serde_json::{Value, json};
    ///
    /// #[step(timeout = "30s", target = "stripe")]
    /// async fn charge_card(cx: StepContext, cents: u64) -> Result<Value, Failure> {
    ///     let url = "https://api.stripe.com/v1/charges";
    ///     cx.http().post(url).form(&[("amount", cents)]).send().await?.json().await
    /// }
    /// ```
    fn http(&self) -> Http;

    /// The same with a client of your own. Turn its retries off (`.retry(reqwest::retry::never())`), or a failure here
    /// stands for several requests.
    fn http_with(&self, client: reqwest::Client) -> Http;
}

impl StepHttp for StepContext {
    fn http(&self) -> Http {
        Http { cx: self.clone(), client: client::shared() }
    }

    fn http_with(&self, client: reqwest::Client) -> Http {
        Http { cx: self.clone(), client: Ok(client) }
    }
}

/// Makes requests of one attempt; made by [`StepHttp::http`].
#[derive(Clone, Debug)]
pub struct Http {
    cx: StepContext,
    client: Result<reqwest::Client, Arc<Failure>>,
}

impl Http {
    pub(crate) fn unredirected(cx: &StepContext) -> Self {
        Self { cx: cx.clone(), client: shared_unredirected() }
    }

    /// A request that somebody else put together.
    #[cfg(any(feature = "async-openai", feature = "rig"))]
    pub(crate) fn built(&self, request: reqwest::Request) -> HttpRequest {
        HttpRequest::built(self.cx.clone(), self.client.clone(), request)
    }

    /// A GET request.
    pub fn get(&self, url: impl reqwest::IntoUrl) -> HttpRequest {
        self.request(Method::GET, url)
    }

    /// A POST request.
    pub fn post(&self, url: impl reqwest::IntoUrl) -> HttpRequest {
        self.request(Method::POST, url)
    }

    /// A PUT request.
    pub fn put(&self, url: impl reqwest::IntoUrl) -> HttpRequest {
        self.request(Method::PUT, url)
    }

    /// A PATCH request.
    pub fn patch(&self, url: impl reqwest::IntoUrl) -> HttpRequest {
        self.request(Method::PATCH, url)
    }

    /// A DELETE request.
    pub fn delete(&self, url: impl reqwest::IntoUrl) -> HttpRequest {
        self.request(Method::DELETE, url)
    }

    /// A request of any method. A URL that is none comes to light when it is sent.
    pub fn request(&self, method: Method, url: impl reqwest::IntoUrl) -> HttpRequest {
        HttpRequest::new(self.cx.clone(), self.client.clone(), method, url)
    }
}
