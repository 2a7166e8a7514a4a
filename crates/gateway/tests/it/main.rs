//! The gateway over real HTTP, before the simulator: what it passes on, books, refuses and repeats.
#![allow(clippy::unwrap_used)]

mod bodies;
mod budgets;
mod cancel;
mod dedup;
mod identity;
mod orders;
mod protect;
mod proxy;
mod security;
mod stage;
