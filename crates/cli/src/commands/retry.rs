//! `midwatch retry`.

use clap::Args;
use midwatch_journal::{Fold, Journal, Open, RunSummary, Status};
use midwatch_workflow::event::{Note, TimerPurpose};
use midwatch_workflow::{Event, EventKind, Message, Timestamp, effective};

use crate::config::Global;
use crate::control::{Judgement, Order, Sending, Sent, Targets, deliver, state};
use crate::error::Exit;
use crate::output::{Out, time};

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
        let statuses = [Status::Failed, Status::Parked];
        let runs = self.targets.find(&global.journal()?, global, "retry", &statuses)?;
        let now = global.now();
        deliver(&Retrying { retry: &self, now }, &runs, &self.sending, global, out)
    }
}

struct Retrying<'r> {
    retry: &'r Retry,
    now: Timestamp,
}

impl Order for Retrying<'_> {
    fn done(&self) -> String {
        "is tried again".to_owned()
    }

    fn judge(&self, run: &RunSummary, journal: &dyn Journal) -> anyhow::Result<Judgement> {
        let short = run.run.short();
        let (events, fold) = state(run, journal)?;
        let status = fold.summary.status;
        let refused = |why: String, instead: String| Ok(Judgement::Refused { why, instead: Some(instead) });
        let go = Judgement::Send(Message::Retry { by: self.retry.sending.by() });
        if status.is_ended() {
            let fork = format!("midwatch fork {short} --step NAME");
            return match status {
                Status::Failed if gave_up(&events) => Ok(go),
                Status::Failed => refused("failed without a failed step".to_owned(), fork),
                _ => {
                    refused(format!("is {status}: only a failed run that undid nothing can be retried"), fork)
                }
            };
        }
        let is_parked =
            fold.halted.is_some() || fold.open.values().any(|open| matches!(open, Open::Person { .. }));
        match due(&fold) {
            _ if is_parked => Ok(go),
            Some(_) if self.retry.now => Ok(go),
            Some(due) => refused(
                format!("tries again by itself {}", time::relative(due, self.now)),
                format!("end the wait: midwatch retry {short} --now"),
            ),
            None => {
                refused(format!("has nothing to retry: it is {status}"), format!("midwatch show {short}"))
            }
        }
    }

    fn shows(&self, event: &Event, _: &Sent) -> bool {
        matches!(
            event.kind,
            EventKind::Rewound { .. }
                | EventKind::Unparked { .. }
                | EventKind::Resolved { .. }
                | EventKind::TimerFired { .. }
        )
    }
}

/// Whether a step was given up, so that there is one to go back to.
fn gave_up(events: &[Event]) -> bool {
    let is_it = |kind: &EventKind| matches!(kind, EventKind::Noted { note: Note::GaveUp { .. }, .. });
    effective(events).iter().any(|(_, event)| is_it(&event.kind))
}

/// When the first wait between two attempts is over.
fn due(fold: &Fold) -> Option<Timestamp> {
    let waits = fold.open.values().filter_map(|open| match open {
        Open::Timer { until, purpose: TimerPurpose::Retry { .. } } => Some(*until),
        _ => None,
    });
    waits.min()
}
