//! Which runs a command is about: named one by one, or all that fit a filter, once a person has agreed to their number.

use clap::Args;
use midwatch_journal::{Order, RunQuery, RunSummary, Status};

use crate::error::Error;
use crate::find::find;
use crate::output::{amount, confirm};
use crate::source::Source;

/// The most runs that one command steers.
const RUNS_MAX: usize = 10_000;

/// Which runs.
#[derive(Args)]
pub(crate) struct Targets {
    /// The runs
    #[arg(value_name = "RUN", conflicts_with_all = ["workflow", "status", "tenant", "text"])]
    runs: Vec<String>,
    /// Instead of RUN: all runs of this workflow that can take it
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// Instead of RUN: all runs in these states
    #[arg(long, value_name = "STATUS", value_delimiter = ',')]
    status: Vec<Status>,
    /// Instead of RUN: all runs of this tenant that can take it
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Instead of RUN: all runs whose workflow id contains this
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// Does not ask before it steers all runs that fit
    #[arg(long)]
    yes: bool,
}

impl Targets {
    /// Finds the runs; `statuses` are those that a filter without `--status` means.
    ///
    /// # Errors
    /// As [`find`]; [`Error::Usage`] if nothing is named, too much is, or nobody agreed.
    pub(crate) fn find(
        &self,
        source: &Source,
        verb: &str,
        statuses: &[Status],
    ) -> anyhow::Result<Vec<RunSummary>> {
        if !self.runs.is_empty() {
            return self.runs.iter().map(|run| find(source, run)).collect();
        }
        if self.workflow.is_none() && self.status.is_empty() && self.tenant.is_none() && self.text.is_none() {
            let instead = Some(format!("midwatch {verb} RUN…, or midwatch {verb} --workflow NAME"));
            return Err(Error::Usage { what: "no run is named".to_owned(), instead }.into());
        }
        let statuses = if self.status.is_empty() { statuses.to_vec() } else { self.status.clone() };
        let runs = source.journal().runs(&RunQuery {
            workflow: self.workflow.clone(),
            statuses,
            tenant: self.tenant.clone(),
            text: self.text.clone(),
            order: Order::Oldest,
            limit: RUNS_MAX + 1,
            ..RunQuery::default()
        })?;
        self.agree(&runs, verb)?;
        Ok(runs)
    }

    fn agree(&self, runs: &[RunSummary], verb: &str) -> Result<(), Error> {
        if runs.len() > RUNS_MAX {
            let limit = amount::count(RUNS_MAX as u64);
            return Err(Error::usage(format!("more than {limit} runs fit: narrow the filter")));
        }
        if self.yes || runs.is_empty() {
            return Ok(());
        }
        let count = amount::counted(runs.len() as u64, "run");
        match confirm(&format!("{verb} {count}?")) {
            Some(true) => Ok(()),
            Some(false) => {
                Err(Error::usage(format!("nothing was done: {verb} of {count} was not agreed to")))
            }
            None => Err(Error::Usage {
                what: format!("{count} would be steered, and there is no terminal to ask at"),
                instead: Some("say --yes if that is meant".to_owned()),
            }),
        }
    }
}
