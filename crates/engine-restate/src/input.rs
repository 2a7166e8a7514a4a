//! Events as inputs of an execution.

use midwatch_workflow::{EventKind, Execution, Outcome, Timestamp};

/// Gives an event to the execution, if it is one that reaches the workflow.
pub(crate) fn take_in(execution: &mut Execution, kind: &EventKind, at: Timestamp) {
    match kind {
        EventKind::AttemptEnded { op, result, charges } => {
            execution.settle(*op, Outcome::Attempt(result.clone().into(), charges.clone()), at);
        }
        EventKind::TimerFired { op } => execution.settle(*op, Outcome::Fired, at),
        EventKind::ChildEnded { op, result } => {
            execution.settle(*op, Outcome::Child(result.clone().into()), at);
        }
        EventKind::Resolved { op, resolution, .. } => {
            execution.settle(*op, Outcome::Resolved(resolution.clone()), at);
        }
        EventKind::SignalReceived { name, payload, .. } => execution.signal(name, payload.clone(), at),
        EventKind::CancelRequested { class, reason, .. } => execution.cancel(*class, reason, at),
        EventKind::BudgetRaised { usd, tokens, .. } => execution.raise_budget(*usd, *tokens, at),
        _ => {}
    }
}
