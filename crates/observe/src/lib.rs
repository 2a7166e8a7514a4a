//! Views of runs: pure folds over their events, the same for every surface that shows them.
//!
//! What this crate is not: it reaches no storage and no engine, and it has no clock. Whoever asks brings the events.

pub mod timeline;

pub use timeline::Timeline;
