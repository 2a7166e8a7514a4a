//! The very files of `examples/`: the demo runs what newcomers read.

#![allow(dead_code, unreachable_pub, missing_docs, clippy::print_stdout)]

#[path = "../../../../../examples/booking.rs"]
pub(super) mod booking;
#[path = "../../../../../examples/checkout.rs"]
pub(super) mod checkout;
#[path = "../../../../../examples/research.rs"]
pub(super) mod research;
