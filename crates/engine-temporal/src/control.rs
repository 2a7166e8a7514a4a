//! What messages do to a run.

use midwatch_workflow::{EventKind, Message};

use crate::translate::Translation;

impl Translation {
    /// Applies a message, or says why the run cannot take it.
    pub(crate) fn control(&mut self, message: Message) -> Result<(), String> {
        for event in self.fold.respond(message)? {
            match event {
                EventKind::TimerFired { op } => self.fire_now(op),
                EventKind::Resumed { .. } => {
                    self.record_now(event);
                    self.release_held();
                }
                event => self.record_now(event),
            }
        }
        Ok(())
    }
}
