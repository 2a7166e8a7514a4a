//! What messages do to a run. The answers depend on the history alone, so a replay gives the same.

use midwatch_workflow::{EventKind, Message, Timestamp};

use crate::host::Answer;
use crate::run::{Driver, Stop};

impl Driver {
    /// Applies a message, or says why not.
    pub(crate) fn take_message(&mut self, message: Message, at: Timestamp) -> Result<Answer, Stop> {
        let events = match self.mirror.fold.respond(message) {
            Ok(events) => events,
            Err(why) => return Ok(Err(why)),
        };
        for event in events {
            match event {
                EventKind::TimerFired { op } => self.fire_now(op, at)?,
                EventKind::Resumed { .. } => {
                    self.record(event, at)?;
                    self.release_held();
                }
                EventKind::BudgetRaised { usd, tokens, .. } => {
                    self.record(event, at)?;
                    if let Some(account) = &self.account {
                        account.raise(usd, tokens);
                    }
                }
                event => self.record(event, at)?,
            }
        }
        Ok(Ok(()))
    }
}
