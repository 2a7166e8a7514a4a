#![doc = include_str!("../README.md")]

mod admin;
mod answer;
mod anthropic;
mod completion;
mod config;
mod connection;
mod dialect;
mod draw;
mod effects;
mod endpoint;
mod exchange;
mod fault;
mod idempotency;
mod ledger;
mod limit;
mod models;
mod openai;
mod outage;
mod payments;
mod request;
mod routes;
mod script;
mod server;
mod stream;
mod sync;
mod trouble;
mod world;

pub use config::{Answers, Config, Keys, Latency, RateLimit};
pub use endpoint::{Endpoint, Provider};
pub use fault::{Fault, FaultPlan, Faults, RetryAfter};
pub use ledger::{Effect, Entry, Ledger, ModelBill, Summary, Tokens};
pub use outage::{Outage, OutageWindow};
pub use script::{Cue, Reply, ToolCall};
pub use server::{Builder, Simulator, serve, serve_on_thread};
