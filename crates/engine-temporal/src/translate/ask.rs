//! What the workflow asks for: recorded in its order, and asked of the server.

use midwatch_engine_attempt::OwnBudget;
use midwatch_workflow::event::WaitReason;
use midwatch_workflow::{
    Advanced, Amount, Attempt, EventKind, Execution, Op, OpId, OpKind, ParkReason, Progress,
};

use super::{Command, Standing, Translation};
use crate::wire::Before;

impl Translation {
    /// Takes in what the workflow asks for, and how far it came.
    pub(crate) fn ask(&mut self, advanced: Advanced) {
        if let Some((reason, message)) = advanced.progress.obstacle() {
            return self.halt(reason, message);
        }
        if let Progress::Done(result) = advanced.progress {
            self.done = Some(result);
        }
        self.asked.extend(advanced.ops);
    }

    fn halt(&mut self, reason: ParkReason, message: String) {
        self.standing = Standing::Halted(reason, message);
    }

    /// Records what was asked for; says whether all of it is.
    pub(super) fn record_asked(&mut self) -> bool {
        while let Some(op) = self.asked.front() {
            if op.kind == OpKind::Abandon {
                if !self.abandon(op.id) {
                    return false;
                }
                self.asked.pop_front();
                continue;
            }
            if self.is_for_next(op) {
                self.stop_all_abandoned();
                return false;
            }
            let Some(op) = self.asked.pop_front() else { break };
            let waits = match &op.kind {
                OpKind::Attempt(_) if self.fold.is_paused => Some(WaitReason::Paused),
                OpKind::Attempt(attempt) if self.registry.step(&attempt.step).is_none() => {
                    let message =
                        format!("no step `{}` is registered: start a process that has it", attempt.step);
                    self.halt(ParkReason::NoCode, message);
                    return true;
                }
                _ => None,
            };
            if let Some(kind) = op.to_event(waits) {
                self.write(kind, self.now);
            }
            self.perform(op, waits);
        }
        if let Some(result) = self.done.take() {
            self.execution = None;
            self.write(EventKind::RunEnded { result: result.clone() }, self.now);
            self.standing = Standing::Ended(result);
        }
        true
    }

    fn perform(&mut self, op: Op, waits: Option<WaitReason>) {
        match op.kind {
            OpKind::Attempt(attempt) if waits.is_some() => drop(self.held.insert(op.id, *attempt)),
            OpKind::Attempt(attempt) => self.start(op.id, attempt),
            OpKind::Timer { until, .. } => self.commands.push(Command::Timer(op.id, until)),
            OpKind::Child(child) => self.commands.push(Command::Child(op.id, child)),
            OpKind::CancelChild => self.commands.push(Command::CancelChild(op.id)),
            OpKind::Abandon | OpKind::Signal { .. } | OpKind::Park { .. } | OpKind::Note(_) => {}
        }
    }

    pub(super) fn start(&mut self, op: OpId, attempt: Box<Attempt>) {
        let key = (attempt.step.to_string(), attempt.nth);
        let progress = self.fold.progress.get(&key).cloned();
        self.running.insert(op);
        let execution = self.execution.as_ref();
        let own = OwnBudget {
            budget: execution.and_then(Execution::budget),
            cleared: execution.and_then(Execution::cleared),
            spent: Amount::from(&self.fold.summary.spent),
        };
        // Without a limit it makes no difference what was spent.
        let own = if own.budget.is_none() && own.cleared.is_none() { OwnBudget::default() } else { own };
        self.commands.push(Command::Attempt(op, attempt, Before { progress, own }));
    }
}
