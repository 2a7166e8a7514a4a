//! `midwatch mcp`.

use clap::Args;
use midwatch_mcp::{Actions, Error, Server};

use crate::config::Global;
use crate::error::Exit;

/// Let an agent watch runs, over the Model Context Protocol on stdin and stdout
#[derive(Args)]
#[command(after_help = "\
Examples:
  midwatch mcp --db /var/lib/agents/midwatch.db
  midwatch mcp --allow-actions --by support-agent

It is started by the agent's host, which is told in its settings:
  {\"mcpServers\": {\"midwatch\": {\"command\": \"midwatch\", \"args\": [\"mcp\", \"--db\", \"/var/lib/agents/midwatch.db\"]}}}

Tools that look: list_runs, needs_attention, why, show_run, cost, stalls. Tools that act (retry_run, cancel_run, pause_run, \
resume_run, signal_run) are there only with --allow-actions; what they do is in the journal under the name of --by. \
Inputs and outputs of steps are never shown. docs/mcp.md has more.
Exit codes: 0 the client is gone · 1 it did not speak the protocol · 4 the journal is unavailable")]
pub(crate) struct Mcp {
    /// Lists the tools that change runs, too
    #[arg(long)]
    allow_actions: bool,
    /// Who is named in the journal for what the agent does
    #[arg(long, value_name = "NAME", default_value = "agent")]
    by: String,
}

impl Mcp {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let actions = if self.allow_actions { Actions::Allowed } else { Actions::Forbidden };
        let server = Server::open(&global.db, actions, self.by).map_err(|error| match error {
            Error::Journal(error) => anyhow::Error::from(error),
            other => other.into(),
        })?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let served = runtime.block_on(server.serve());
        // A read of stdin that nobody answers must not keep the process.
        runtime.shutdown_background();
        served?;
        Ok(Exit::Done)
    }
}
