//! The simulator as a real client meets it, over loopback.

#![allow(clippy::unwrap_used)] // Also outside of test functions: all of this is test.

mod client;

mod anthropic;
mod books;
mod effects;
mod faults;
mod openai;
mod steering;
