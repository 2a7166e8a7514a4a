//! Steering runs: whether a run can take an order, the letter that carries it, and what came of it.
//!
//! An [`Order`] is judged against where the run stands, goes into the journal's inbox, and is watched for its effect.
//! Whoever steers, from a terminal or from a page, does it through [`deliver()`], so that all are refused alike and each
//! says in the journal who did it.
//!
//! What this crate is not: it chooses no runs, asks nobody for agreement and prints nothing; and it carries nothing out:
//! the process that owns the journal does.

mod deliver;
mod order;
mod orders;
mod outcome;
mod request;

pub use deliver::{Desk, deliver};
pub use order::{Effect, Judgement, Order, Sent, state};
pub use orders::{Cancel, Fork, ForkAt, Pause, RaiseBudget, Resolve, Resume, Retry, Signal, Waits};
pub use outcome::{Outcome, report, reported};
pub use request::Request;

use midwatch_journal::Status;

/// The states of runs that have not ended.
pub const OPEN: [Status; 5] =
    [Status::Running, Status::Waiting, Status::Compensating, Status::Paused, Status::Parked];
