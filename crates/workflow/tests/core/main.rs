//! The workflow core, driven by hand.

mod budget;
mod cancel;
mod compensate;
mod concurrency;
mod hand;
mod limits;
mod replay;
mod retry;
mod signal;
