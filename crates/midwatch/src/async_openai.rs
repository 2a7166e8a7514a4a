//! The client of `async-openai` within steps: keyed, traced, classified and booked like `cx.llm`.
//!
//! That client retries 429 and 5xx by itself, unseen by budgets, gates and the journal. The one that
//! [`StepAsyncOpenAi::async_openai`] makes does not: its requests go out once, through midwatch's own HTTP client, and the
//! retries are the step's. A client that you make yourself keeps its retries; give it to no step.

use std::task::{Context, Poll};

use ::async_openai::Client;
use ::async_openai::config::Config;
use ::async_openai::error::OpenAIError;
use ::async_openai::middleware::HttpRequestFactory;
use ::async_openai::types::chat::{CreateChatCompletionRequest, CreateChatCompletionResponse};
use futures_util::future::BoxFuture;
use midwatch_providers::{IntoFailure, Provider, usage_of};
use midwatch_workflow::{Certainty, Charge, Class, Failure, StepContext};
use serde::Serialize;
use tower_service::Service;
use xxhash_rust::xxh3::xxh3_64;

use crate::http::{Http, now, shared_unredirected};
use crate::llm;
use crate::prices::prices;

/// Output tokens that are reserved for a request that names no limit.
const OUTPUT_TOKENS_MAX: u64 = 4096;

/// Gives steps the client of `async-openai`.
pub trait StepAsyncOpenAi {
    /// A client for this attempt. Its requests carry the attempt's idempotency key and `traceparent`, and none is repeated;
    /// turn its errors into failures with [`failure`].
    fn async_openai<C: Config>(&self, config: C) -> Client<C>;

    /// Asks for a chat completion: reserves what it may cost, within all budgets, before it is sent, and books what it did
    /// cost.
    ///
    /// ```no_run
    /// use async_openai::{config::OpenAIConfig, types::chat::CreateChatCompletionRequestArgs};
    /// use midwatch::async_openai::StepAsyncOpenAi;
    /// use midwatch::{Class, Failure, StepContext, step};
    ///
    /// #[step(timeout = "2m", budget_usd = "0.10")]
    /// async fn ask(cx: StepContext, question: String) -> Result<String, Failure> {
    ///     let message = async_openai::types::chat::ChatCompletionRequestUserMessage::from(question);
    ///     let request = CreateChatCompletionRequestArgs::default()
    ///         .model("gpt-4o-mini")
    ///         .max_completion_tokens(500_u32)
    ///         .messages([message.into()])
    ///         .build()
    ///         .map_err(|error| Failure::new(Class::InvalidRequest, "request").source(error))?;
    ///     let answer = cx.async_openai_chat(OpenAIConfig::default(), request).await?;
    ///     Ok(answer.choices[0].message.content.clone().unwrap_or_default())
    /// }
    /// ```
    ///
    /// # Errors
    /// As `cx.llm`: classified by OpenAI's rules, `budget` if the call might cross one.
    fn async_openai_chat<C: Config + Send + Sync>(
        &self,
        config: C,
        request: CreateChatCompletionRequest,
    ) -> impl Future<Output = Result<CreateChatCompletionResponse, Failure>> + Send;
}

impl StepAsyncOpenAi for StepContext {
    fn async_openai<C: Config>(&self, config: C) -> Client<C> {
        // Its own HTTP client is for WebSockets alone then; where ours cannot be made, requests say so.
        let client = match shared_unredirected() {
            Ok(client) => Client::build(client, config),
            Err(_) => Client::with_config(config),
        };
        client.with_http_service(Once(self.clone()))
    }

    async fn async_openai_chat<C: Config + Send + Sync>(
        &self,
        config: C,
        request: CreateChatCompletionRequest,
    ) -> Result<CreateChatCompletionResponse, Failure> {
        let target = format!("openai:{}", request.model);
        let body = serde_json::to_value(&request)
            .map_err(|error| Failure::new(Class::InvalidRequest, "request has no JSON form").source(error))?;
        let reserved = self.reserve(llm::bound(&target, &body, OUTPUT_TOKENS_MAX)).await?;
        match self.async_openai(config).chat().create(request).await {
            Ok(answer) => {
                reserved.settle(charge(&target, &answer));
                Ok(answer)
            }
            Err(error) => {
                let failure = failure(error);
                // What an error says it used is booked already. Without a word, the bound stays.
                if !failure.ambiguous || failure.status.is_some() {
                    reserved.release();
                }
                Err(failure)
            }
        }
    }
}

/// What an answer used and cost, to be booked by [`StepContext::charge`] or a reservation; for answers of any kind that
/// have a `usage`. Without one it is a charge of nothing but a call.
pub fn charge(target: &str, answer: &impl Serialize) -> Charge {
    let report = serde_json::to_value(answer).ok().and_then(|body| usage_of(Provider::OpenAi, &body));
    let certainty = if report.is_some() { Certainty::Exact } else { Certainty::Estimated };
    let mut report = report.unwrap_or_default();
    report.usage.calls = 1;
    prices().price(Charge { certainty, ..report.charge(target) }, &report, now())
}

/// Sends each request once.
#[derive(Clone)]
struct Once(StepContext);

impl Service<HttpRequestFactory> for Once {
    type Response = reqwest::Response;
    type Error = OpenAIError;
    type Future = BoxFuture<'static, Result<reqwest::Response, OpenAIError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), OpenAIError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequestFactory) -> Self::Future {
        let cx = self.0.clone();
        Box::pin(async move {
            let request = request.build().await?;
            // Several calls in one step are different requests; each keeps its key for as long as it says the same.
            let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
            let part = format!("{:016x}", xxh3_64(body));
            let request = Http::unredirected(&cx).built(request).provider(Provider::OpenAi).key_part(part);
            match request.send().await {
                Ok(response) => Ok(response.into_inner()),
                Err(failure) => Err(OpenAIError::Boxed(Box::new(failure))),
            }
        })
    }
}

/// Makes a failure of what went wrong, as in `.map_err(async_openai::failure)`.
pub fn failure(error: OpenAIError) -> Failure {
    match error {
        // From the client that steps are given: classified already.
        OpenAIError::Boxed(error) => match error.downcast::<Failure>() {
            Ok(failure) => *failure,
            Err(error) => Failure::new(Class::Unknown, format!("async-openai: {error}")).ambiguous(),
        },
        OpenAIError::Reqwest(error) => error.into_failure(),
        // Its text holds the whole answer, so it is left out.
        OpenAIError::JSONDeserialize(..) => {
            Failure::new(Class::Bug, "async-openai cannot read the answer").ambiguous()
        }
        OpenAIError::StreamError(error) => {
            Failure::new(Class::Connection, "stream of async-openai broke").source(*error).ambiguous()
        }
        error @ OpenAIError::InvalidArgument(_) => {
            Failure::new(Class::InvalidRequest, "async-openai takes no such request").source(error)
        }
        error => Failure::new(Class::Unknown, "async-openai failed").source(error).ambiguous(),
    }
}
