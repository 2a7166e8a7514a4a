//! Brings journal and views together: reads what a view needs, so much and no more, whatever the size of the journal.
//!
//! Views are pure and reach no storage; the journal interprets nothing. Every surface that shows views asks here, so that
//! all of them answer alike.
//!
//! What this crate is not: it decides nothing, prints nothing and writes nothing.

mod attention;
mod cost;
mod facts;
mod find;
mod memory;
mod row;
mod stall;
mod standing;

pub use attention::{Candidate, candidates, urgency};
pub use cost::{CostQuery, cost};
pub use facts::{Inspector, gates, gates_of, owner, owner_of};
pub use find::{Found, find};
pub use memory::Memory;
pub use row::row;
pub use stall::{Stalled, stalls};
pub use standing::Surveyor;
