//! What the responses of language-model and payment APIs mean.
//!
//! Pure functions of what came over the wire: [`classify()`] gives the [`Failure`](midwatch_workflow::Failure) that a
//! response is, [`usage_of`] and [`StreamMeter`] what it used, and [`Prices`] what that costs.
//!
//! What this crate is not: it sends nothing, knows no clock and keeps no state between calls.

mod classify;
mod estimate;
mod headroom;
mod meter;
pub mod price;
mod provider;
mod redact;
mod retry_after;
mod sse;
#[cfg(feature = "tokens")]
mod tokens;
mod transport;
mod usage;

pub use classify::{Answer, classify, failed_answer, failed_event};
pub use estimate::{bound_input, bound_of_estimate, estimate_input, estimate_output};
pub use headroom::headroom;
pub use meter::StreamMeter;
pub use price::{PriceError, Prices, Quote};
pub use provider::Provider;
pub use redact::redact;
pub use retry_after::{RETRY_AFTER_MAX, retry_after};
pub use sse::{SseError, SseEvent, SseParser};
#[cfg(feature = "tokens")]
pub use tokens::{bound_input_counted, count_input};
pub use transport::{IntoFailure, OrFailure};
pub use usage::{Report, usage_of};
