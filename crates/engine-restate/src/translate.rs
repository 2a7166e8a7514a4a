//! What midwatch and Restate say to each other: the JSON in Restate's journal, names, and results.

use bytes::Bytes;
use midwatch_workflow::{
    Charge, Class, Ended, Failure, Message, Payload, RunId, RunResult, RunStarted, Timestamp, WorkflowId,
};
use restate_sdk_shared_core::{NonEmptyValue, TerminalFailure};
use serde::{Deserialize, Serialize};

/// The name of the signal by which all messages reach a run; Restate keeps every delivery, in order.
pub(crate) const MAILBOX: &str = "midwatch";

/// What a run is started with. The run id comes from midwatch, so that it is the same on every engine.
#[derive(Serialize, Deserialize)]
pub(crate) struct RunInput {
    pub(crate) start: RunStarted,
    pub(crate) at: Timestamp,
}

/// A message on its way to a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Letter {
    pub(crate) message: Message,
    /// When it was sent.
    pub(crate) at: Timestamp,
    /// By which whoever sent it hears what came of it.
    pub(crate) id: u64,
}

/// A letter and the invocation that it is for, as the mailbox service takes it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Posted {
    pub(crate) invocation: String,
    pub(crate) letter: Letter,
}

/// What came of an attempt: the result of a `run` in Restate's journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AttemptDone {
    pub(crate) at: Timestamp,
    /// `None` if it was no longer wanted before it began.
    pub(crate) result: Option<Ended>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) charges: Vec<Charge>,
}

/// Encodes what has a JSON form by construction.
pub(crate) fn encode<T: Serialize>(value: &T) -> Bytes {
    serde_json::to_vec(value).map(Bytes::from).unwrap_or_default()
}

/// The service of a workflow. Restate knows letters, digits, `_`, `.` and `-`; anything else becomes `-` and its code.
pub(crate) fn service_name(prefix: &str, workflow: &str) -> String {
    let mut name = prefix.to_owned();
    for letter in workflow.chars() {
        match letter {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '.' => name.push(letter),
            other => name.push_str(&format!("-{:x}", u32::from(other))),
        }
    }
    if name.starts_with(|first: char| first.is_ascii_alphabetic()) { name } else { format!("w.{name}") }
}

/// The key of a run within its workflow's service: its workflow id, so that Restate itself starts an id once. Children and
/// forks make no claim to their id; theirs is the run id.
pub(crate) fn service_key(start: &RunStarted) -> String {
    let claims = start.parent.is_none() && start.forked_from.is_none();
    key_of(claims, &start.workflow_id, start.run)
}

pub(crate) fn key_of(claims: bool, id: &WorkflowId, run: RunId) -> String {
    if claims { id.to_string() } else { run.to_string() }
}

/// A run's end as Restate shows it: its output, or a failure whose first line is for people and whose last is for midwatch.
pub(crate) fn output_of(result: &RunResult) -> NonEmptyValue {
    match result {
        RunResult::Completed(output) => {
            NonEmptyValue::Success(Bytes::copy_from_slice(output.as_str().as_bytes()))
        }
        RunResult::Failed { failure, .. } => {
            let whole = serde_json::to_string(result).unwrap_or_default();
            let message = format!("{}: {}\n{whole}", failure.class, failure.message);
            NonEmptyValue::Failure(TerminalFailure { code: 500, message, metadata: Vec::new() })
        }
    }
}

/// Reads an output.
pub(crate) fn completed(output: &[u8]) -> RunResult {
    let text = std::str::from_utf8(output).unwrap_or("null");
    RunResult::Completed(Payload::from_json(text).unwrap_or_else(|_| Payload::null()))
}

/// Reads a failure; one that midwatch did not write came from Restate itself, e.g. a killed invocation.
pub(crate) fn failed(code: u16, message: &str) -> RunResult {
    own_failure(message).unwrap_or_else(|| {
        let class = if code == 409 { Class::Cancelled } else { Class::Unknown };
        let failure = Failure::new(class, format!("ended by Restate: {message}"));
        RunResult::Failed { failure, compensated: 0, resolved: 0 }
    })
}

/// Reads a failure that midwatch wrote; `None` if it is somebody else's.
pub(crate) fn own_failure(message: &str) -> Option<RunResult> {
    message.rsplit_once('\n').and_then(|(_, whole)| serde_json::from_str(whole).ok())
}

/// Now, by the system's clock.
pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_name_is_one_that_restate_takes_and_tells_workflows_apart() {
        for (workflow, expected) in [
            ("trip", "trip"),
            ("agent.ten", "agent.ten"),
            ("book trip", "book-20trip"),
            ("9 lives", "w.9-20lives"),
        ] {
            assert_eq!(service_name("", workflow), expected);
        }
        assert_eq!(service_name("shop.", "trip"), "shop.trip");
        assert_ne!(service_name("", "a b"), service_name("", "a-b"));
    }

    #[test]
    fn a_failed_run_is_read_back_whole() {
        let failure = Failure::new(Class::Server, "down\nfor good").status(503);
        let result = RunResult::Failed { failure, compensated: 2, resolved: 1 };
        let NonEmptyValue::Failure(shown) = output_of(&result) else { panic!("a failure is shown as one") };
        assert!(shown.message.starts_with("server: down"));
        assert_eq!(failed(shown.code, &shown.message), result);
    }

    #[test]
    fn a_failure_that_restate_made_is_told_as_such() {
        let RunResult::Failed { failure, .. } = failed(409, "killed") else { panic!("it failed") };
        assert_eq!((failure.class, failure.message.as_str()), (Class::Cancelled, "ended by Restate: killed"));
    }
}
