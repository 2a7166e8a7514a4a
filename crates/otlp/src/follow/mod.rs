//! Following a journal: from its rows to spans, and on to the collector, without losing or holding much.

mod read;
mod work;

pub use work::{Begin, Follower, Report, Start, StartError};
