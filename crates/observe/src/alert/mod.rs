//! Alerts, decided: rules and how a journal stands give findings; findings and what was told before give notifications.
//!
//! Nothing is sent from here. [`State`] is a value that a caller keeps, brings up to date and writes down.

mod judge;
mod notification;
mod rule;
mod state;

pub use judge::{FINDINGS_MAX, judge};
pub use notification::{Explained, Item, Notification, State as Told};
pub use rule::{Finding, Rule, Severity, Subject, Test};
pub use state::{Audience, State};
