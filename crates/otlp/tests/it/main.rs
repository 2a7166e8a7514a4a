//! A follower on a real journal, in front of a server that takes OTLP and can be told to misbehave.

#![allow(clippy::unwrap_used)] // a test that cannot go on ends there

mod collector;
mod follow;
mod refusal;
