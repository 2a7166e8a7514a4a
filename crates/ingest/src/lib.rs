//! Takes in traces over OTLP, by HTTP and gRPC, and books them as runs: of programs that midwatch does not carry out.
//!
//! Spans of language-model calls are read under the names of all common conventions: OpenTelemetry's `gen_ai.*`, old and
//! new, OpenInference's `llm.*`, Traceloop's, LangSmith's. A run is a thread of LangGraph, a session, a workflow of Temporal
//! or Inngest, or else a trace. Its steps are the nodes, tasks and activities of the framework, or else the calls and tools
//! themselves; what is called within a node is counted with the node's attempt.
//!
//! Spans come when they end, innermost first. So a node is under way from the first that is heard of it, and its own span
//! ends it; a run ends with the first span of its trace. The same span twice changes nothing, also after a restart, and a
//! call that is told by several spans, or that a gateway on the same recorder has booked, is counted once.
//!
//! What this crate is not: it keeps no spans, no prompts unless that is asked for, and opens no journal: that is the
//! [`Recorder`](midwatch_recorder::Recorder)'s.

mod attributes;
mod failure;
mod grpc;
mod http;
mod identity;
mod ingest;
mod plan;
mod span;
mod trace;
mod usage;

pub use http::Access;
pub use ingest::{Ingest, Options, Outcome, now};
