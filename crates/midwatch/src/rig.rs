//! The models of `rig` within steps: keyed, traced, classified and booked like `cx.llm`.
//!
//! rig leaves HTTP to whoever uses it. Within a step it sends through [`StepRig::rig`], and so each call that rig makes is
//! held within all budgets before it is sent, carries the attempt's key, and is booked by what the provider says: whole
//! answers, streams, also those that break, and the calls that an agent of rig makes by itself. rig repeats nothing; the
//! retries are the step's. Turn those of other runtimes above it off.

use std::sync::Arc;

use ::http::{HeaderName, HeaderValue, Request, Response, Uri};
use bytes::Bytes;
use futures_util::stream::try_unfold;
use midwatch_providers::{
    Answer, IntoFailure, Provider, SseParser, classify, failed_answer, failed_event, redact,
};
use midwatch_workflow::{Charge, Class, Failure, StepContext};
use rig_core::http_client::{
    BoxedStream, Error, HttpClientExt, LazyBody, MultipartForm, Result, StreamingResponse,
};
use rig_core::wasm_compat::WasmCompatSend;
use rig_core::{ProviderError, ProviderResponseError};
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

use crate::http::{Http, HttpResponse, error_body, now};
use crate::llm::Bill;
use crate::prices::priced;

/// Output tokens that are reserved for a request that names no limit.
const OUTPUT_TOKENS_MAX: u64 = 4096;

/// Says of an answer that it came through [`RigHttp`], and whose it is: what it used is booked.
const BOOKED: HeaderName = HeaderName::from_static("x-midwatch-provider");

/// Gives steps the models of `rig`.
pub trait StepRig {
    /// The HTTP client of this attempt, for any provider of rig. It sends each request once.
    ///
    /// ```no_run
    /// use midwatch::rig::{StepRig, failure};
    /// use midwatch::{Class, Failure, StepContext, step};
    /// use rig_core::completion::{AssistantContent, CompletionRequest};
    /// use rig_core::providers::openai::OpenAIConfig;
    ///
    /// #[step(timeout = "2m", target = "openai:gpt-4o-mini", budget_usd = "0.10")]
    /// async fn ask(cx: StepContext, question: String) -> Result<String, Failure> {
    ///     let config = OpenAIConfig::from_env()
    ///         .map_err(|error| Failure::new(Class::Authentication, "no key for OpenAI").source(error))?;
    ///     let model = config.connect(cx.rig()).chat("gpt-4o-mini");
    ///     let request = CompletionRequest::new(question).max_tokens(500);
    ///     let answer = model.call(request).await.map_err(failure)?;
    ///     Ok(answer.choice.iter().map(|part| match part {
    ///         AssistantContent::Text(text) => text.text.as_str(),
    ///         _ => "",
    ///     }).collect())
    /// }
    /// ```
    fn rig(&self) -> RigHttp;
}

impl StepRig for StepContext {
    fn rig(&self) -> RigHttp {
        RigHttp { cx: self.clone() }
    }
}

/// Sends the requests of rig for one attempt; made by [`StepRig::rig`].
#[derive(Clone, Debug)]
pub struct RigHttp {
    cx: StepContext,
}

impl HttpClientExt for RigHttp {
    fn send<T, U>(
        &self,
        request: Request<T>,
    ) -> impl Future<Output = Result<Response<LazyBody<U>>>> + WasmCompatSend + 'static
    where
        T: Into<Bytes> + WasmCompatSend,
        U: From<Bytes> + WasmCompatSend + 'static,
    {
        let sent = send(self.cx.clone(), request.map(Into::into));
        async move {
            let Answered { head, response, bill, .. } = sent.await?;
            let body: LazyBody<U> = Box::pin(async move { whole(response, bill).await.map(U::from) });
            Ok(head.map(|()| body))
        }
    }

    fn send_multipart<U>(
        &self,
        request: Request<MultipartForm>,
    ) -> impl Future<Output = Result<Response<LazyBody<U>>>> + WasmCompatSend + 'static
    where
        U: From<Bytes> + WasmCompatSend + 'static,
    {
        let (mut head, form) = request.into_parts();
        let (kind, body) = form.encode();
        let kind = HeaderValue::try_from(format!("multipart/form-data; boundary={kind}"));
        let this = self.clone();
        async move {
            head.headers
                .insert(::http::header::CONTENT_TYPE, kind.map_err(|error| Error::Protocol(error.into()))?);
            this.send::<Bytes, U>(Request::from_parts(head, body)).await
        }
    }

