//! A proxy before language-model providers: change a base URL, and every call is metered, budgeted, gated and booked.
//!
//! A call belongs to a run, by a header, the path, a trace or a session; it is an attempt at a step of it. The most that it
//! can cost is on record before it is sent, and what it did cost after its answer, whatever became of it. Streams pass
//! through chunk by chunk. `docs/gateway.md` has every setting, and what is promised.
//!
//! Inside an engine's process ([`InProcess`]) the same way leads into the attempts at steps: a call is booked in the attempt
//! that makes it, and nowhere else.
//!
//! What this crate is not: it knows no engine, keeps no body beyond the answers that repeats may ask for, and opens no
//! journal: that is the [`Recorder`](midwatch_recorder::Recorder)'s.

mod access;
mod answer;
mod asked;
mod bill;
mod board;
mod bodies;
mod book;
mod budget;
mod call;
mod caller;
pub mod config;
mod cores;
mod dedup;
mod events;
mod gateway;
mod heard;
mod in_process;
mod log;
mod open;
mod reading;
mod refusal;
mod route;
mod seat;
mod secret;
mod server;
mod session;
mod tap;
mod upstream;
mod whole;
mod wire;

pub use config::{Config, Invalid};
pub use gateway::{Gateway, check, now};
pub use in_process::{InProcess, Options, StartError};
pub use seat::{Leave, Seat};
pub use secret::Secret;
