//! Alerts, acted on: rules are read from a file, judged with every reading of the journal, and told to receivers.
//!
//! What fires and who was told is decided by `midwatch_observe::alert` and kept beside the journal, so that a restart
//! neither repeats nor forgets anything.

mod alerter;
mod config;
mod entry;
mod keep;
mod payload;
mod receiver;
mod send;
mod test;
mod toml_file;

pub use alerter::Alerter;
pub use config::{DEFAULT, Plan};
pub use keep::{kept, path};
pub use receiver::{Receiver, Route, Secret};
pub use test::{Outcome, test};
pub use toml_file::Wrong;
