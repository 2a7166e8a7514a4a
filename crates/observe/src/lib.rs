//! Views of runs: pure folds over their events, the same for every surface that shows them.
//!
//! What this crate is not: it reaches no storage and no engine, and it has no clock. Whoever asks brings the events.

pub mod alert;
pub mod baseline;
#[cfg(any(test, feature = "corpus"))]
pub mod corpus;
pub mod cost;
pub mod metrics;
pub mod profile;
pub mod run;
pub mod stall;
pub mod standing;
pub mod tell;
pub mod timeline;
pub mod trace;
pub mod why;
mod words;

pub use baseline::Baselines;
pub use profile::Profile;
pub use run::{Run, Status};
pub use standing::Standing;
pub use timeline::Timeline;
pub use why::{Answer, Facts, why};
pub use words::shell;
