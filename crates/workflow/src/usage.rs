//! What an attempt spent: tokens by kind, and their price where it is known.

use serde::{Deserialize, Serialize};

use crate::Money;

/// Tokens and calls, counted by the provider or, if it said nothing, estimated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Requests sent.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub calls: u64,
    /// Input tokens, those read from and written to a cache included.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub input: u64,
    /// Output tokens, reasoning tokens included.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub output: u64,
    /// Those of the input tokens that were read from a cache.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cached: u64,
    /// Those of the input tokens that were written to a cache.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cache_write: u64,
    /// Those of the output tokens that were reasoning.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reasoning: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Usage {
    /// Input and output tokens together.
    pub fn tokens(&self) -> u64 {
        self.input.saturating_add(self.output)
    }

    /// Adds another usage, saturating.
    pub fn add(&mut self, other: &Usage) {
        for (sum, more) in [
            (&mut self.calls, other.calls),
            (&mut self.input, other.input),
            (&mut self.output, other.output),
            (&mut self.cached, other.cached),
            (&mut self.cache_write, other.cache_write),
            (&mut self.reasoning, other.reasoning),
        ] {
            *sum = sum.saturating_add(more);
        }
    }
}

/// How well a charge is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    /// The provider said so.
    #[default]
    Exact,
    /// Counted or computed here, because the provider's word never came (a cut stream, a killed process).
    Estimated,
    /// Nothing is known but an upper bound: that is what `usage` holds.
    Bound,
}

/// One booking: what was used of one model, and what it cost.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Charge {
    /// Who was paid, `provider:model`, e.g. `openai:gpt-4o`.
    pub target: String,
    /// What was used.
    pub usage: Usage,
    /// What it cost; `None` if no price is known, which is shown as unpriced and never as zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Money>,
    /// The price table and its date, e.g. `genai-prices 2026-11-01`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<String>,
    /// How well `usage` is known.
    #[serde(default, skip_serializing_if = "is_exact")]
    pub certainty: Certainty,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_exact(certainty: &Certainty) -> bool {
    *certainty == Certainty::Exact
}

/// The sum of many charges.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Spent {
    /// All tokens and calls.
    pub usage: Usage,
    /// What is priced of it.
    pub cost: Money,
    /// Charges without a price.
    pub unpriced: u64,
}

impl Spent {
    /// Adds one charge.
    pub fn add(&mut self, charge: &Charge) {
        self.usage.add(&charge.usage);
        match charge.cost {
            Some(cost) => self.cost += cost,
            None => self.unpriced += 1,
        }
    }

    /// Adds many charges.
    pub fn add_all(&mut self, charges: &[Charge]) {
        charges.iter().for_each(|charge| self.add(charge));
    }
}
