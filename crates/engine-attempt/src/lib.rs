//! Attempts as every engine makes them in its own process: the places that they need before they start, the limits that
//! end them, the budgets that they draw on, and what they report meanwhile.
//!
//! An engine opens its [`Admissions`] once; an attempt takes its [`Places`] there, draws on an [`Account`], speaks through
//! its [`Reports`], and is run by [`make`]. Where its beginning and its end are recorded is the engine's own affair.
//!
//! What this crate is not: an engine. It records nothing, knows no history, and decides no retry.

mod admissions;
mod board;
mod budget;
mod limits;
mod options;
mod place;
mod queue;
mod reports;
mod seed;

pub use admissions::Admissions;
pub use budget::{Account, OwnBudget, RunAccount, SharedBudgets};
pub use limits::{Limits, make, run};
#[doc(inline)]
pub use midwatch_gates::{Clock, Pass, TargetGate};
pub use options::{AdmissionOptions, GateOptions, QueueOptions};
pub use place::{Place, Places, Wish};
pub use queue::Permit;
pub use reports::{Durable, Report, Reports};
