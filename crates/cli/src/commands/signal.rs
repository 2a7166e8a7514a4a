//! `midwatch signal`.

use clap::Args;
use midwatch_journal::{Journal, RunSummary};
use midwatch_workflow::{Event, EventKind, Message, Payload};

use super::payload;
use crate::config::Global;
use crate::control::{Judgement, Order, Sending, Sent, deliver, ended, state};
use crate::error::Exit;
use crate::find::find;
use crate::output::Out;

/// Send a signal to a run
#[derive(Args)]
#[command(after_help = concat!("\
A signal that nothing waits for yet is kept until something does.

Examples:
  midwatch signal claim-5 approve
  midwatch signal claim-5 approve '{\"by\":\"ann\",\"limit\":500}'
  midwatch signal claim-5 paid '\"ch_1\"' --id webhook-1207      the same id again changes nothing

", super::outcome_help!()))]
pub(crate) struct Signal {
    /// The run
    #[arg(value_name = "RUN")]
    run: String,
    /// The signal's name
    #[arg(value_name = "NAME")]
    name: String,
    /// What it brings, as JSON
    #[arg(value_name = "JSON", default_value = "null", value_parser = payload)]
    payload: Payload,
    /// Your own id for it: a repeat of the same id is ignored
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    sending: Sending,
}

impl Signal {
    pub(crate) fn run(self, global: &Global, out: &mut Out) -> anyhow::Result<Exit> {
        let run = find(&global.journal()?, &self.run, &global.db.display().to_string())?;
        deliver(&self, &[run], &self.sending, global, out)
    }
}

impl Order for Signal {
    fn done(&self) -> String {
        format!("signal {} received", self.name)
    }

    fn judge(&self, run: &RunSummary, journal: &dyn Journal) -> anyhow::Result<Judgement> {
        if run.status.is_ended() {
            return Ok(ended(run));
        }
        if let Some(id) = &self.id
            && state(run, journal)?.1.signal_ids.contains(id)
        {
            return Ok(Judgement::Already(format!("has received signal id {id} already")));
        }
        let (name, payload, id) = (self.name.clone(), self.payload.clone(), self.id.clone());
        Ok(Judgement::Send(Message::Signal { name, payload, id }))
    }

    fn shows(&self, event: &Event, sent: &Sent) -> bool {
        match &event.kind {
            // A signal without an id is recorded under its letter's number.
            EventKind::SignalReceived { name, id, .. } => {
                let own = self.id.clone().unwrap_or_else(|| format!("letter:{}", sent.letter));
                *name == self.name && id.as_ref() == Some(&own)
            }
            _ => false,
        }
    }
}
