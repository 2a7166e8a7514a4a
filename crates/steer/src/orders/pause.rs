//! Hold a run.

use midwatch_journal::{Error, Journal, RunSummary, Status};
use midwatch_workflow::{Event, EventKind, Message};

use crate::{Judgement, Order, Request, Sent};

/// Attempts under way end, no further one starts.
#[derive(Clone, Debug)]
pub struct Pause {
    /// Why; it stands in the journal.
    pub reason: String,
    /// Who.
    pub by: String,
}

impl Order for Pause {
    fn done(&self) -> String {
        "paused".to_owned()
    }

    fn request(&self) -> Request<'_> {
        Request { reason: Some(&self.reason), ..Request::new("pause") }
    }

    fn is_for_calls(&self) -> bool {
        true
    }

    fn judge(&self, run: &RunSummary, _: &dyn Journal) -> Result<Judgement, Error> {
        Ok(match run.status {
            status if status.is_ended() => Judgement::ended(run),
            Status::Paused => Judgement::Already("is paused already".to_owned()),
            _ => Judgement::Send(Message::Pause { reason: self.reason.clone(), by: self.by.clone() }),
        })
    }

    fn shows(&self, event: &Event, _: &Sent) -> bool {
        matches!(event.kind, EventKind::Paused { .. })
    }
}
