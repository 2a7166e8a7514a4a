//! Attempts that must wait: for a queue, a gate, the end of a pause, missing code, the next process.

use midwatch_engine_attempt::{Place, Places};
use midwatch_workflow::event::WaitReason;
use midwatch_workflow::{Attempt, EventKind, Op, OpId, OpKind};

use super::due::Due;
use super::{Driver, Input};

impl Driver {
    /// Whether an attempt must wait, and for what; if not, its places in queue and gate are taken.
    pub(super) fn wait_reason(&mut self, op: &Op) -> Option<WaitReason> {
        let OpKind::Attempt(attempt) = &op.kind else { return None };
        if self.is_stopping {
            return Some(WaitReason::Stopping);
        }
        if self.fold.is_paused {
            return Some(WaitReason::Paused);
        }
        if self.engine.registry.step(&attempt.step).is_none() {
            return Some(WaitReason::Code);
        }
        self.take_places(op.id, attempt)
    }

    /// Takes an attempt's places in queue and gate, as far as it needs any, and says which one it must wait for.
    pub(super) fn take_places(&mut self, op: OpId, attempt: &Attempt) -> Option<WaitReason> {
        if !Places::are_needed(&self.engine.admissions, attempt.into()) {
            return None;
        }
        self.places.entry(op).or_default().take(&self.engine.admissions, attempt.into())
    }

    pub(super) fn enqueue(&mut self, op: OpId, attempt: Attempt, waits: WaitReason) {
        // The limit is for the whole wait, in the queue and at the gate.
        if !self.dues.iter().any(|(_, due)| *due == Due::Queue(op)) {
            let until = self.engine.options.clock.now() + attempt.queue_timeout;
            self.dues.insert((until, Due::Queue(op)));
        }
        let sender = self.sender.clone();
        let admit = move |place| drop(sender.send(Input::Admitted(op, place)));
        self.places.entry(op).or_default().wait(&self.engine.admissions, (&attempt).into(), waits, admit);
        self.held.insert(op, attempt);
    }

    /// An attempt's turn has come, unless it is no longer wanted.
    pub(super) fn admit(&mut self, op: OpId, place: Place) {
        if self.is_stopping || self.fold.is_paused {
            self.places.remove(&op);
            return;
        }
        if let Some(attempt) = self.held.remove(&op) {
            self.places.entry(op).or_default().add(place);
            self.release(op, attempt);
        }
    }

    /// Lets attempts go that nothing but their queue or gate holds back any more.
    pub(crate) fn release_held(&mut self) {
        if self.is_stopping || self.fold.is_paused {
            return;
        }
        for (op, attempt) in std::mem::take(&mut self.held) {
            if self.engine.registry.step(&attempt.step).is_none() {
                self.ops
                    .push((Op { id: op, kind: OpKind::Attempt(Box::new(attempt)) }, Some(WaitReason::Code)));
                continue;
            }
            self.release(op, attempt);
        }
    }

    /// Starts an attempt that was held if it has all its places, and lets it wait for the next one if not.
    pub(super) fn release(&mut self, op: OpId, attempt: Attempt) {
        match self.take_places(op, &attempt) {
            Some(waits) => self.enqueue(op, attempt, waits),
            None => {
                self.dues.retain(|(_, due)| *due != Due::Queue(op));
                self.start_held(op, attempt);
            }
        }
    }

    pub(super) fn start_held(&mut self, op: OpId, attempt: Attempt) {
        self.record(EventKind::AttemptStarted { op });
        self.ops.push((Op { id: op, kind: OpKind::Attempt(Box::new(attempt)) }, None));
    }
}
