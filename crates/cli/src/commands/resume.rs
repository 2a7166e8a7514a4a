//! `midwatch resume`.

use clap::Args;
use midwatch_journal::{Journal, RunSummary, Status};
use midwatch_workflow::{Event, EventKind, Message};

use crate::config::Global;
use crate::control::{Judgement, Order, Sending, Sent, Targets, deliver, ended, state};
use crate::error::Exit;
use crate::output::Out;

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
        let runs = self.targets.find(&global.journal()?, global, "resume", &[Status::Paused])?;
        deliver(&self, &runs, &self.sending, global, out)
    }
}

impl Order for Resume {
    fn done(&self) -> String {
        "resumed".to_owned()
    }

    fn judge(&self, run: &RunSummary, journal: &dyn Journal) -> anyhow::Result<Judgement> {
        if run.status.is_ended() {
            return Ok(ended(run));
        }
        let (_, fold) = state(run, journal)?;
        Ok(match fold.summary.status {
            _ if fold.is_paused => Judgement::Send(Message::Resume { by: self.sending.by() }),
            Status::Parked => Judgement::Refused {
                why: "is parked, not paused: it waits for an answer".to_owned(),
                instead: Some(format!("see which: midwatch show {}", run.run.short())),
            },
            status => Judgement::Already(format!("is not paused, it is {status}")),
        })
    }

    fn shows(&self, event: &Event, _: &Sent) -> bool {
        matches!(event.kind, EventKind::Resumed { .. })
    }
}
