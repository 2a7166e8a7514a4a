//! The durable record: every event of every run, in one place, from which all views are computed.
//!
//! [`Journal`] is the narrow seam; [`sqlite`] keeps it in one file, [`memory`] in memory for tests.
//!
//! What this crate is not: it starts nothing, decides nothing and interprets no event beyond the summary that lists need;
//! [`replay`] lets a workflow's own code do that.

pub mod beside;
mod board;
mod commits;
mod cursor;
mod error;
mod fold;
mod given_up;
mod lease;
mod log;
pub mod memory;
mod query;
pub mod receipts;
mod repeat;
pub mod replay;
mod respond;
mod spent;
pub mod spool;
pub mod sqlite;
pub mod story;
mod summary;

pub use board::Board;
pub use commits::Commits;
pub use cursor::Cursor;
pub use error::Error;
pub use fold::{Fold, Open, effective, recorded};
pub use given_up::given_up;
pub use lease::Lease;
pub use log::{Append, Appended, Done, Journal, Letter, Order, Row, RunQuery};
pub use spent::spent;
pub use summary::{RunSummary, Status};
