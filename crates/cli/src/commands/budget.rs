//! `midwatch budget`.

use clap::Args;
use midwatch_journal::Status;
use midwatch_steer::RaiseBudget;
use midwatch_workflow::Money;

use crate::config::Global;
use crate::control::{Sending, Targets, deliver};
use crate::error::Exit;
use crate::output::Out;
use crate::source::Source;

/// Raise the budget of runs; those that are parked for it go on
#[derive(Args)]
#[command(after_help = concat!("\
Examples:
  midwatch budget paper-9 --add 2.50
  midwatch budget paper-9 --tokens 100000
  midwatch budget --workflow research --add 1 --yes        all that are parked

", super::outcome_help!()))]
pub(crate) struct Budget {
    #[command(flatten)]
    targets: Targets,
    #[command(flatten)]
    more: More,
    #[command(flatten)]
    sending: Sending,
}

/// By how much.
#[derive(Args)]
#[group(required = true, multiple = true)]
struct More {
    /// By how many dollars
    #[arg(long, value_name = "USD")]
    add: Option<Money>,
    /// By how many tokens
    #[arg(long, value_name = "N")]
    tokens: Option<u64>,
}

impl Budget {
    pub(crate) fn run(self, global: &Global, out: &mut Out) -> anyhow::Result<Exit> {
        let source = Source::open(global)?;
        let runs = self.targets.find(&source, "budget", &[Status::Parked])?;
        let order = RaiseBudget { usd: self.more.add, tokens: self.more.tokens, by: self.sending.by() };
        deliver(&order, &runs, &self.sending, &source, global, out)
    }
}
