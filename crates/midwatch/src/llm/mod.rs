//! A language model from within a step: messages in, text and tool calls out, with everything around the call that a
//! durable step needs. It is not an agent framework.
//!
//! Each call is one HTTP request to an OpenAI- or Anthropic-compatible endpoint. It carries the attempt's idempotency key
//! and `traceparent`; its answer is streamed, each chunk is a sign of life, and silence between chunks beyond a limit ends
//! it (class `stalled`). What it costs is booked on the attempt in every case:
//!
//! - before it is sent, the most that it can cost is reserved, so that a killed process leaves a bound and not a hole; a
//!   call that might cross a budget is not sent;
//! - after a whole answer, what the provider says;
//! - after a cut, stalled or failed stream, and if the attempt is dropped in the middle, an estimate from what was seen;
//! - after an error, the usage that the error reports, if any.

mod answer;
mod anthropic;
mod bill;
mod bound;
mod draft;
mod endpoint;
mod message;
mod openai;
mod request;
mod stream;

#[cfg(feature = "rig")]
pub(crate) use bill::Bill;

pub use answer::{Answer, Finish};
pub use bound::bound;
pub use message::{Message, Tool, ToolCall};
pub use request::{LlmRequest, StepLlm};
