//! How often, how fast and how long a step may be tried.

mod backoff;
mod budget;
pub mod gate;
mod jitter;
pub mod pool;
mod retry;
mod timeout;

pub use backoff::Backoff;
pub use budget::{Budget, OnReached};
pub use gate::{Gate, GatePolicy, GateState, Headroom};
pub use jitter::Jitter;
pub use pool::{Amount, Pool};
pub use retry::{Decision, DelayReason, GiveUp, Retried, RetryPolicy, Tried};
pub use timeout::Timeouts;
