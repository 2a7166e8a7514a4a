//! Watches a journal from outside: follows what is committed, reads how it stands, and serves both as metrics.
//!
//! A [`Watch`] is one thread. It begins at the end of the journal, however long that is, and reads within fixed bounds.
//! What it found last is what [`Watch::router`] serves: a scrape reads nothing.
//!
//! What this crate is not: it owns no journal, carries no run out, and decides nothing that a fold in `midwatch-observe`
//! does not decide.

mod follow;
mod http;
mod render;
mod watch;

pub use render::{Format, render};
pub use watch::{Error, Found, Options, Watch};
