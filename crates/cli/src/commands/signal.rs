//! `midwatch signal`.

use clap::Args;
use midwatch_workflow::Payload;

use super::payload;
use crate::config::Global;
use crate::control::{Sending, deliver};
use crate::error::Exit;
use crate::find::find;
use crate::output::Out;
use crate::source::Source;

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
        let source = Source::open(global)?;
        let run = find(&source, &self.run)?;
        let order = midwatch_steer::Signal { name: self.name, payload: self.payload, id: self.id };
        deliver(&order, &[run], &self.sending, &source, global, out)
    }
}
