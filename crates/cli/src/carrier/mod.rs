//! What the Temporal or Restate server that carries a run out knows beyond the journal, for `midwatch why`: asked once, and
//! only about a run that is open.

mod restate;
mod temporal;
mod tls;
mod wire;

use std::time::Duration;

use clap::Args;
use midwatch_journal::RunSummary;
use midwatch_observe::why::Served;
use midwatch_workflow::Timestamp;

/// How long a server may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// The Temporal or Restate server, if one is named.
#[derive(Args)]
pub(crate) struct Carrier {
    /// Ask the Temporal server as well that carries the run out, e.g. 127.0.0.1:7233 or https://…; the environment has its
    /// TEMPORAL_API_KEY and TEMPORAL_TLS_…
    #[arg(long, value_name = "ADDRESS", env = "MIDWATCH_TEMPORAL_ADDRESS", conflicts_with = "restate")]
    temporal: Option<String>,
    /// With --temporal: its namespace
    #[arg(long, value_name = "NAME", env = "TEMPORAL_NAMESPACE", default_value = "default")]
    namespace: String,
    /// Ask the Restate server as well that carries the run out, at its admin API, e.g. http://127.0.0.1:9070
    #[arg(long, value_name = "URL", env = "MIDWATCH_RESTATE_ADMIN")]
    restate: Option<String>,
}

impl Carrier {
    /// What the server says of a run; `None` if none is named, or the run has ended. One that does not answer is told of.
    pub(crate) fn says(&self, run: &RunSummary, now: Timestamp) -> anyhow::Result<Option<Served>> {
        if run.ended_at.is_some() || (self.temporal.is_none() && self.restate.is_none()) {
            return Ok(None);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let served = runtime.block_on(async {
            match (&self.temporal, &self.restate) {
                (Some(address), _) => {
                    let asked = temporal::says(address, &self.namespace, run, now);
                    told("Temporal", address, tokio::time::timeout(ANSWER, asked).await)
                }
                (None, admin) => {
                    let admin = admin.as_deref().unwrap_or_default();
                    told("Restate", admin, tokio::time::timeout(ANSWER, restate::says(admin, run)).await)
                }
            }
        });
        Ok(Some(served))
    }
}

type Asked = Result<anyhow::Result<Served>, tokio::time::error::Elapsed>;

/// An answer, or that there was none.
fn told(name: &str, address: &str, says: Asked) -> Served {
    let why = match says {
        Ok(Ok(served)) => return served,
        Ok(Err(error)) => format!("{error:#}"),
        Err(_) => format!("no answer within {} s", ANSWER.as_secs()),
    };
    Served { says: vec![format!("{name} at {address} was not asked: {why}")], obstacle: None }
}
