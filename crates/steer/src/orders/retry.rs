//! Try again.

use midwatch_journal::{Error, Fold, Journal, Open, RunSummary, Status};
use midwatch_observe::tell::time;
use midwatch_workflow::event::{Note, TimerPurpose};
use midwatch_workflow::{Event, EventKind, Message, Timestamp, effective};

use crate::{Judgement, Order, Request, Sent, state};

/// Failed runs go on from the step that failed, parked ones from where they stand.
#[derive(Clone, Debug)]
pub struct Retry {
    /// Whether a step that would be tried later is tried now.
    pub waits: Waits,
    /// The time that ages are counted to.
    pub now: Timestamp,
    /// Who.
    pub by: String,
}

/// What becomes of a wait between two attempts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Waits {
    /// It stays.
    #[default]
    Keep,
    /// It ends now.
    End,
}

impl Order for Retry {
    fn done(&self) -> String {
        "is tried again".to_owned()
    }

    fn request(&self) -> Request<'_> {
        Request { now: Some(self.waits == Waits::End), ..Request::new("retry") }
    }

    fn judge(&self, run: &RunSummary, journal: &dyn Journal) -> Result<Judgement, Error> {
        let short = run.run.short();
        let (events, fold) = state(run, journal)?;
        let status = fold.summary.status;
        let refused = |why: String, instead: String| Ok(Judgement::Refused { why, instead: Some(instead) });
        let go = Judgement::Send(Message::Retry { by: self.by.clone() });
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
            Some(_) if self.waits == Waits::End => Ok(go),
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
