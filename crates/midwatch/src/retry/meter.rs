//! Counts what is spent, shared by whoever spends.

use std::sync::{Arc, Mutex, PoisonError};

use midwatch_workflow::{Charge, Money, Spent};

/// A count of tokens and money; clones count together.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<Mutex<Spent>>);

impl Meter {
    /// Starts at nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a charge.
    pub fn charge(&self, charge: &Charge) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(charge);
    }

    /// What was counted so far.
    pub fn spent(&self) -> Spent {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was spent between two readings.
pub(super) fn difference(now: &Spent, before: &Spent) -> Spent {
    let mut usage = now.usage;
    for (now, before) in [
        (&mut usage.calls, before.usage.calls),
        (&mut usage.input, before.usage.input),
        (&mut usage.output, before.usage.output),
        (&mut usage.cached, before.usage.cached),
        (&mut usage.cache_write, before.usage.cache_write),
        (&mut usage.reasoning, before.usage.reasoning),
    ] {
        *now = now.saturating_sub(before);
    }
    let cost = Money::from_picos(now.cost.as_picos().saturating_sub(before.cost.as_picos()));
    Spent { usage, cost, unpriced: now.unpriced.saturating_sub(before.unpriced) }
}
