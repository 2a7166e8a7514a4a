//! The tests of the whole crate, through its public side.

#![allow(clippy::unwrap_used)] // in functions that several tests share

mod build;
mod contract;
mod crash;
mod errors;
mod fold;
mod format;
mod lease;
mod spooled;
mod sqlite;
