//! Patterns that sit above the operations, written once for every engine.

pub(crate) mod approval;
pub(crate) mod saga;
