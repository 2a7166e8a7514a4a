//! How much may be spent. Everything counts: failed attempts and partial streams too.

use serde::{Deserialize, Serialize};

use crate::{Amount, Money};

/// A limit on what is spent; the gate stands before every attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Budget {
    /// The most that may be paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usd: Option<Money>,
    /// The most tokens, input and output together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// What happens then.
    #[serde(default)]
    pub on_reached: OnReached,
}

/// What happens when a budget is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnReached {
    /// The step fails with class `budget`, and compensations run.
    Fail,
    /// The run is parked until somebody raises the budget; the work is not lost.
    #[default]
    Park,
}

impl Budget {
    /// A budget in dollars that parks the run when it is reached.
    pub fn usd(limit: Money) -> Self {
        Self { usd: Some(limit), ..Self::default() }
    }

    /// Says what reached the limit, if anything did.
    pub fn reached(&self, spent: Amount) -> Option<String> {
        if let Some(limit) = self.usd.filter(|limit| spent.usd >= *limit) {
            return Some(format!("{} of {limit} are spent", spent.usd));
        }
        let limit = self.tokens.filter(|limit| spent.tokens >= *limit)?;
        Some(format!("{} of {limit} tokens are spent", spent.tokens))
    }

    /// Raises the limits that exist.
    pub fn raise(&mut self, usd: Money, tokens: u64) {
        if let Some(limit) = &mut self.usd {
            *limit += usd;
        }
        if let Some(limit) = &mut self.tokens {
            *limit = limit.saturating_add(tokens);
        }
    }
}
