//! The client of `genai` within steps: keyed, traced, classified and booked like `cx.llm`.
//!
//! That client retries nothing by itself. It keeps what a provider answered, so a failure gets its class, its wait and its
//! usage by the same rules as everywhere else.

use ::genai::adapter::AdapterKind;
use ::genai::chat::{ChatOptions, ChatRequest, ChatResponse};
use ::genai::{Client, ClientBuilder, Error, ModelIden, webc};
use ::http::HeaderMap;
use midwatch_providers::{Answer, IntoFailure, Provider, classify, redact, usage_of};
use midwatch_workflow::{Certainty, Charge, Class, Failure, StepContext};
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

use crate::http::{key_part, now, shared_unredirected};
use crate::llm;
use crate::prices::{priced, prices};

/// Output tokens that are reserved for a request that names no limit.
const OUTPUT_TOKENS_MAX: u64 = 4096;

/// Begins a client for steps, through midwatch's own HTTP client. One that you build in another way serves as well.
///
/// # Errors
/// If there is no HTTP client, for want of certificates.
pub fn client_builder() -> Result<ClientBuilder, Failure> {
    let http = shared_unredirected().map_err(|failure| Failure::clone(&failure))?;
    Ok(Client::builder().with_reqwest(http))
}

/// Gives steps the client of `genai`.
pub trait StepGenai {
    /// Asks a model: reserves what the call may cost, within all budgets, before it is sent, and books what it did cost. The
    /// request carries the attempt's idempotency key and `traceparent`.
    ///
    /// ```no_run
    /// use genai::chat::{ChatMessage, ChatOptions, ChatRequest};
    /// use midwatch::genai::{StepGenai, client_builder, failure};
    /// use midwatch::{Failure, StepContext, step};
    ///
    /// #[step(timeout = "2m", budget_usd = "0.10")]
    /// async fn ask(cx: StepContext, question: String) -> Result<String, Failure> {
    ///     let request = ChatRequest::new(vec![ChatMessage::user(question)]);
    ///     let options = ChatOptions::default().with_max_tokens(500);
    ///     let client = client_builder()?.build().map_err(failure)?;
    ///     let answer = cx.genai_chat(&client, "gpt-4o-mini", request, options).await?;
    ///     Ok(answer.first_text().unwrap_or_default().to_owned())
    /// }
    /// ```
    ///
    /// # Errors
    /// As `cx.llm`: classified by the provider's rules, `budget` if the call might cross one.
    fn genai_chat(
        &self,
        client: &Client,
        model: &str,
        request: ChatRequest,
        options: ChatOptions,
    ) -> impl Future<Output = Result<ChatResponse, Failure>> + Send;
}

impl StepGenai for StepContext {
    async fn genai_chat(
        &self,
        client: &Client,
        model: &str,
        request: ChatRequest,
        options: ChatOptions,
    ) -> Result<ChatResponse, Failure> {
        let service = client.resolve_service_target(model).await.map_err(failure)?;
        let target = target(&service.model);
        let mut body = serde_json::to_value(&request)
            .map_err(|error| Failure::new(Class::InvalidRequest, "request has no JSON form").source(error))?;
        body["max_tokens"] = options.max_tokens.map_or(Value::Null, Value::from);
        let reserved = self.reserve(llm::bound(&target, &body, OUTPUT_TOKENS_MAX)).await?;
        let options = ours(self, &body, options);
        match client.exec_chat(service, request, Some(&options)).await {
            Ok(answer) => {
                reserved.settle(charge(&answer));
                Ok(answer)
            }
            Err(error) => {
                let failure = failure(error);
                match failure.charges.first() {
                    Some(said) => reserved.settle(priced(Charge { target, ..said.clone() })),
                    // Without a word from the provider the bound stays.
                    None if failure.ambiguous && failure.status.is_none() => {}
                    None => reserved.release(),
                }
                Err(Failure { charges: Vec::new(), ..failure })
            }
        }
    }
}

