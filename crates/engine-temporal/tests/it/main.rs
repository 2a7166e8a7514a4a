//! Temporal's host on a real server, which `cargo xtask test` installs. Without its program nothing is tested here.

mod closed;
mod conformance;
mod crash;
mod ends;
mod harness;
mod long;
mod native;
mod promises;
mod tls;
