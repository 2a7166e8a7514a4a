//! The tests of the whole crate, through its public side.

mod build;
mod contract;
mod crash;
mod fold;
mod format;
mod lease;
mod sqlite;
