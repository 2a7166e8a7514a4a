//! The places that an attempt needs before it starts: one in its queue, one at its target's gate.

use midwatch_workflow::Attempt;
use midwatch_workflow::event::WaitReason;

use crate::engine::Core;
use crate::gate::{Pass, Ticket};
use crate::queue::Permit;

/// What an attempt has of the places that it needs. The queue comes first: a gate's pass is for starting at once.
#[derive(Default)]
pub(crate) struct Places {
    pub(crate) permit: Option<Permit>,
    pub(crate) pass: Option<Pass>,
    /// Its place in the line before the gate, while it waits there.
    ticket: Option<Ticket>,
}

/// A place that came free for an attempt that waited.
pub(crate) enum Place {
    Queue(Permit),
    Gate(Pass),
}

impl Places {
    /// Whether an attempt needs any place at all; those that need none cost nothing here.
    pub(crate) fn are_needed(core: &Core, attempt: &Attempt) -> bool {
        attempt.target.is_some() || core.queues.limited(attempt.queue.as_ref()).is_some()
    }

    /// Takes what is free, and says what the attempt must wait for.
    pub(crate) fn take(&mut self, core: &Core, attempt: &Attempt) -> Option<WaitReason> {
        if let Some(queue) = core.queues.limited(attempt.queue.as_ref()).filter(|_| self.permit.is_none()) {
            self.permit = queue.try_enter();
            if self.permit.is_none() {
                return Some(WaitReason::Queue);
            }
        }
        if let Some(gate) = core.gates.of(attempt.target.as_ref()).filter(|_| self.pass.is_none()) {
            self.pass = gate.try_enter(attempt.attempt);
            if self.pass.is_none() {
                return Some(WaitReason::Gate);
            }
        }
        None
    }

    /// Waits for what [`take`](Self::take) found missing; `admit` is called with it.
    pub(crate) fn wait(
        &mut self,
        core: &Core,
        attempt: &Attempt,
        waits: WaitReason,
        admit: impl FnOnce(Place) + Send + 'static,
    ) {
        if waits == WaitReason::Queue {
            if let Some(queue) = core.queues.limited(attempt.queue.as_ref()) {
                queue.wait(attempt.priority, Box::new(move |permit| admit(Place::Queue(permit))));
            }
        } else if let Some(gate) = core.gates.of(attempt.target.as_ref()) {
            // The old ticket, if there is one, leaves the line.
            let admit = Box::new(move |pass| admit(Place::Gate(pass)));
            self.ticket = Some(gate.wait(attempt.priority, attempt.attempt, admit));
        }
    }

    /// Adds a place that came free.
    pub(crate) fn add(&mut self, place: Place) {
        match place {
            Place::Queue(permit) => self.permit = Some(permit),
            Place::Gate(pass) => {
                self.ticket = None;
                self.pass = Some(pass);
            }
        }
    }

    /// What the attempt waits for, for people.
    pub(crate) fn missing(&self, attempt: &Attempt) -> String {
        match (&attempt.target, &self.ticket) {
            (Some(target), Some(_)) => format!("no place at the gate of {target}"),
            _ => "no place in queue".to_owned(),
        }
    }
}