/// The user's options, with what every request of an attempt carries. Several calls in one step are different requests;
/// each keeps its key for as long as it says the same.
fn ours(cx: &StepContext, body: &Value, mut options: ChatOptions) -> ChatOptions {
    let part = xxh3_64(body.to_string().as_bytes());
    let headers = vec![
        ("idempotency-key".to_owned(), key_part(cx, format_args!("{part:016x}"))),
        ("traceparent".to_owned(), cx.traceparent()),
    ];
    let mut all = options.extra_headers.take().unwrap_or_default();
    all.merge(headers);
    options.with_extra_headers(all).with_capture_raw_body(true)
}

/// What an answer used and cost, to be booked by [`StepContext::charge`] or a reservation.
pub fn charge(answer: &ChatResponse) -> Charge {
    // The raw body tells more than genai's own form of it, which has no service tier.
    let raw = answer.captured_raw_body.as_ref();
    let report = raw.and_then(|raw| usage_of(provider(answer.model_iden.adapter_kind), raw));
    let report = report.or_else(|| {
        let usage = serde_json::to_value(&answer.usage).ok()?;
        usage_of(Provider::OpenAi, &serde_json::json!({ "usage": usage }))
    });
    let certainty = if report.is_some() { Certainty::Exact } else { Certainty::Estimated };
    let mut report = report.unwrap_or_default();
    report.usage.calls = 1;
    prices().price(Charge { certainty, ..report.charge(target(&answer.model_iden)) }, &report, now())
}

/// Makes a failure of what went wrong, as in `.map_err(genai::failure)`.
pub fn failure(error: Error) -> Failure {
    match error {
        Error::WebModelCall { model_iden, webc_error } => failed_call(model_iden.adapter_kind, webc_error),
        Error::WebAdapterCall { adapter_kind, webc_error } => failed_call(adapter_kind, webc_error),
        Error::HttpError { status, body, headers, .. } => {
            answered(Provider::Generic, status.as_u16(), &headers, &body)
        }
        Error::RequiresApiKey { .. } | Error::NoAuthResolver { .. } | Error::NoAuthData { .. } => {
            Failure::new(Class::Authentication, redact(&error.to_string()))
        }
        Error::WebStream { cause, .. } => {
            Failure::new(Class::Connection, redact(&format!("stream of genai broke: {cause}"))).ambiguous()
        }
        // Their texts hold whole requests and answers, so they are left out.
        Error::ChatResponseGeneration { .. } | Error::NoChatResponse { .. } | Error::StreamParse { .. } => {
            Failure::new(Class::Bug, "genai cannot read the answer").ambiguous()
        }
        Error::ChatResponse { .. } => {
            Failure::new(Class::Server, "error event in a stream of genai").ambiguous()
        }
        error => {
            Failure::new(Class::InvalidRequest, redact(&format!("genai takes no such request: {error}")))
        }
    }
}

fn failed_call(adapter: AdapterKind, error: webc::Error) -> Failure {
    match error {
        webc::Error::ResponseFailedStatus { status, body, headers } => {
            answered(provider(adapter), status.as_u16(), &headers, &body)
        }
        webc::Error::Reqwest(error) => error.into_failure(),
        _ => Failure::new(Class::Bug, "genai cannot read the answer").ambiguous(),
    }
}

fn answered(provider: Provider, status: u16, headers: &HeaderMap, body: &str) -> Failure {
    classify(&Answer { provider, status, headers, body: body.as_bytes() }, now())
}

fn provider(adapter: AdapterKind) -> Provider {
    match adapter {
        AdapterKind::Anthropic => Provider::Anthropic,
        AdapterKind::Gemini | AdapterKind::GeminiIx => Provider::Gemini,
        // All others speak OpenAI's language or one of their own, whose codes are looked for in the same places.
        _ => Provider::OpenAi,
    }
}

/// `provider:model`, by which prices and gates go.
fn target(model: &ModelIden) -> String {
    let provider = match model.adapter_kind {
        AdapterKind::OpenAI | AdapterKind::OpenAIResp => "openai",
        AdapterKind::Gemini | AdapterKind::GeminiIx => "gemini",
        other => other.as_lower_str(),
    };
    format!("{provider}:{}", model.model_name)
}
