//! Orders to runs, through a server: it judges each, leaves the letters, and watches for their effect.

use std::collections::HashMap;
use std::time::Duration;

use midwatch_journal::RunSummary;
use midwatch_steer::{Order, Outcome, Request, reported};
use midwatch_workflow::RunId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Server, ServerError};

/// The most runs of one request.
const RUNS_MAX: usize = 1_000;
/// The longest that a server waits for an effect.
pub(crate) const PATIENCE_MAX: Duration = Duration::from_secs(10);

#[derive(Serialize)]
struct Ordered<'o> {
    runs: Vec<RunId>,
    order: Request<'o>,
}

#[derive(Deserialize)]
struct Outcomes {
    outcomes: Vec<Value>,
}

impl Server {
    /// Sends an order to runs in somebody's name and tells what came of it, each run once.
    pub(crate) fn deliver<E: From<ServerError>>(
        &self,
        order: &dyn Order,
        runs: &[RunSummary],
        by: &str,
        patience: Duration,
        mut tell: impl FnMut(&RunSummary, &Outcome) -> Result<(), E>,
    ) -> Result<(), E> {
        let wait_ms = u64::try_from(patience.min(PATIENCE_MAX).as_millis()).ok();
        for some in runs.chunks(RUNS_MAX) {
            let request = Request { wait_ms, ..order.request() };
            let path = ["orders", request.action];
            let body = Ordered { runs: some.iter().map(|run| run.run).collect(), order: request };
            let answer: Outcomes = self.client.post(&path, by, &body)?;
            let known: HashMap<String, &RunSummary> =
                some.iter().map(|run| (run.run.to_string(), run)).collect();
            for report in &answer.outcomes {
                let run = report["run"].as_str().and_then(|run| known.get(run));
                match (run, reported(report)) {
                    (Some(run), Some(outcome)) => tell(run, &outcome)?,
                    _ => return Err(self.strange().into()),
                }
            }
        }
        Ok(())
    }

    fn strange(&self) -> ServerError {
        ServerError::Version {
            server: self.client.name(),
            theirs: format!("midwatch {}", self.about.midwatch),
            why: "an outcome that is none".to_owned(),
        }
    }
}
