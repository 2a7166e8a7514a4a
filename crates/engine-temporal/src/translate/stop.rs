//! What the workflow no longer wants: an attempt under way is stopped before anything follows.

use midwatch_journal::Open;
use midwatch_workflow::{Class, Ended, EventKind, Failure, OpId, OpKind};

use super::{Command, Input, Translation};

impl Translation {
    /// Drops what is no longer wanted; says whether that is done. An attempt under way is stopped first, and what it
    /// spent is booked: so nothing that follows, its compensation least of all, runs beside it.
    pub(super) fn abandon(&mut self, op: OpId) -> bool {
        if self.abandoned != Some(op) {
            self.abandoned = Some(op);
            let is_timer = matches!(self.fold.open.get(&op), Some(Open::Timer { .. }));
            self.write(EventKind::Abandoned { op }, self.now);
            self.held.remove(&op);
            if self.forget_command(op) {
                return true;
            }
            if is_timer {
                self.commands.push(Command::Stop(op));
            }
            if !self.running.contains(&op) {
                return true;
            }
            self.stop_all_abandoned();
        }
        let Some(report) = self.stopping.get_mut(&op).and_then(Option::take) else { return false };
        self.stopping.remove(&op);
        self.running.remove(&op);
        let failure = Failure::new(Class::Cancelled, "no longer wanted").ambiguous();
        let (result, charges) = (Ended::Failed(failure), report.charges);
        self.record(EventKind::AttemptEnded { op, result, charges }, self.now);
        true
    }

    /// What was asked for and dropped before the server was told is never begun.
    fn forget_command(&mut self, op: OpId) -> bool {
        let before = self.commands.len();
        self.commands.retain(|command| match command {
            Command::Attempt(id, ..) | Command::Timer(id, _) | Command::Child(id, _) => *id != op,
            Command::CancelChild(_) | Command::Stop(_) => true,
        });
        let is_forgotten = self.commands.len() < before;
        if is_forgotten {
            self.running.remove(&op);
        }
        is_forgotten
    }

    /// Tells all attempts that are no longer wanted to stop at once, not one after the other.
    pub(super) fn stop_all_abandoned(&mut self) {
        let abandoned = self.asked.iter().filter(|op| op.kind == OpKind::Abandon).map(|op| op.id);
        let running: Vec<OpId> = abandoned.filter(|op| self.running.contains(op)).collect();
        for op in running {
            let ended =
                self.backlog.iter().position(|input| matches!(input, Input::Ended(id, _) if *id == op));
            let report = ended.and_then(|at| match self.backlog.remove(at) {
                Some(Input::Ended(_, report)) => Some(report),
                _ => None,
            });
            if self.stopping.contains_key(&op) {
                continue;
            }
            if report.is_none() {
                self.commands.push(Command::Stop(op));
            }
            self.stopping.insert(op, report);
        }
    }
}
