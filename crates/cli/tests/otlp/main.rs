//! What the command sends over OTLP, at receivers that others wrote.
#![cfg(unix)]
#![allow(clippy::unwrap_used)] // a test that cannot go on ends there

mod follow;
mod machine;
mod metrics;
#[path = "../../../watch/tests/place/mod.rs"]
mod place;
#[path = "../../../midwatch/tests/traces/receiver.rs"]
mod receiver;
mod tls;
