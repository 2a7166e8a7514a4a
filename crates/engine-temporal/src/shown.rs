//! What Temporal's own UI tells of a run: its status, what it does and what it has cost, as current details, and as search
//! attributes or a memo.
//!
//! The details are free: the UI asks for them. The others are entries of the history, so they are written only when what they
//! say has changed. Search attributes must be registered with the server, which refuses a task that names others; whoever
//! starts a run asks, and all workers of the run keep to that.

use midwatch_journal::{RunSummary, Status};
use midwatch_workflow::{Money, RunStarted, WorkflowId};
use temporalio_client::grpc::OperatorService;
use temporalio_client::tonic::Request;
use temporalio_client::{Client, NamespacedClient};
use temporalio_common::MemoValue;
use temporalio_common::protos::temporal::api::operatorservice::v1::ListSearchAttributesRequest;
use temporalio_common::search_attributes::{SearchAttributeKey, SearchAttributes};
use temporalio_sdk::WorkflowContext;

use crate::host::Host;
use crate::wire::{MEMO_RUN, MEMO_WORKFLOW_ID};

/// The search attribute, or memo field, that says where the run stands.
const STATUS: SearchAttributeKey<String> = SearchAttributeKey::keyword("midwatch_status");

/// The same of what it has cost so far, in dollars.
const COST: SearchAttributeKey<f64> = SearchAttributeKey::float("midwatch_cost");

/// The search attribute that holds the user's id of the run.
const WORKFLOW_ID: SearchAttributeKey<String> = SearchAttributeKey::keyword(MEMO_WORKFLOW_ID);

/// What was shown last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Shown {
    status: Status,
    cost: Money,
}

impl Default for Shown {
    /// A run that has just begun says nothing that its UI does not say by itself.
    fn default() -> Self {
        Self { status: Status::Running, cost: Money::ZERO }
    }
}

impl Shown {
    /// Shows where a run stands. The same history shows the same.
    pub(crate) fn update(&mut self, cx: &WorkflowContext<Host>, summary: &RunSummary, is_indexed: bool) {
        cx.set_current_details(details(summary));
        let now = Self { status: summary.status, cost: summary.spent.cost };
        if *self == now {
            return;
        }
        if is_indexed {
            cx.upsert_search_attributes([
                STATUS.value_set(now.status.to_string()),
                COST.value_set(dollars(now.cost)),
            ]);
        } else {
            let memo = |text: String| Some(MemoValue::new(text));
            let changed =
                [(STATUS.name(), memo(now.status.to_string())), (COST.name(), memo(now.cost.to_string()))];
            if let Err(error) = cx.upsert_memo(changed) {
                tracing::warn!(%error, "Temporal's UI cannot be shown where a run stands");
            }
        }
        *self = now;
    }
}

/// Writes a run's ids into its memo, where the starter of other runs has them written.
pub(crate) fn name(cx: &WorkflowContext<Host>, start: &RunStarted) {
    let ids = [(MEMO_RUN, start.run.to_string()), (MEMO_WORKFLOW_ID, start.workflow_id.to_string())];
    if let Err(error) = cx.upsert_memo(ids.map(|(field, id)| (field, Some(MemoValue::new(id))))) {
        tracing::warn!(run = %start.run, %error, "a child's memo cannot name it");
    }
}

/// The search attributes of a run that begins.
pub(crate) fn at_first(id: &WorkflowId) -> SearchAttributes {
    let shown = Shown::default();
    SearchAttributes::new([
        WORKFLOW_ID.value_set(id.to_string()),
        STATUS.value_set(shown.status.to_string()),
        COST.value_set(dollars(shown.cost)),
    ])
}

/// Whether all search attributes are registered with the server, as what they are.
pub(crate) async fn is_registered(client: &Client) -> bool {
    let request = Request::new(ListSearchAttributesRequest { namespace: client.namespace() });
    let listed = match OperatorService::list_search_attributes(&mut client.clone(), request).await {
        Ok(listed) => listed.into_inner().custom_attributes,
        Err(error) => {
            tracing::info!(%error, "the server does not tell its search attributes: a memo is used instead");
            return false;
        }
    };
    let wanted = [
        (WORKFLOW_ID.name(), WORKFLOW_ID.indexed_value_type()),
        (STATUS.name(), STATUS.indexed_value_type()),
        (COST.name(), COST.indexed_value_type()),
    ];
    let missing = wanted.iter().find(|(name, kind)| listed.get(*name) != Some(&(*kind as i32)));
    if let Some((name, kind)) = missing {
        tracing::info!(
            "search attribute {name} is not registered: a memo is used instead; \
             `temporal operator search-attribute create --name {name} --type {kind:?}` registers it"
        );
    }
    missing.is_none()
}

fn dollars(cost: Money) -> f64 {
    cost.as_picos() as f64 / 1e12
}

fn details(summary: &RunSummary) -> String {
    let RunSummary { status, doing, attempts, failures, spent, .. } = summary;
    let doing = if doing.is_empty() { String::new() } else { format!(": {doing}") };
    format!("{status}{doing}\n\n{attempts} attempts, {failures} failed, {}", spent.cost)
}
