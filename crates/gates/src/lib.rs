//! Gates in action: who waits at the gate of a target, who is next, and the timer that asks again.
//!
//! What a gate decides is decided by [`Gate`](midwatch_workflow::Gate), a value. Engines and the gateway let their attempts
//! through here, so that all that one process sends to a target goes by what any part of it has learned.
//!
//! What this crate is not: it sends nothing, records nothing, and knows no run.

mod clock;
mod gate;

pub use clock::Clock;
pub use gate::{Admit, Gates, Pass, TargetGate, Ticket};
