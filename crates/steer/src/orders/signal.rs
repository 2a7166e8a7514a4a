//! Send a signal to a run.

use midwatch_journal::{Error, Journal, RunSummary};
use midwatch_workflow::{Event, EventKind, Message, Payload};

use crate::{Judgement, Order, Request, Sent, state};

/// A signal that nothing waits for yet is kept until something does.
#[derive(Clone, Debug)]
pub struct Signal {
    /// Its name.
    pub name: String,
    /// What it brings.
    pub payload: Payload,
    /// The sender's id for it: a repeat of the same id is ignored.
    pub id: Option<String>,
}

impl Order for Signal {
    fn done(&self) -> String {
        format!("signal {} received", self.name)
    }

    fn request(&self) -> Request<'_> {
        let (name, payload, id) = (Some(self.name.as_str()), Some(&self.payload), self.id.as_deref());
        Request { name, payload, id, ..Request::new("signal") }
    }

    fn judge(&self, run: &RunSummary, journal: &dyn Journal) -> Result<Judgement, Error> {
        if run.status.is_ended() {
            return Ok(Judgement::ended(run));
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
