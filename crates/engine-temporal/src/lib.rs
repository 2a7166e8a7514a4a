//! Runs midwatch workflows on a Temporal server.
//!
//! A workflow is hosted as a Temporal workflow of its own name: attempts are activities with one try, waits are timers,
//! signals are signals, children are child workflows. The server's history is the truth; the same history gives the same
//! events, and those are mirrored into a midwatch journal.
//!
//! What this crate is not: it decides no retry and no compensation (the workflow core does), and what it knows of a run it
//! keeps nowhere but in the server and the journal.

mod attempt;
mod catch_up;
mod connect;
mod control;
mod deliver;
mod drive;
mod driver;
mod ends;
mod engine;
mod host;
mod ids;
mod leave;
mod mirror;
mod mirror_run;
mod mirror_writer;
mod options;
mod polled;
mod server;
mod shown;
mod standing;
mod step;
mod time;
mod translate;
mod wire;
mod woken;
mod worker;

pub use engine::Temporal;
#[doc(inline)]
pub use midwatch_engine_attempt::{GateOptions, QueueOptions, SharedBudgets};
pub use options::{Options, Server};
