//! The command as people and scripts use it: a real process on a real journal.

#![allow(clippy::unwrap_used)] // a test that cannot go on ends there

mod alerts;
mod budget;
mod cancel;
mod completions;
mod dashboards;
mod doctor;
mod fork;
mod gateway;
mod journal;
mod ls;
mod mcp;
mod midwatch;
mod owner;
mod pause;
mod resolve;
mod resume;
mod retry;
mod serve;
mod server;
mod show;
mod signal;
mod simulate;
mod tail;
mod trace;
mod version;
mod watch;
mod why;
