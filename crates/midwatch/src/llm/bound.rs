//! The most that a call may cost, known before it is sent.

use std::sync::Arc;

use midwatch_providers::{Report, bound_input};
use midwatch_workflow::{Charge, Class, Failure, Reservation, StepContext, Usage};
use serde_json::Value;

use crate::http::now;
use crate::prices::prices;

/// The most that a call may cost, for [`StepContext::reserve`]: the input from the text of the request's body (in the form
/// of OpenAI, Anthropic or Gemini; images and audio are not counted), the output by what the body allows, or
/// `output_tokens_max` if it says nothing, at the prices of today.
///
/// ```no_run
/// use midwatch::{Charge, Failure, StepContext, llm, step};
/// # use serde_json::{Value, json};
/// # async fn my_client(body: &Value) -> Result<Charge, Failure> { unimplemented!() }
///
/// #[step(budget_usd = "0.10")]
/// async fn ask(cx: StepContext, question: String) -> Result<(), Failure> {
///     let body = json!({"model": "gpt-4o", "max_tokens": 500, "messages": [{"role": "user", "content": question}]});
///     let reserved = cx.reserve(llm::bound("openai:gpt-4o", &body, 500)).await?;
///     reserved.settle(my_client(&body).await?);
///     Ok(())
/// }
/// ```
pub fn bound(target: &str, body: &Value, output_tokens_max: u64) -> Charge {
    bound_of(target, bound_input(body), output_max(body, output_tokens_max))
}

fn bound_of(target: &str, input: u64, output: u64) -> Charge {
    let report = Report { usage: Usage { calls: 1, input, output, ..Usage::default() }, ..Report::default() };
    prices().price(report.charge(target), &report, now())
}

/// What the body allows, for all the answers that it asks for.
fn output_max(body: &Value, otherwise: u64) -> u64 {
    let said = ["max_completion_tokens", "max_output_tokens", "max_tokens"];
    let most = said.iter().find_map(|field| body[field].as_u64()).unwrap_or(otherwise);
    most.saturating_mul(body["n"].as_u64().unwrap_or(1).max(1))
}

/// Reserves what a call may cost. Where the bound from characters crosses a budget, the tokens are counted: that bound is
/// closer, and takes longer.
pub(super) async fn reserve(
    cx: &StepContext,
    target: &str,
    body: &Arc<Value>,
    output_tokens_max: u64,
) -> Result<Reservation, Failure> {
    let loose = bound(target, body, output_tokens_max);
    let input = loose.usage.input;
    let refused = match cx.reserve(loose).await {
        Err(failure) if failure.class == Class::Budget => failure,
        reserved => return reserved,
    };
    match counted(target, body).await {
        Some(closer) if closer < input => {
            cx.reserve(bound_of(target, closer, output_max(body, output_tokens_max))).await
        }
        _ => Err(refused),
    }
}

#[cfg(feature = "tokens")]
async fn counted(target: &str, body: &Arc<Value>) -> Option<u64> {
    let (target, body) = (target.to_owned(), Arc::clone(body));
    let count = move || midwatch_providers::bound_input_counted(&target, &body);
    tokio::task::spawn_blocking(count).await.ok().flatten()
}

#[cfg(not(feature = "tokens"))]
async fn counted(_: &str, _: &Arc<Value>) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_bound_is_what_the_body_allows_at_todays_prices() {
        let mut body =
            json!({"messages": [{"role": "user", "content": "x".repeat(400)}], "max_tokens": 1_000});
        let one = bound("openai:gpt-4o", &body, 9);
        // 400 characters are 100 tokens and 7 of framing, twice; the price list says $2.50 and $10 for a million.
        assert_eq!((one.usage.input, one.usage.output), (214, 1_000));
        assert_eq!(one.cost.map(|cost| cost.to_string()).as_deref(), Some("$0.010535"));
        body["n"] = json!(3);
        assert_eq!(bound("openai:gpt-4o", &body, 9).usage.output, 3_000);
        let silent = json!({"messages": []});
        assert_eq!(bound("nobody:nothing", &silent, 9).usage.output, 9);
        assert_eq!(bound("nobody:nothing", &silent, 9).cost, None, "unpriced, and not free");
    }
}
