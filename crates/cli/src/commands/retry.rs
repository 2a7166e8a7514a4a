//! `midwatch retry`.

use clap::Args;
use midwatch_journal::Status;
use midwatch_steer::Waits;

use crate::config::Global;
use crate::control::{Sending, Targets, deliver};
use crate::error::Exit;
use crate::output::Out;
use crate::source::Source;

/// Try again: failed runs from the step that failed, parked ones from where they stand
#[derive(Args)]
#[command(after_help = concat!("\
A failed run goes on from before its failed step, with the same idempotency keys. What it had spent stays spent.
A run that undid its steps cannot go on: fork it.

Examples:
  midwatch retry order-42
  midwatch retry order-42 --now                 end a long wait between two attempts
  midwatch retry --workflow checkout --status failed --yes

", super::outcome_help!()))]
pub(crate) struct Retry {
    #[command(flatten)]
    targets: Targets,
    /// Ends waits between attempts too: a step that would be tried later is tried now
    #[arg(long)]
    now: bool,
    #[command(flatten)]
    sending: Sending,
}

impl Retry {
    pub(crate) fn run(self, global: &Global, out: &mut Out) -> anyhow::Result<Exit> {
        let source = Source::open(global)?;
        let statuses = [Status::Failed, Status::Parked];
        let runs = self.targets.find(&source, "retry", &statuses)?;
        let waits = if self.now { Waits::End } else { Waits::Keep };
        let order = midwatch_steer::Retry { waits, now: source.now(), by: self.sending.by() };
        deliver(&order, &runs, &self.sending, &source, global, out)
    }
}
