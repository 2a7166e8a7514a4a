//! The Restate engine: the same workflows, carried out by a Restate server and the processes that it calls.
//!
//! Restate's history is the truth. This crate hosts the same `Execution` as every engine: what the history says is its
//! input, and what it asks for becomes Restate's own primitives (an attempt is one `run` with one try, a wait a durable
//! sleep, a child a call, a message a signal). The same events as on any other engine are mirrored into a midwatch
//! journal, so that everything people look at works alike.
//!
//! What this crate is not: it retries nothing and compensates nothing (the workflow core does), and it reads no journal to
//! decide where a run goes, but for lost attempts and patches, which it knows from there.

mod ask;
mod catch_up;
mod client;
mod control;
mod endpoint;
mod engine;
mod host;
mod listing;
mod mirror;
mod next;
mod options;
mod park;
mod response;
mod run;
mod session;
mod take;
mod translate;
mod work;

pub use client::{Invocation, ServerError};
pub use engine::Restate;
#[doc(inline)]
pub use midwatch_engine_attempt::{GateOptions, QueueOptions, SharedBudgets};
pub use options::Options;
