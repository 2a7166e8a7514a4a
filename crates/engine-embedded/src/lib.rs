//! The embedded engine: carries out runs in this process, on a journal that it alone writes.
//!
//! A run in memory is a driver task (`run`): it takes in what happened, advances the execution, appends the events in one
//! piece, and performs what was asked for once they are durable. So nothing is done that the journal does not know of.
//! Idle runs leave memory; a timer or a message brings them back by replay.
//!
//! What this crate is not: it decides no retry and no compensation (the workflow core does), and it knows no SQL.

mod budget;
mod control;
mod core;
mod engine;
mod fork;
mod inbox;
mod options;
mod recovery;
mod run;
mod timer;

pub use engine::Embedded;
pub use inbox::read_inbox;
#[doc(inline)]
pub use midwatch_engine_attempt::{Clock, GateOptions, QueueOptions, SharedBudgets};
pub use options::{Options, Registry};
