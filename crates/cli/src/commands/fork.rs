//! `midwatch fork`.

use clap::Args;
use midwatch_steer::ForkAt;
use midwatch_workflow::{ForkKeys, RunId};

use crate::config::{Global, clock};
use crate::control::{Sending, deliver};
use crate::error::Exit;
use crate::find::find;
use crate::output::Out;
use crate::source::Source;

/// Start a new run that shares a run's past up to a point, and goes on from there
#[derive(Args)]
#[command(after_help = concat!("\
The new run repeats the rest with the old run's idempotency keys: a receiver that honours them does nothing twice. With \
--new-keys it does everything anew, charges included.

Examples:
  midwatch fork order-42 --step print_label
  midwatch fork paper-9 --step 'call_llm#3' --new-keys       from the third use of that step
  midwatch fork order-42 --event 12

", super::outcome_help!()))]
pub(crate) struct Fork {
    /// The run
    #[arg(value_name = "RUN")]
    run: String,
    #[command(flatten)]
    at: At,
    /// Gives the new run idempotency keys of its own
    #[arg(long)]
    new_keys: bool,
    #[command(flatten)]
    sending: Sending,
}

/// Where.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct At {
    /// Before the first attempt at this step; NAME#2 for its second use
    #[arg(long, value_name = "NAME")]
    step: Option<String>,
    /// After this event
    #[arg(long, value_name = "N")]
    event: Option<u64>,
}

impl Fork {
    pub(crate) fn run(self, global: &Global, out: &mut Out) -> anyhow::Result<Exit> {
        let source = Source::open(global)?;
        let run = find(&source, &self.run)?;
        let new = RunId::new(clock(), std::array::from_fn(|_| fastrand::u8(..)));
        let at = match (self.at.event, self.at.step) {
            (Some(event), _) => ForkAt::Event(event),
            (None, step) => ForkAt::Step(step.unwrap_or_default()),
        };
        let keys = if self.new_keys { ForkKeys::Own } else { ForkKeys::Parent };
        let order = midwatch_steer::Fork { at, keys, new, by: self.sending.by() };
        deliver(&order, &[run], &self.sending, &source, global, out)
    }
}
