//! What Temporal's own UI tells of a run: its status, what it does and what it has cost, as current details and as a memo.
//!
//! The details are free: the UI asks for them. A memo is an entry of the history, so it is written only when what it says
//! has changed.

use midwatch_journal::{RunSummary, Status};
use temporalio_common::MemoValue;
use temporalio_sdk::WorkflowContext;

use crate::host::Host;

/// The memo field that says where the run stands.
const MEMO_STATUS: &str = "midwatch_status";

/// The memo field that says what it has cost so far.
const MEMO_COST: &str = "midwatch_cost";

/// What was shown last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Shown {
    status: String,
    cost: String,
}

impl Default for Shown {
    /// A run that has just begun says nothing that its UI does not say by itself.
    fn default() -> Self {
        Self { status: Status::Running.to_string(), cost: midwatch_workflow::Money::ZERO.to_string() }
    }
}

impl Shown {
    /// Shows where a run stands. The same history shows the same.
    pub(crate) fn update(&mut self, cx: &WorkflowContext<Host>, summary: &RunSummary) {
        cx.set_current_details(details(summary));
        let now = Self { status: summary.status.to_string(), cost: summary.spent.cost.to_string() };
        if *self == now {
            return;
        }
        let memo = |text: &String| Some(MemoValue::new(text.clone()));
        let changed = [(MEMO_STATUS, memo(&now.status)), (MEMO_COST, memo(&now.cost))];
        if let Err(error) = cx.upsert_memo(changed) {
            tracing::warn!(%error, "Temporal's UI cannot be shown where a run stands");
        }
        *self = now;
    }
}

fn details(summary: &RunSummary) -> String {
    let RunSummary { status, doing, attempts, failures, spent, .. } = summary;
    let doing = if doing.is_empty() { String::new() } else { format!(": {doing}") };
    format!("{status}{doing}\n\n{attempts} attempts, {failures} failed, {}", spent.cost)
}
