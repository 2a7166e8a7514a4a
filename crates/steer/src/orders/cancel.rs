//! Stop a run, and undo what it did.

use midwatch_journal::{Error, Journal, RunSummary};
use midwatch_workflow::{Event, EventKind, Message};

use crate::{Judgement, Order, Request, Sent, state};

/// Steps under way stop, and what was done is undone.
#[derive(Clone, Debug)]
pub struct Cancel {
    /// Why; it stands in the journal.
    pub reason: String,
    /// Who.
    pub by: String,
}

impl Order for Cancel {
    fn done(&self) -> String {
        "cancelled".to_owned()
    }

    fn request(&self) -> Request<'_> {
        Request { reason: Some(&self.reason), ..Request::new("cancel") }
    }

    fn is_for_calls(&self) -> bool {
        true
    }

    fn judge(&self, run: &RunSummary, journal: &dyn Journal) -> Result<Judgement, Error> {
        if run.status.is_ended() {
            return Ok(Judgement::ended(run));
        }
        if state(run, journal)?.1.is_cancelled {
            return Ok(Judgement::Already("is being cancelled already".to_owned()));
        }
        Ok(Judgement::Send(Message::Cancel { reason: self.reason.clone(), by: self.by.clone() }))
    }

    fn shows(&self, event: &Event, _: &Sent) -> bool {
        matches!(event.kind, EventKind::CancelRequested { .. })
    }
}
