//! `midwatch resolve`.

use clap::Args;
use midwatch_journal::{Journal, Open, RunSummary};
use midwatch_workflow::{Event, EventKind, Message, Payload, Resolution};

use super::payload;
use crate::config::Global;
use crate::control::{Judgement, Order, Sending, Sent, deliver, ended, state};
use crate::error::Exit;
use crate::find::find;
use crate::output::{Out, event};

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
        let run = find(&global.journal()?, &self.run, &global.db.display().to_string())?;
        deliver(&self, &[run], &self.sending, global, out)
    }

    fn resolution(&self) -> Resolution {
        match &self.answer.done {
            Some(output) => Resolution::Done(output.clone()),
            None if self.answer.retry => Resolution::Retry,
            None => Resolution::Fail,
        }
    }
}

impl Order for Resolve {
    fn done(&self) -> String {
        format!("answered, {}", event::resolved(&self.resolution()))
    }

    fn judge(&self, run: &RunSummary, journal: &dyn Journal) -> anyhow::Result<Judgement> {
        if run.status.is_ended() {
            return Ok(ended(run));
        }
        let (_, fold) = state(run, journal)?;
        let mut parked = fold.open.values().filter_map(|open| match open {
            Open::Person { step, .. } => Some(step.as_deref()),
            _ => None,
        });
        let show = Some(format!("see where it stands: midwatch show {}", run.run.short()));
        if parked.any(|step| self.step.is_none() || step == self.step.as_deref()) {
            let (step, resolution, by) = (self.step.clone(), self.resolution(), self.sending.by());
            return Ok(Judgement::Send(Message::Resolve { step, resolution, by }));
        }
        Ok(match (fold.halted, &self.step) {
            (Some(reason), _) => Judgement::Refused {
                why: format!("is parked by the engine: {}", event::parked(reason)),
                instead: Some(format!("once mended code runs: midwatch retry {}", run.run.short())),
            },
            (None, Some(step)) => {
                Judgement::Refused { why: format!("is not parked for step {step}"), instead: show }
            }
            (None, None) => Judgement::Refused {
                why: format!("is not parked: it is {}", fold.summary.status),
                instead: show,
            },
        })
    }

    fn shows(&self, event: &Event, _: &Sent) -> bool {
        matches!(event.kind, EventKind::Resolved { .. })
    }
}
