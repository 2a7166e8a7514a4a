//! What a Restate server says of a run: its invocation's state, how often it was tried again, and what it failed with.

use anyhow::Context as _;
use midwatch_journal::RunSummary;
use midwatch_observe::why::{Cause, Next, Obstacle, Served};
use serde::Deserialize;

/// An invocation as the server lists it.
#[derive(Clone, Debug, Default, Deserialize)]
struct Invocation {
    id: String,
    status: String,
    #[serde(default)]
    target_service_name: String,
    #[serde(default)]
    retry_count: Option<u64>,
    #[serde(default)]
    next_retry_at: Option<String>,
    #[serde(default)]
    last_failure: Option<String>,
    #[serde(default)]
    pinned_deployment_id: Option<String>,
}

#[derive(Deserialize)]
struct Rows {
    rows: Vec<Invocation>,
}

/// Asks the admin API.
pub(super) async fn says(admin: &str, run: &RunSummary) -> anyhow::Result<Served> {
    let key = if run.claims_workflow_id() { run.workflow_id.to_string() } else { run.run.to_string() };
    let query = format!(
        "SELECT id, status, target_service_name, retry_count, next_retry_at, last_failure, pinned_deployment_id \
         FROM sys_invocation WHERE target_service_key = '{}' AND target_handler_name = 'run'",
        key.replace('\'', "''")
    );
    let url = format!("{}/query", admin.trim_end_matches('/'));
    // Who installed another provider before keeps it; that is what the error here says.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let asked = reqwest::Client::new().post(&url).header("accept", "application/json");
    let answer = asked.json(&serde_json::json!({ "query": query })).send().await?.error_for_status()?;
    let rows: Rows = answer.json().await.context("it answers what is not known here")?;
    let mut rows = rows.rows;
    // Other workflows may have a run of the same id; a prefix may stand before the workflow's name.
    rows.retain(|row| {
        row.target_service_name.ends_with(&run.workflow) || !run.workflow.chars().all(is_plain)
    });
    Ok(rows.first().map_or_else(unknown, served))
}

fn is_plain(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || letter == '.'
}

fn unknown() -> Served {
    Served { says: vec!["Restate knows no invocation of this run".to_owned()], obstacle: None }
}

/// What an invocation's row comes to.
fn served(of: &Invocation) -> Served {
    let tries = of.retry_count.filter(|count| *count > 0).map(|count| format!(", tried {count} times"));
    let next = of.next_retry_at.as_ref().map(|at| format!(", again at {at}"));
    let failed = of.last_failure.as_ref().map(|failure| format!("; it failed last with: {failure}"));
    let place = of.pinned_deployment_id.as_ref().map(|id| format!("; its code is at deployment {id}"));
    let parts = [tries, next, failed.clone(), place].into_iter().flatten().collect::<String>();
    let headline = format!("Restate: invocation {} is {}{parts}", of.id, of.status);
    let next = |command: String, does: &str| Next { command, does: does.to_owned() };
    let obstacle = match of.status.as_str() {
        "backing-off" => Some((
            Cause::ProcessLost,
            next(
                format!("restate invocations describe {}", of.id),
                "shows where its code is looked for: start that process again at the same address",
            ),
        )),
        "paused" => Some((
            Cause::Paused,
            next(
                format!("restate invocations resume {}", of.id),
                "lets it go on; mend first what it failed with",
            ),
        )),
        _ => None,
    };
    let obstacle =
        obstacle.map(|(cause, next)| Obstacle { cause, headline: headline.clone(), next: vec![next] });
    Served { says: vec![headline], obstacle }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invocation_that_backs_off_or_is_paused_is_why_nothing_moves() {
        let row = |status: &str| Invocation {
            id: "inv_1".to_owned(),
            status: status.to_owned(),
            retry_count: Some(4),
            last_failure: Some("connection refused".to_owned()),
            ..Invocation::default()
        };
        for (status, cause) in [
            ("backing-off", Some(Cause::ProcessLost)),
            ("paused", Some(Cause::Paused)),
            ("running", None),
            ("suspended", None),
        ] {
            let served = served(&row(status));
            assert_eq!(served.obstacle.map(|obstacle| obstacle.cause), cause, "{status}");
            assert!(
                served.says[0].contains("tried 4 times") && served.says[0].contains("connection refused")
            );
        }
    }
}
