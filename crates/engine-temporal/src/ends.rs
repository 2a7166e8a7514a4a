//! Ends that the server tells of: how an execution was closed, and what that writes into the journal of its run.

use midwatch_journal::{Fold, given_up};
use midwatch_workflow::{Class, Event, EventKind, Failure, Payload, RunResult};
use temporalio_common::protos::temporal::api::common::v1::{Payload as Raw, Payloads};
use temporalio_common::protos::temporal::api::failure::v1::failure::FailureInfo;
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;

use crate::wire::{read, read_payload};

/// An end that the run's own code does not write into the journal, or not any more.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum End {
    /// The run's own, which the journal missed.
    Own(RunResult),
    /// The server's: neither the run's code nor a compensation ran.
    Forced { class: Class, why: String },
    /// Somebody cancelled a run that the server does not know.
    Ordered { reason: String, by: String, why: String },
}

impl End {
    /// Reads the event that closed an execution; `None` if that goes on in another one.
    pub(crate) fn read(closed: Attributes) -> Option<Self> {
        let first = |payloads: Option<Payloads>| payloads.and_then(|all| all.payloads.into_iter().next());
        let forced = |class, why: String| Self::Forced { class, why };
        Some(match closed {
            Attributes::WorkflowExecutionCompletedEventAttributes(completed) => {
                let output = read_payload(first(completed.result).as_ref()).unwrap_or_else(Payload::null);
                Self::Own(RunResult::Completed(output))
            }
            Attributes::WorkflowExecutionFailedEventAttributes(failed) => {
                let failure = failed.failure.unwrap_or_default();
                let details = match failure.failure_info {
                    Some(FailureInfo::ApplicationFailureInfo(info)) => first(info.details),
                    _ => None,
                };
                Self::Own(own_failure(details.as_ref(), Class::Unknown, &failure.message))
            }
            Attributes::WorkflowExecutionCanceledEventAttributes(cancelled) => {
                let details = first(cancelled.details);
                Self::Own(own_failure(details.as_ref(), Class::Cancelled, "cancelled at the server"))
            }
            Attributes::WorkflowExecutionTerminatedEventAttributes(terminated) => {
                let by = told(" by ", &terminated.identity);
                let reason = told(": ", &terminated.reason);
                forced(Class::Cancelled, format!("terminated at the Temporal server{by}{reason}"))
            }
            Attributes::WorkflowExecutionTimedOutEventAttributes(_) => {
                forced(Class::Timeout, "timed out at the Temporal server".to_owned())
            }
            _ => return None,
        })
    }

    /// How the run ended, of which the journal has these events.
    pub(crate) fn result(&self, events: &[Event]) -> RunResult {
        match self {
            Self::Own(result) => result.clone(),
            Self::Forced { class, why } => given_up(events, *class, why),
            Self::Ordered { why, .. } => given_up(events, Class::Cancelled, why),
        }
    }

    /// What ends the run in the journal.
    pub(crate) fn events(&self, journal: &[Event], fold: &Fold) -> Vec<EventKind> {
        let ordered = match self {
            Self::Ordered { reason, by, .. } => Some(EventKind::CancelRequested {
                class: Class::Cancelled,
                reason: reason.clone(),
                by: by.clone(),
            }),
            Self::Own(_) | Self::Forced { .. } => None,
        };
        ordered.into_iter().chain(fold.close(self.result(journal))).collect()
    }
}

/// A failure as midwatch gave it to the server; one that it did not give is told in the server's words.
pub(crate) fn own_failure(details: Option<&Raw>, class: Class, message: &str) -> RunResult {
    read(details).unwrap_or_else(|| RunResult::Failed {
        failure: Failure::new(class, message),
        compensated: 0,
        resolved: 0,
    })
}

/// Adds what the server says, if it says anything.
fn told(lead: &str, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{lead}{text}") }
}

#[cfg(test)]
mod tests {
    use temporalio_common::protos::temporal::api::history::v1::{
        WorkflowExecutionCanceledEventAttributes, WorkflowExecutionContinuedAsNewEventAttributes,
        WorkflowExecutionTerminatedEventAttributes, WorkflowExecutionTimedOutEventAttributes,
    };

    use super::*;
    use crate::wire::raw_of;

    #[test]
    fn an_end_is_told_as_the_runs_own_or_as_the_servers_with_who_and_why() {
        let own = RunResult::Failed {
            failure: Failure::new(Class::Cancelled, "ordered twice"),
            compensated: 2,
            resolved: 0,
        };
        let details = Some(Payloads { payloads: vec![raw_of(&own)] });
        let terminated = |identity: &str, reason: &str| {
            Attributes::WorkflowExecutionTerminatedEventAttributes(
                WorkflowExecutionTerminatedEventAttributes {
                    identity: identity.to_owned(),
                    reason: reason.to_owned(),
                    details: None,
                },
            )
        };
        let forced = |class, why: &str| Some(End::Forced { class, why: why.to_owned() });
        for (closed, expected) in [
            (
                Attributes::WorkflowExecutionCanceledEventAttributes(
                    WorkflowExecutionCanceledEventAttributes { details, ..Default::default() },
                ),
                Some(End::Own(own)),
            ),
            (
                terminated("ann@build-1", "it hangs"),
                forced(Class::Cancelled, "terminated at the Temporal server by ann@build-1: it hangs"),
            ),
            (terminated("", ""), forced(Class::Cancelled, "terminated at the Temporal server")),
            (
                Attributes::WorkflowExecutionTimedOutEventAttributes(
                    WorkflowExecutionTimedOutEventAttributes::default(),
                ),
                forced(Class::Timeout, "timed out at the Temporal server"),
            ),
            (
                Attributes::WorkflowExecutionContinuedAsNewEventAttributes(
                    WorkflowExecutionContinuedAsNewEventAttributes::default(),
                ),
                None,
            ),
        ] {
            assert_eq!(End::read(closed), expected);
        }
    }
}
