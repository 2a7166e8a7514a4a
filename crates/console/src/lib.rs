//! The journal in a browser, live, and as a JSON API: what somebody opens at 2 a.m.
//!
//! It is a view. All that it says comes from [`midwatch_inspect`] and [`midwatch_observe`], as on the command line, and
//! every number on a page leads to the events behind it. What it does to runs goes through [`midwatch_steer`].
//!
//! A page is made of parts (`page`), each with a hash; a reader who stays is sent the parts that changed (`live`).
//! Pages are HTML from the server and can be read without scripts. There is no build step, and the two assets are in the
//! binary.
//!
//! What this crate is not: it carries no run out and computes no view; it owns no journal; and it keeps nothing that is
//! not forgotten when it ends, but for what its readers order, which is in the journal.

mod access;
mod api;
mod app;
mod assets;
mod draw;
mod error;
mod html;
mod keep;
mod link;
mod live;
mod page;
mod pages;
mod payload;
mod run;
mod server;
mod settings;
mod shelf;
mod shown;
mod verdicts;

pub use server::Console;
pub use settings::{Access, Clock, OpenError, Settings};
