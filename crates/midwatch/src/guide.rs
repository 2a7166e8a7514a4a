//! The guides whose code is compiled: only `cargo test --doc` sees this file.

#[doc = include_str!("../../../README.md")]
mod readme {}

#[doc = include_str!("../../../docs/getting-started.md")]
mod getting_started {}

#[cfg(feature = "testing")]
#[doc = include_str!("../../../docs/testing.md")]
mod testing {}
