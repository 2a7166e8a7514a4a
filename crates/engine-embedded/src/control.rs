//! What messages do to a run.

use midwatch_journal::Status;
use midwatch_workflow::{EngineError, EventKind, Message, RunId};

use crate::run::{Driver, Reply};

impl Driver {
    /// Applies a message; whoever sent it is answered when that is durable, or at once if it is refused.
    pub(crate) fn take_message(&mut self, message: Message, reply: Reply) {
        if let Message::Fork { run, event, keys, .. } = message {
            return self.engine.fork(self.run, run, event, keys, reply);
        }
        match self.apply(message) {
            Ok(()) => self.replies.push(reply),
            Err(why) => {
                let refused = EngineError::Refused { run: self.run, why };
                let _ = reply.send(Err(refused));
            }
        }
        if !self.has_unwritten() {
            // Nothing was recorded: the answer waits for nothing.
            self.replies.drain(..).for_each(|reply| drop(reply.send(Ok(()))));
        }
    }

    fn apply(&mut self, message: Message) -> Result<(), String> {
        if self.fold.summary.ended_at.is_some() {
            return match message {
                Message::Retry { by } => self.rewind(by),
                _ => Err(format!("has ended ({}); fork it to go another way", self.fold.summary.status)),
            };
        }
        if let (Message::Retry { by }, Some(_)) = (&message, self.fold.halted) {
            // Mended code goes on from the journal.
            self.reload = true;
            self.record(EventKind::Unparked { by: by.clone() });
            return Ok(());
        }
        for event in self.fold.respond(message)? {
            match event {
                EventKind::TimerFired { op } => self.fire_now(op),
                EventKind::Resumed { .. } => {
                    self.record(event);
                    self.release_held();
                }
                EventKind::BudgetRaised { usd, tokens, .. } => {
                    self.record(event);
                    self.budget_raised(usd, tokens);
                }
                event => self.record(event),
            }
        }
        Ok(())
    }

    /// Takes a failed run back to before the step that failed.
    fn rewind(&mut self, by: String) -> Result<(), String> {
        if self.fold.summary.status != Status::Failed {
            return Err(format!(
                "is {}: only a failed run that undid nothing can be retried; fork it",
                self.fold.summary.status
            ));
        }
        let events = self.engine.journal.events(self.run, 0).map_err(|error| error.to_string())?;
        let Some(to) = crate::fork::before_last_failure(&events) else {
            return Err("failed without a failed step: fork it instead".to_owned());
        };
        self.record_rewound(events, to, by);
        Ok(())
    }
}

/// Who is named in the journal for a message that a parent sends.
pub(crate) fn by_parent(parent: RunId) -> String {
    format!("parent {parent}")
}
