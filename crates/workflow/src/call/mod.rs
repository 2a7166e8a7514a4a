//! Calls as people write them: built in one expression, started when awaited.

mod child;
mod signal;
mod step;
mod tries;

pub use child::ChildCall;
pub use signal::SignalCall;
pub use step::StepCall;
pub(crate) use tries::{StepSpec, Tries, park};
