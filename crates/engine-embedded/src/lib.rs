//! The embedded engine: carries out runs in this process, on a journal that it alone writes.
//!
//! A run in memory is a driver task (`run`): it takes in what happened, advances the execution, appends the events in one
//! piece, and performs what was asked for once they are durable. So nothing is done that the journal does not know of.
//! Idle runs leave memory; a timer or a message brings them back by replay.
//!
//! What this crate is not: it decides no retry and no compensation (the workflow core does), and it knows no SQL.

mod attempt;
mod board;
mod budget;
mod clock;
mod control;
mod engine;
mod fork;
mod gate;
mod inbox;
mod options;
mod place;
mod queue;
mod recovery;
pub mod replay;
mod run;
mod seed;
mod timer;

pub use budget::SharedBudgets;
pub use clock::Clock;
pub use engine::Embedded;
pub use inbox::read_inbox;
pub use options::{GateOptions, Options, QueueOptions, Registry};
