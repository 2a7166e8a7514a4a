//! The ids by which Temporal knows runs.

use midwatch_journal::RunSummary;
use midwatch_workflow::{Name, WorkflowId};

/// The id under which Temporal knows a run: workflow ids are unique for each workflow, Temporal's for a namespace.
pub(crate) fn temporal_id(workflow: &Name, id: &WorkflowId) -> String {
    format!("{workflow}/{id}")
}

/// The ids that a run may have at the server: one that was started by hand may have any.
pub(crate) fn temporal_ids(run: &RunSummary) -> [String; 2] {
    let usual = temporal_id(&Name::Owned(run.workflow.clone()), &run.workflow_id);
    [usual, run.workflow_id.to_string()]
}
