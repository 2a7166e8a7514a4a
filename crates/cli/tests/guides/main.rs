//! The guides: every program in `docs/guides` and `docs/ingest.md` is run, with the clients and frameworks of others.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod clients;
mod docs;
mod langgraph;
mod machine;
mod opentelemetry;
