//! The very files of `examples/`: the demo runs what newcomers read.

#![allow(dead_code, unreachable_pub, missing_docs, clippy::print_stdout)]
// Which engines on servers there are is a matter of the crate that the examples belong to.
#![allow(unexpected_cfgs)]

#[path = "../../../../../examples/booking.rs"]
pub(super) mod booking;
#[path = "../../../../../examples/checkout.rs"]
pub(super) mod checkout;
#[path = "../../../../../examples/research.rs"]
pub(super) mod research;
