//! What every engine promises, written once: each [exercise](exercises) keeps one promise in front of witnesses.
//!
//! An exercise is a workflow with its steps, a script of what happens to it from outside, and the journal that must come of
//! it, the same on every engine. An engine takes part with a [`Harness`]. The embedded engine is also killed at every single
//! append of every exercise, before and after the write, and must come to the same end.
//!
//! What this crate is not: part of any program. It is for tests only.

mod account;
mod code;
mod embedded;
mod exercise;
pub mod exercises;
mod harness;
mod laws;
pub mod measure;
mod report;
pub mod server;
mod stage;
mod world;

pub use account::Account;
pub use code::{Ask, Code};
pub use embedded::{CrashPlan, EmbeddedHarness, crash_everywhere, on_embedded, report};
pub use exercise::{Crashes, Exercise, Script, perform};
pub use harness::{Harness, Trouble};
pub use laws::check_laws;
pub use report::{Exception, Report};
pub use stage::{Stage, TICK};
pub use world::{Turn, World};
