//! What may be spent.

use std::collections::BTreeMap;

use midwatch_workflow::{Budget, Money, OnReached};
use serde::Deserialize;

use super::value::money;

/// What may be spent.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budgets {
    /// By each run.
    pub run: Limit,
    /// By everybody in a day (UTC).
    pub day: Limit,
    /// By each of these tenants in a day (UTC).
    pub tenant_day: BTreeMap<String, Limit>,
    /// What to do with calls that have no price where a budget is in dollars.
    pub unpriced: Unpriced,
}

/// What to do with calls that have no price where a budget is in dollars.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unpriced {
    /// Refuse them.
    #[default]
    Refuse,
    /// Let them pass: they cost the budget nothing.
    Pass,
}

/// A limit in dollars, tokens or both.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limit {
    /// Dollars, e.g. `"1.00"`.
    #[serde(deserialize_with = "money")]
    pub usd: Option<Money>,
    /// Tokens, input and output together.
    pub tokens: Option<u64>,
}

impl Limit {
    /// The limit of both: the lower one.
    #[must_use]
    pub fn and(self, usd: Option<Money>) -> Self {
        Self { usd: [self.usd, usd].into_iter().flatten().min(), ..self }
    }

    /// As a budget; `None` if there is no limit.
    pub fn budget(self) -> Option<Budget> {
        let is_any = self.usd.is_some() || self.tokens.is_some();
        is_any.then_some(Budget { usd: self.usd, tokens: self.tokens, on_reached: OnReached::Fail })
    }
}
