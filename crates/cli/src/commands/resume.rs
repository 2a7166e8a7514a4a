//! `midwatch resume`.

use clap::Args;
use midwatch_journal::Status;

use crate::config::Global;
use crate::control::{Sending, Targets, deliver};
use crate::error::Exit;
use crate::output::Out;
use crate::source::Source;

/// Let paused runs go on
#[derive(Args)]
#[command(after_help = concat!("\
Examples:
  midwatch resume order-42
  midwatch resume --workflow checkout --yes

", super::outcome_help!()))]
pub(crate) struct Resume {
    #[command(flatten)]
    targets: Targets,
    #[command(flatten)]
    sending: Sending,
}

impl Resume {
    pub(crate) fn run(self, global: &Global, out: &mut Out) -> anyhow::Result<Exit> {
        let source = Source::open(global)?;
        let runs = self.targets.find(&source, "resume", &[Status::Paused])?;
        let order = midwatch_steer::Resume { by: self.sending.by() };
        deliver(&order, &runs, &self.sending, &source, global, out)
    }
}
