//! The attributes `#[workflow]` and `#[step]`: they turn an async function into one of the same name that makes what
//! implements `Workflow` or `Step`.
//!
//! Users take them from the front crate, `midwatch`. What they write can be written by hand as well: see `step_fn`,
//! `workflow_fn`, and the two traits.

mod duration;
mod expand;
mod money;
mod options;
mod signature;

use proc_macro::TokenStream;

/// Makes a step of an async function.
///
/// The function takes a `StepContext` and at most one input, and gives a `Result` whose error is a `Failure` or turns
/// into one. What is left is a function of its name that makes the step, so that `cx.step(charge_card, &order)` and
/// `.step(charge_card)` read as they do; `charge_card.run(cx, order)` runs one attempt.
///
/// ```
/// # extern crate midwatch_workflow as midwatch;
/// use midwatch::{Failure, StepContext};
///
/// /// Charges the card of an order.
/// #[midwatch_macros::step(timeout = "30s", attempts = 3, target = "stripe")]
/// async fn charge_card(cx: StepContext, order: u64) -> Result<String, Failure> {
///     Ok(format!("charge for {order}, key {}", cx.idempotency_key()))
/// }
/// # fn main() {}
/// ```
///
/// | option | sets | default |
/// |---|---|---|
/// | `name = "…"` | the registered name | the function's |
/// | `timeout = "30s"` | the limit of one attempt | 10 min |
/// | `step_timeout = "1h"` | the limit of all attempts and waits | 24 h |
/// | `heartbeat = "10s"` | the longest silence between heartbeats | none |
/// | `queue_timeout = "5m"` | the longest wait in a queue or at a gate | 1 h |
/// | `attempts = 3` | the most attempts | 5, or what `retry` says |
/// | `retry = EXPR` | the `RetryPolicy` | exponential, 1 s to 60 s, ±30 % |
/// | `queue = "llm"` | the queue that attempts go through | none |
/// | `priority = 1` | the priority within the queue | 0 |
/// | `target = "stripe"` | the outside party: what rate limits belong to | none |
/// | `budget_usd = "0.50"`, `budget_tokens = 9000` | what all attempts may spend | no limit |
/// | `on_budget = "fail"` or `"park"` | what happens when that is spent | park |
/// | `key = "step"` or `"attempt"` | what an idempotency key stands for | step |
/// | `crate = path` | where the types are found | `::midwatch` |
///
/// Durations are whole numbers with `ms`, `s`, `m`, `h` or `d`, alone or in a row (`"1h30m"`), or any expression of
/// type `Duration`.
#[proc_macro_attribute]
pub fn step(options: TokenStream, function: TokenStream) -> TokenStream {
    expand::expand(signature::Kind::Step, options.into(), function.into()).into()
}

/// Makes a workflow of an async function.
///
/// The function takes a `Context` and at most one input, and gives a `Result` whose error is a `Failure` or turns into
/// one. What is left is a function of its name that makes the workflow.
///
/// ```
/// # extern crate midwatch_workflow as midwatch;
/// use midwatch::{Context, Failure};
/// use std::time::Duration;
///
/// #[midwatch_macros::workflow(timeout = "2h", budget_usd = "1.00")]
/// async fn reminder(cx: Context, (text, days): (String, u64)) -> Result<String, Failure> {
///     cx.sleep(Duration::from_secs(days * 86_400)).await?;
///     Ok(text)
/// }
/// # fn main() {}
/// ```
///
/// Its options are `name`, `timeout` (of the run; 30 days), `budget_usd`, `budget_tokens`, `on_budget` and `crate`; they
/// mean what they mean for a step.
#[proc_macro_attribute]
pub fn workflow(options: TokenStream, function: TokenStream) -> TokenStream {
    expand::expand(signature::Kind::Workflow, options.into(), function.into()).into()
}
