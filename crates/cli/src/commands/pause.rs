//! `midwatch pause`.

use clap::Args;
use midwatch_journal::{Journal, RunSummary, Status};
use midwatch_workflow::{Event, EventKind, Message};

use super::OPEN;
use crate::config::Global;
use crate::control::{Judgement, Order, Sending, Sent, Targets, deliver, ended};
use crate::error::Exit;
use crate::output::Out;

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
        let runs = self.targets.find(&global.journal()?, global, "pause", &OPEN)?;
        deliver(&self, &runs, &self.sending, global, out)
    }
}

impl Order for Pause {
    fn done(&self) -> String {
        "paused".to_owned()
    }

    fn judge(&self, run: &RunSummary, _: &dyn Journal) -> anyhow::Result<Judgement> {
        Ok(match run.status {
            status if status.is_ended() => ended(run),
            Status::Paused => Judgement::Already("is paused already".to_owned()),
            _ => Judgement::Send(Message::Pause { reason: self.reason.clone(), by: self.sending.by() }),
        })
    }

    fn shows(&self, event: &Event, _: &Sent) -> bool {
        matches!(event.kind, EventKind::Paused { .. })
    }
}