    async fn send_streaming<T>(&self, request: Request<T>) -> Result<StreamingResponse>
    where
        T: Into<Bytes> + WasmCompatSend,
    {
        let Answered { head, response, mut bill, cx } =
            send(self.cx.clone(), request.map(Into::into)).await?;
        if let Some(bill) = &mut bill {
            bill.begin();
        }
        let reading = Reading { cx, response, bill, events: SseParser::default() };
        let stream: BoxedStream = Box::pin(try_unfold(reading, Reading::next));
        Ok(head.map(|()| stream))
    }
}

/// An answer that went well so far.
struct Answered {
    cx: StepContext,
    head: Response<()>,
    response: HttpResponse,
    /// What it costs is to be booked here, if it is a model's.
    bill: Option<Bill>,
}

/// Reserves what the call may cost, sends it, and waits for the head of the answer.
async fn send(cx: StepContext, request: Request<Bytes>) -> Result<Answered> {
    let provider = provider_of(request.uri());
    let asked = asked(&cx, provider, &request);
    let bill = match &asked {
        Some((target, body)) => {
            let bill = Bill::open(&cx, target, provider, body, OUTPUT_TOKENS_MAX).await;
            Some(bill.map_err(Error::instance)?)
        }
        None => None,
    };
    // Several calls in one step are different requests; each keeps its key for as long as it says the same.
    let part = format!("{:016x}", xxh3_64(request.body()));
    let fail = |bill: Option<Bill>, failure: &Failure| bill.into_iter().for_each(|bill| bill.fail(failure));
    let request = reqwest::Request::try_from(request).map_err(IntoFailure::into_failure);
    let sent = match request {
        Ok(request) => {
            Http::unredirected(&cx).built(request).provider(provider).key_part(part).exchange().await
        }
        Err(failure) => Err(failure),
    };
    let (mut response, provider) = match sent {
        Ok(sent) => sent,
        Err(failure) => {
            fail(bill, &failure);
            return Err(Error::instance(failure));
        }
    };
    let (status, mut headers) = (response.status(), response.headers().clone());
    headers.insert(BOOKED, HeaderValue::from_static(provider.as_str()));
    if !status.is_success() {
        let body = error_body(&mut response).await;
        let answer = Answer { provider, status: status.as_u16(), headers: &headers, body: &body };
        let failure = classify(&answer, now());
        fail(bill, &failure);
        for said in failure.charges {
            let target = asked.as_ref().map_or_else(|| said.target.clone(), |(target, _)| target.clone());
            cx.charge(priced(Charge { target, ..said }));
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        return Err(Error::non_success_with_details(status, headers, body));
    }
    let mut head = Response::new(());
    (*head.status_mut(), *head.headers_mut()) = (status, headers);
    Ok(Answered { cx, head, response: HttpResponse::new(response, provider), bill })
}

/// Reads an answer whole. If it is lost on its way the bound stays.
async fn whole(response: HttpResponse, bill: Option<Bill>) -> Result<Bytes> {
    let body = response.bytes().await.map_err(Error::instance)?;
    if let (Some(bill), Ok(value)) = (bill, serde_json::from_slice::<Value>(&body)) {
        // Where the provider does not say what was used, the estimate is rather too high: all of the answer, not its text alone.
        bill.settle_whole(&value, &String::from_utf8_lossy(&body));
    }
    Ok(body.into())
}

/// A stream that is being read. Dropped before its end, what was seen of it is booked.
struct Reading {
    cx: StepContext,
    response: HttpResponse,
    bill: Option<Bill>,
    events: SseParser,
}

impl Reading {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>> {
        let Some(chunk) = self.response.chunk().await.map_err(Error::instance)? else {
            if let Some(bill) = self.bill.take() {
                bill.settle();
            }
            return Ok(None);
        };
        self.cx.alive();
        // What is no stream of events, or has one that is too large, rig will say.
        for event in self.events.push(&chunk).unwrap_or_default() {
            if let (Some(bill), Ok(event)) = (&mut self.bill, serde_json::from_str(&event.data)) {
                bill.observe(&event);
            }
        }
        Ok(Some((chunk, self)))
    }
}

/// Whose rules an answer goes by: the host knows best. Most others speak the language of one of the three, and the path says
/// of which.
fn provider_of(uri: &Uri) -> Provider {
    let path = uri.path();
    match uri.host().map_or(Provider::Generic, Provider::of_host) {
        Provider::Generic if path.ends_with("/messages") => Provider::Anthropic,
        Provider::Generic if path.contains("enerateContent") => Provider::Gemini,
        Provider::Generic => Provider::OpenAi,
        known => known,
    }
}

/// What is asked of which model, if it is one; the target is `provider:model`, by which prices and gates go.
fn asked(cx: &StepContext, provider: Provider, request: &Request<Bytes>) -> Option<(String, Arc<Value>)> {
    let body: Value = serde_json::from_slice(request.body()).ok()?;
    let in_path = || request.uri().path().split_once("/models/")?.1.split(':').next();
    let model = body["model"].as_str().or_else(in_path)?;
    let vendor = request.uri().host().and_then(vendor);
    let target = match cx.target().and_then(|target| Some((target, target.split_once(':')?.1))) {
        Some((target, named)) if named == model => target.to_string(),
        _ => {
            match vendor.filter(|_| request.uri().host().map(Provider::of_host) == Some(Provider::Generic)) {
                Some(vendor) => format!("{vendor}:{model}"),
                None => format!("{provider}:{model}"),
            }
        }
    };
    Some((target, Arc::new(body)))
}

/// `groq` of `api.groq.com`; none of an address and of `localhost`.
fn vendor(host: &str) -> Option<&str> {
    let (rest, ending) = host.rsplit_once('.')?;
    let is_name = ending.chars().all(|letter| letter.is_ascii_alphabetic());
    is_name.then(|| rest.rsplit('.').next().unwrap_or(rest))
}

/// Makes a failure of what went wrong, as in `.map_err(rig::failure)`.
pub fn failure(error: ProviderError) -> Failure {
    if let Some(response) = error.provider_response() {
        return answered(response);
    }
    match error {
        ProviderError::Http(error) => match &*error {
            // From the client that steps are given: classified already.
            Error::Instance(inner) => match inner.downcast_ref::<Failure>() {
                Some(failure) => failure.clone(),
                None => Failure::new(Class::Connection, redact(&format!("rig: {inner}"))).ambiguous(),
            },
            Error::StreamEnded => Failure::new(Class::Connection, "stream of rig broke").ambiguous(),
            Error::InvalidContentType(_) => Failure::new(Class::Server, "answer of another kind").ambiguous(),
            error => {
                Failure::new(Class::InvalidRequest, redact(&format!("rig takes no such request: {error}")))
            }
        },
        ProviderError::Truncated => Failure::new(Class::Connection, "answer broke off").ambiguous(),
        // Their texts hold whole answers, so they are left out.
        ProviderError::Json(_) | ProviderError::Response(_) | ProviderError::MismatchedDimensions { .. } => {
            Failure::new(Class::Bug, "rig cannot read the answer").ambiguous()
        }
        error @ (ProviderError::Url(_) | ProviderError::Request(_) | ProviderError::UnsupportedOption(_)) => {
            Failure::new(Class::InvalidRequest, redact(&error.to_string()))
        }
        error => Failure::new(Class::Unknown, redact(&format!("rig failed: {error}"))).ambiguous(),
    }
}

/// What the provider said, by its own rules. What it used is booked already if it came through [`RigHttp`].
fn answered(response: &ProviderResponseError) -> Failure {
    let booked = response.headers.as_ref().and_then(|headers| headers.get(BOOKED)?.to_str().ok());
    let body: Value = serde_json::from_str(&response.body).unwrap_or_default();
    let provider = booked.map_or_else(|| provider_by_form(&body), Provider::of_target);
    let status = response.status.map(|status| status.as_u16());
    let mut failure = match status {
        _ if response.refusal => {
            Failure::new(Class::ContentFiltered, format!("{provider} refused the content"))
        }
        Some(status) if !(200..300).contains(&status) => {
            let headers = response.headers.clone().unwrap_or_default();
            classify(&Answer { provider, status, headers: &headers, body: response.body.as_bytes() }, now())
        }
        _ => failed_answer(provider, &body).or_else(|| failed_event(provider, &body)).unwrap_or_else(|| {
            Failure::new(Class::Unknown, format!("{provider} answered with an error")).ambiguous()
        }),
    };
    if booked.is_some() {
        failure.charges.clear();
    }
    failure
}

/// Each API has its own form of errors.
fn provider_by_form(body: &Value) -> Provider {
    match body {
        _ if body["type"] == "error" => Provider::Anthropic,
        _ if body["error"]["status"].is_string() => Provider::Gemini,
        _ => Provider::OpenAi,
    }
}
