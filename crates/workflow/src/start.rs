//! How a run begins, whatever engine carries it out.

use crate::event::Parent;
use crate::{Child, NewRun, Payload, RunId, RunInfo, RunStarted, WorkflowDefinition, WorkflowId};

impl RunStarted {
    /// The start that a caller asked for, with the workflow's own limits where it names none.
    pub fn of(workflow: &WorkflowDefinition, new: NewRun, run: RunId, worker: impl Into<String>) -> Self {
        let limits = workflow.options();
        Self {
            workflow_id: new.workflow_id.unwrap_or_else(|| run.into()),
            input: new.input,
            timeout: Some(new.timeout.unwrap_or(limits.timeout)),
            budget: new.budget.or(limits.budget),
            traceparent: new.traceparent,
            tenant: new.tenant,
            worker: worker.into(),
            ..Self::bare(run, workflow.name().as_ref())
        }
    }

    /// The start of a child, which runs for the same tenant and in the same trace as its parent. Where the child's workflow is not registered,
    /// `workflow` is `None`, and whoever takes it up knows its limits.
    pub fn child(child: &Child, workflow: Option<&WorkflowDefinition>, parent: Parent, of: &RunInfo) -> Self {
        let limits = workflow.map(WorkflowDefinition::options);
        Self {
            workflow_id: child.workflow_id.clone(),
            input: child.input.clone(),
            timeout: limits.map(|limits| limits.timeout),
            budget: limits.and_then(|limits| limits.budget),
            parent: Some(parent),
            traceparent: Some(of.child_traceparent(child.run)),
            tenant: of.tenant.clone(),
            ..Self::bare(child.run, child.workflow.as_ref())
        }
    }

    /// A start that says nothing but what it is a run of.
    pub fn bare(run: RunId, workflow: impl Into<String>) -> Self {
        Self {
            run,
            workflow: workflow.into(),
            workflow_id: WorkflowId::from(run),
            input: Payload::null(),
            timeout: None,
            budget: None,
            parent: None,
            forked_from: None,
            key_base: None,
            traceparent: None,
            tenant: None,
            worker: String::new(),
        }
    }
}
