//! What the server lists of runs: asked in SQL, as its admin API answers.

use midwatch_workflow::{RunId, RunResult, Timestamp};
use serde::Deserialize;

use crate::client::{Address, Client, ServerError};
use crate::translate::{RunInput, own_failure};

/// A run's invocation as the server lists it.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Listed {
    pub(crate) id: String,
    target_service_name: String,
    target_service_key: String,
    status: String,
    #[serde(default)]
    completion_result: Option<String>,
    #[serde(default)]
    completion_failure: Option<String>,
    #[serde(default)]
    completed_ms: Option<u64>,
}

/// How an invocation ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Completion {
    /// With an output, which the ingress gives.
    Output,
    /// With a failure of the run's own.
    Failed(RunResult),
    /// With a failure of the server's.
    Forced { code: u16, message: String },
}

impl Listed {
    pub(crate) fn address(&self) -> Address {
        Address { service: self.target_service_name.clone(), key: self.target_service_key.clone() }
    }

    /// How it ended; `None` if it is open.
    pub(crate) fn completion(&self) -> Option<Completion> {
        if self.status != "completed" {
            return None;
        }
        Some(match (self.completion_result.as_deref()?, &self.completion_failure) {
            ("success", _) => Completion::Output,
            (_, failure) => failed(failure.as_deref().unwrap_or_default()),
        })
    }

    /// When it ended.
    pub(crate) fn completed_at(&self) -> Timestamp {
        Timestamp::from_micros(self.completed_ms.unwrap_or_default().saturating_mul(1_000))
    }
}

/// Reads a failure as the server lists it: `[409] killed`.
fn failed(text: &str) -> Completion {
    let coded = text.strip_prefix('[').and_then(|text| text.split_once("] "));
    let (code, message) =
        coded.and_then(|(code, message)| Some((code.parse().ok()?, message))).unwrap_or((0, text));
    match own_failure(message) {
        Some(result) => Completion::Failed(result),
        None => Completion::Forced { code, message: message.to_owned() },
    }
}

impl Client {
    /// The invocations that the server knows of these runs.
    pub(crate) async fn listed(&self, runs: &[Address]) -> Result<Vec<Listed>, ServerError> {
        let all = |text: fn(&Address) -> &str| {
            let quoted: Vec<String> = runs.iter().map(|run| format!("'{}'", quoted(text(run)))).collect();
            quoted.join(", ")
        };
        self.rows(format!(
            "SELECT id, target_service_name, target_service_key, status, completion_result, completion_failure, \
             CAST(completed_at AS BIGINT) AS completed_ms FROM sys_invocation WHERE target_handler_name = 'run' \
             AND target_service_name IN ({}) AND target_service_key IN ({})",
            all(|run| &run.service),
            all(|run| &run.key)
        ))
        .await
    }

    /// The run that an invocation was started for, as its input says; `None` if the server has it no more.
    pub(crate) async fn run_of(&self, invocation: &str) -> Result<Option<RunId>, ServerError> {
        #[derive(Deserialize)]
        struct Row {
            entry_json: String,
        }
        let query =
            format!("SELECT entry_json FROM sys_journal WHERE id = '{}' AND index = 0", quoted(invocation));
        let rows: Vec<Row> = self.rows(query).await?;
        Ok(rows.first().and_then(|row| input_of(&row.entry_json)).map(|input| input.start.run))
    }
}

/// A text within quotes of SQL.
pub(crate) fn quoted(text: &str) -> String {
    text.replace('\'', "''")
}

/// The input in the first entry of an invocation's journal.
fn input_of(entry: &str) -> Option<RunInput> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Entry {
        command: Command,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Command {
        input: Input,
    }
    #[derive(Deserialize)]
    struct Input {
        payload: Vec<u8>,
    }
    let entry: Entry = serde_json::from_str(entry).ok()?;
    serde_json::from_slice(&entry.command.input.payload).ok()
}

#[cfg(test)]
mod tests {
    use midwatch_workflow::{Class, Failure, RunStarted};

    use super::*;
    use crate::translate::encode;

    #[test]
    fn an_end_is_the_runs_own_only_if_it_says_so() {
        let own =
            RunResult::Failed { failure: Failure::new(Class::Server, "down"), compensated: 1, resolved: 0 };
        let whole = serde_json::to_string(&own).unwrap();
        let forced = |code, message: &str| Completion::Forced { code, message: message.to_owned() };
        for (text, expected) in [
            (format!("[500] server: down\n{whole}"), Completion::Failed(own)),
            ("[409] killed".to_owned(), forced(409, "killed")),
            ("[570] journal mismatch: [1] x".to_owned(), forced(570, "journal mismatch: [1] x")),
            ("gone".to_owned(), forced(0, "gone")),
        ] {
            assert_eq!(failed(&text), expected);
        }
        let open = Listed { status: "suspended".to_owned(), ..Listed::default() };
        assert_eq!(open.completion(), None);
    }

    #[test]
    fn an_invocations_first_entry_names_its_run() {
        let run = RunId::from_bytes([7; 16]);
        let input = RunInput { start: RunStarted::bare(run, "trip"), at: Timestamp::from_micros(1) };
        let payload: Vec<u8> = encode(&input).to_vec();
        let entry =
            serde_json::json!({ "Command": { "Input": { "headers": [], "payload": payload, "name": "" } } });
        assert_eq!(input_of(&entry.to_string()).map(|input| input.start.run), Some(run));
        assert!(input_of("{\"Command\":{\"Input\":{}}}").is_none());
    }
}
