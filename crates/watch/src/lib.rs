//! Watches a journal from outside: follows what is committed, reads how it stands, and serves both as metrics.
//!
//! A [`Watch`] is one thread. It begins at the end of the journal, however long that is, and reads within fixed bounds.
//! What it found last is what [`Watch::router`] serves: a scrape reads nothing.
//!
//! An [`alert::Alerter`] judges each reading by rules from a file and tells receivers: a webhook, Alertmanager, Slack, a
//! command.
//!
//! ```no_run
//! use midwatch_watch::alert::{Alerter, Plan};
//! use midwatch_watch::{Options, Watch};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let watch = Watch::start("midwatch.db", Options::default())?;
//! // `None`: another process tells receivers about this journal.
//! let _alerter = Alerter::start("midwatch.db", Plan::default(), &watch)?;
//! let app = axum::Router::new().merge(watch.router());
//! axum::serve(tokio::net::TcpListener::bind("127.0.0.1:9464").await?, app).await?;
//! # Ok(())
//! # }
//! ```
//!
//! What this crate is not: it owns no journal, carries no run out, and decides nothing that a fold in `midwatch-observe`
//! does not decide.

pub mod alert;
pub mod dashboards;
mod follow;
mod http;
mod render;
mod watch;

pub use render::{Format, render};
pub use watch::{Error, Found, Options, Watch};
