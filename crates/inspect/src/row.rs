//! A run in a list, from the journal's shape to the views' own.

use midwatch_journal::{RunSummary, Status as Stored};
use midwatch_observe::{Run, Status};

/// Turns what the journal keeps of a run into what views take.
pub fn row(summary: &RunSummary) -> Run {
    Run {
        run: summary.run,
        workflow: summary.workflow.clone(),
        workflow_id: summary.workflow_id.to_string(),
        tenant: summary.tenant.clone(),
        status: status(summary.status),
        started_at: summary.started_at,
        updated_at: summary.updated_at,
        ended_at: summary.ended_at,
        wake_at: summary.wake_at,
        events: summary.events,
        steps: summary.steps,
        attempts: summary.attempts,
        failures: summary.failures,
        spent: summary.spent,
        wasted: summary.wasted,
        spent_by: summary.spent_by.clone(),
        children: summary.children,
        doing: summary.doing.clone(),
        parked: summary.parked,
        class: summary.class,
        message: summary.message.clone(),
        parent: summary.parent.map(|parent| parent.run),
        worker: summary.worker.clone(),
        target: summary.target.clone(),
        queue: summary.queue.clone(),
        held: summary.held,
    }
}

pub(crate) fn status(status: Stored) -> Status {
    match status {
        Stored::Running => Status::Running,
        Stored::Waiting => Status::Waiting,
        Stored::Compensating => Status::Compensating,
        Stored::Paused => Status::Paused,
        Stored::Parked => Status::Parked,
        Stored::Completed => Status::Completed,
        Stored::Failed => Status::Failed,
        Stored::Compensated => Status::Compensated,
        Stored::Cancelled => Status::Cancelled,
    }
}
