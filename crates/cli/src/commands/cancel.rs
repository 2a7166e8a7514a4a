//! `midwatch cancel`.

use clap::Args;
use midwatch_steer::OPEN;

use crate::config::Global;
use crate::control::{Sending, Targets, deliver};
use crate::error::Exit;
use crate::output::Out;
use crate::source::Source;

/// Cancel runs: steps under way stop, and what was done is undone
#[derive(Args)]
#[command(after_help = concat!("\
Examples:
  midwatch cancel order-42 --reason 'ordered twice'
  midwatch cancel --workflow research --status running --yes

A run of the gateway takes no further call, and its calls under way are cut.

", super::outcome_help!()))]
pub(crate) struct Cancel {
    #[command(flatten)]
    targets: Targets,
    /// Why; it stands in the journal
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    #[command(flatten)]
    sending: Sending,
}

impl Cancel {
    pub(crate) fn run(self, global: &Global, out: &mut Out) -> anyhow::Result<Exit> {
        let source = Source::open(global)?;
        let runs = self.targets.find(&source, "cancel", &OPEN)?;
        let order = midwatch_steer::Cancel { reason: self.reason, by: self.sending.by() };
        deliver(&order, &runs, &self.sending, &source, global, out)
    }
}
