//! What happens to a run: inputs become events, and feed its execution.

use midwatch_journal::Open;
use midwatch_workflow::{Class, EventKind, OpId};

use super::{Command, Input, Translation};
use crate::wire::Report;

impl Translation {
    /// Records one input, and what follows from it.
    pub(super) fn apply(&mut self, input: Input) {
        match input {
            Input::Ended(op, report) => self.end_attempt(op, report),
            Input::Fired(op) => {
                if let Some(Open::Timer { .. }) = self.fold.open.get(&op) {
                    self.record(EventKind::TimerFired { op }, self.now);
                }
            }
            Input::ChildEnded(op, result) => {
                if let Some(Open::Child { .. }) = self.fold.open.get(&op) {
                    self.record(EventKind::ChildEnded { op, result: result.into() }, self.now);
                }
            }
            Input::Deadline if self.fold.is_cancelled => {}
            Input::Deadline => {
                let timeout = self.start.timeout.unwrap_or_default();
                let reason = format!("the run took longer than {timeout:?}");
                let by = "deadline".to_owned();
                self.record(EventKind::CancelRequested { class: Class::Timeout, reason, by }, self.now);
            }
            Input::Message(message, reply) => {
                let answer = self.control(message);
                self.answers.extend(reply.map(|reply| (reply, answer)));
            }
        }
    }

    fn end_attempt(&mut self, op: OpId, report: Report) {
        self.running.remove(&op);
        if !matches!(self.fold.open.get(&op), Some(Open::Attempt { .. })) {
            return;
        }
        for beat in report.beats {
            let at = self.fold.summary.updated_at.max(beat.at.min(self.now));
            self.write(EventKind::Heartbeat { op, progress: beat.progress, charges: beat.charges }, at);
        }
        self.record(EventKind::AttemptEnded { op, result: report.ended, charges: report.charges }, self.now);
    }

    /// Lets attempts go that a pause held back.
    pub(crate) fn release_held(&mut self) {
        for (op, attempt) in std::mem::take(&mut self.held) {
            self.write(EventKind::AttemptStarted { op }, self.now);
            self.start(op, Box::new(attempt));
        }
    }

    /// Fires a timer before it is due.
    pub(crate) fn fire_now(&mut self, op: OpId) {
        self.commands.push(Command::Stop(op));
        self.record_now(EventKind::TimerFired { op });
    }
}
