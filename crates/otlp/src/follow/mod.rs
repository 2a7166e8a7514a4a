//! Following a journal: from its rows to spans, and on to the collector, without losing or holding much.

mod follower;
mod read;
mod work;

pub use follower::{Begin, Follower, Report, Start, StartError};
