//! Let a paused run go on.

use midwatch_journal::{Error, Journal, RunSummary, Status};
use midwatch_workflow::{Event, EventKind, Message};

use crate::{Judgement, Order, Request, Sent, state};

/// A paused run goes on.
#[derive(Clone, Debug)]
pub struct Resume {
    /// Who.
    pub by: String,
}

impl Order for Resume {
    fn done(&self) -> String {
        "resumed".to_owned()
    }

    fn request(&self) -> Request<'_> {
        Request::new("resume")
    }

    fn is_for_calls(&self) -> bool {
        true
    }

    fn judge(&self, run: &RunSummary, journal: &dyn Journal) -> Result<Judgement, Error> {
        if run.status.is_ended() {
            return Ok(Judgement::ended(run));
        }
        let (_, fold) = state(run, journal)?;
        Ok(match fold.summary.status {
            _ if fold.is_paused => Judgement::Send(Message::Resume { by: self.by.clone() }),
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
