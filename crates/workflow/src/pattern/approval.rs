//! Approval: a signal that a person answers yes or no.

use serde::{Deserialize, Serialize};

use crate::call::SignalCall;
use crate::context::Context;

/// A person's answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Approval {
    /// Whether it may go on.
    pub approved: bool,
    /// Who answered.
    #[serde(default)]
    pub by: String,
    /// Why, or with what change.
    #[serde(default)]
    pub note: String,
}

impl Context {
    /// Waits for a person's answer: the signal of this name with an [`Approval`], e.g.
    /// `midwatch signal RUN publish '{"approved": true}'`.
    pub fn approval(&self, name: impl Into<String>) -> SignalCall<Approval> {
        self.signal(name)
    }
}
