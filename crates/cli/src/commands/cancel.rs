//! `midwatch cancel`.

use clap::Args;
use midwatch_journal::{Journal, RunSummary};
use midwatch_workflow::{Event, EventKind, Message};

use super::OPEN;
use crate::config::Global;
use crate::control::{Judgement, Order, Sending, Sent, Targets, deliver, ended, state};
use crate::error::Exit;
use crate::output::Out;

/// Cancel runs: steps under way stop, and what was done is undone
#[derive(Args)]
#[command(after_help = concat!("\
Examples:
  midwatch cancel order-42 --reason 'ordered twice'
  midwatch cancel --workflow research --status running --yes

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
        let runs = self.targets.find(&global.journal()?, global, "cancel", &OPEN)?;
        deliver(&self, &runs, &self.sending, global, out)
    }
}

impl Order for Cancel {
    fn done(&self) -> String {
        "cancelled".to_owned()
    }

    fn judge(&self, run: &RunSummary, journal: &dyn Journal) -> anyhow::Result<Judgement> {
        if run.status.is_ended() {
            return Ok(ended(run));
        }
        if state(run, journal)?.1.is_cancelled {
            return Ok(Judgement::Already("is being cancelled already".to_owned()));
        }
        Ok(Judgement::Send(Message::Cancel { reason: self.reason.clone(), by: self.sending.by() }))
    }

    fn shows(&self, event: &Event, _: &Sent) -> bool {
        matches!(event.kind, EventKind::CancelRequested { .. })
    }
}
