//! Steering runs from the command line: which runs are meant, and how it went with each.

mod deliver;
mod target;

pub(crate) use deliver::{Sending, deliver, user};
pub(crate) use target::Targets;
