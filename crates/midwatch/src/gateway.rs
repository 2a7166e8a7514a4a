//! The gateway in the engine's process: a step calls models with any client that takes a base URL, and is metered.

use std::error::Error;

use midwatch_engine_embedded::Registry;
use midwatch_gateway::{InProcess, Options, Seat, StartError};
use midwatch_workflow::{Class, Failure, StepContext};

use crate::prices::prices;

/// Gives steps a URL by which any client is metered.
pub trait StepGateway {
    /// The base URL, on loopback and ending in `/v1`, by which calls to this upstream are this attempt's: `openai`,
    /// `anthropic`, or a name of [`GatewayOptions`](crate::GatewayOptions).
    ///
    /// Each call is booked in the attempt like one of `cx.llm`: the most that it can cost is reserved before it is sent,
    /// within all budgets, and refused if it might cross one; what it did cost is booked whatever becomes of it. It carries
    /// the step's idempotency key, unless the client sends its own, and the attempt's `traceparent`. Each chunk of a stream
    /// is a sign of life. The client's credentials pass. Turn the client's own retries off where you can: the step retries.
    ///
    /// ```no_run
    /// use midwatch::{Failure, Midwatch, GatewayOptions, StepContext, StepGateway, step};
    /// use serde_json::{Value, json};
    ///
    /// #[step(timeout = "2m", budget_usd = "0.10")]
    /// async fn ask(cx: StepContext, question: String) -> Result<Value, Failure> {
    ///     let url = format!("{}/chat/completions", cx.llm_base_url("openai")?);
    ///     let body = json!({"model": "gpt-4o-mini", "max_tokens": 500,
    ///         "messages": [{"role": "user", "content": question}]});
    ///     let asked = reqwest::Client::new().post(url).bearer_auth("sk-…").json(&body).send().await;
    ///     let answer = asked.and_then(|answer| answer.error_for_status()).map_err(|error| cx.llm_failure(error))?;
    ///     answer.json().await.map_err(|error| cx.llm_failure(error))
    /// }
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let midwatch = Midwatch::embedded("midwatch.db").step(ask).gateway(GatewayOptions::default()).open().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Class `bug`: the engine was opened without [`gateway`](crate::Builder::gateway), there is no such upstream, or the
    /// attempt has ended.
    fn llm_base_url(&self, upstream: &str) -> Result<String, Failure>;

    /// The failure behind a client's error: what the gateway saw go wrong last in this attempt, classified by the
    /// provider's rules and with the wait that it asked for, or `budget`. If it saw nothing, `error` itself, as `unknown`.
    fn llm_failure(&self, error: impl Error + 'static) -> Failure;
}

impl StepGateway for StepContext {
    fn llm_base_url(&self, upstream: &str) -> Result<String, Failure> {
        let seat = self.lent::<Seat>().ok_or_else(|| {
            Failure::new(Class::Bug, "no gateway: open the engine with `.gateway(GatewayOptions::default())`")
        })?;
        seat.base_url(upstream)
    }

    fn llm_failure(&self, error: impl Error + 'static) -> Failure {
        match self.lent::<Seat>() {
            Some(seat) => seat.failure(error),
            None => Failure::new(Class::Unknown, "the client failed").source(error).ambiguous(),
        }
    }
}

/// Starts a gateway and gives each step of the registry its place there.
pub(crate) fn start(options: Options, registry: &mut Registry) -> Result<InProcess, StartError> {
    let gateway = InProcess::start(options, prices)?;
    let entrance = gateway.entrance();
    registry.map_steps(|step| step.around(entrance.clone()));
    Ok(gateway)
}
