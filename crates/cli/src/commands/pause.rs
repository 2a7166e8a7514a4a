//! `midwatch pause`.

use clap::Args;
use midwatch_steer::OPEN;

use crate::config::Global;
use crate::control::{Sending, Targets, deliver};
use crate::error::Exit;
use crate::output::Out;
use crate::source::Source;

/// Pause runs: attempts under way end, no further one starts
#[derive(Args)]
#[command(after_help = concat!("\
Examples:
  midwatch pause order-42 --reason 'the bank is down'
  midwatch pause --workflow checkout --yes

", super::outcome_help!()))]
pub(crate) struct Pause {
    #[command(flatten)]
    targets: Targets,
    /// Why; it stands in the journal
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    #[command(flatten)]
    sending: Sending,
}

impl Pause {
    pub(crate) fn run(self, global: &Global, out: &mut Out) -> anyhow::Result<Exit> {
        let source = Source::open(global)?;
        let runs = self.targets.find(&source, "pause", &OPEN)?;
        let order = midwatch_steer::Pause { reason: self.reason, by: self.sending.by() };
        deliver(&order, &runs, &self.sending, &source, global, out)
    }
}
