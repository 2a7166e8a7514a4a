//! Journals in memory, for tests: [`MemoryJournal`] outlives the engine that writes it, [`CrashingJournal`] ends one.

mod crash;
mod store;

pub use crash::{CrashingJournal, When};
pub use store::MemoryJournal;
