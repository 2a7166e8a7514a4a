//! `midwatch resolve`.

use clap::Args;
use midwatch_workflow::{Payload, Resolution};

use super::payload;
use crate::config::Global;
use crate::control::{Sending, deliver};
use crate::error::Exit;
use crate::find::find;
use crate::output::Out;
use crate::source::Source;

/// Answer a parked run: try the step again, say that it is done, or go on as failed
#[derive(Args)]
#[command(after_help = concat!("\
Examples:
  midwatch resolve trip-7 --retry
  midwatch resolve trip-7 refund --done              it was refunded by hand
  midwatch resolve order-42 charge_card --done='{\"id\":\"ch_1\"}'
  midwatch resolve order-42 --fail                   go on as failed, and compensate

", super::outcome_help!()))]
pub(crate) struct Resolve {
    /// The run
    #[arg(value_name = "RUN")]
    run: String,
    /// The step that waits for the answer; the one that has waited longest if none is named
    #[arg(value_name = "STEP")]
    step: Option<String>,
    #[command(flatten)]
    answer: Given,
    #[command(flatten)]
    sending: Sending,
}

/// The answer.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct Given {
    /// Tries it again
    #[arg(long)]
    retry: bool,
    /// It was done by hand; JSON is what the step would have given, null if nothing is said
    #[arg(
        long,
        value_name = "JSON",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "null",
        value_parser = payload
    )]
    done: Option<Payload>,
    /// Goes on as failed
    #[arg(long)]
    fail: bool,
}

impl Resolve {
    pub(crate) fn run(self, global: &Global, out: &mut Out) -> anyhow::Result<Exit> {
        let source = Source::open(global)?;
        let run = find(&source, &self.run)?;
        let (step, resolution, by) = (self.step.clone(), self.resolution(), self.sending.by());
        let order = midwatch_steer::Resolve { step, resolution, by };
        deliver(&order, &[run], &self.sending, &source, global, out)
    }

    fn resolution(&self) -> Resolution {
        match &self.answer.done {
            Some(output) => Resolution::Done(output.clone()),
            None if self.answer.retry => Resolution::Retry,
            None => Resolution::Fail,
        }
    }
}
