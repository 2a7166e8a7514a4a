//! What a [`RunQuery`] means, as pure functions that every store shares.

use std::cmp::Reverse;

use midwatch_workflow::RunId;

use crate::{Order, RunQuery, RunSummary};

/// How many runs a query gives that names no limit.
const LIMIT_DEFAULT: usize = 100;

impl RunQuery {
    /// How many runs are wanted at most.
    pub fn limit(&self) -> usize {
        if self.limit == 0 { LIMIT_DEFAULT } else { self.limit }
    }

    /// Whether a run fits.
    pub fn matches(&self, run: &RunSummary) -> bool {
        self.workflow.as_ref().is_none_or(|workflow| *workflow == run.workflow)
            && self.workflow_id.as_ref().is_none_or(|id| id == run.workflow_id.as_str())
            && (self.statuses.is_empty() || self.statuses.contains(&run.status))
            && self.tenant.as_ref().is_none_or(|tenant| run.tenant.as_ref() == Some(tenant))
            && self.started_from.is_none_or(|from| run.started_at >= from)
            && self.started_before.is_none_or(|before| run.started_at < before)
            && self.updated_from.is_none_or(|from| run.updated_at >= from)
            && self.updated_before.is_none_or(|before| run.updated_at < before)
            && self.cost_from.is_none_or(|from| run.spent.cost >= from)
            && self.cost_upto.is_none_or(|upto| run.spent.cost <= upto)
            && self.text.as_ref().is_none_or(|text| Text::new(text).matches(run))
    }
}

impl Order {
    /// What a run is sorted by, the smallest first.
    pub(crate) fn key(self, run: &RunSummary) -> i128 {
        match self {
            Order::Newest => -i128::from(run.started_at.as_micros()),
            Order::Oldest => i128::from(run.started_at.as_micros()),
            Order::Costliest => -i128::from(run.spent.cost.as_picos()),
            Order::Stalest => i128::from(run.updated_at.as_micros()),
        }
    }

    /// Whether runs that are equal in this order go by latest arrival first.
    pub(crate) fn is_descending(self) -> bool {
        matches!(self, Order::Newest | Order::Costliest)
    }

    /// Sorts `(key, number of arrival, run)`.
    pub(crate) fn sort<T>(self, runs: &mut [(i128, u64, T)]) {
        if self.is_descending() {
            runs.sort_by_key(|(key, arrival, _)| (*key, Reverse(*arrival)));
        } else {
            runs.sort_by_key(|(key, arrival, _)| (*key, *arrival));
        }
    }
}

/// A text that people search runs by, taken apart.
pub(crate) struct Text<'t> {
    /// The text as it is: part of a workflow id.
    pub(crate) part: &'t str,
    /// Hex digits that a run id may start with.
    pub(crate) prefix: Option<String>,
    /// Hex digits that a run id may end with.
    pub(crate) suffix: Option<String>,
}

impl<'t> Text<'t> {
    pub(crate) fn new(part: &'t str) -> Self {
        Self { part, prefix: hex(part), suffix: part.strip_prefix("r_").and_then(hex) }
    }

    fn matches(&self, run: &RunSummary) -> bool {
        let id = run.run.to_string();
        self.prefix.as_ref().is_some_and(|prefix| id.starts_with(prefix))
            || self.suffix.as_ref().is_some_and(|suffix| id.ends_with(suffix))
            || run.workflow_id.as_str().contains(self.part)
    }

    /// The lowest and the highest run id that start with the prefix.
    pub(crate) fn range(&self) -> Option<(RunId, RunId)> {
        let prefix = self.prefix.as_ref()?;
        let low = format!("{prefix:0<32}").parse().ok()?;
        let high = format!("{prefix:f<32}").parse().ok()?;
        Some((low, high))
    }
}

/// Up to 32 hex digits in lower case; `None` if it is anything else.
fn hex(text: &str) -> Option<String> {
    let is_hex = !text.is_empty() && text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| text.to_ascii_lowercase())
}
