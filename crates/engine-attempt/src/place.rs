//! The places that an attempt needs before it starts: one in its queue, one at its target's gate.

use midwatch_gates::{Pass, Ticket};
use midwatch_workflow::event::WaitReason;
use midwatch_workflow::{Attempt, Name};

use crate::Admissions;
use crate::queue::Permit;

/// Which places an attempt needs, and how urgently.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// The queue that it goes through.
    pub queue: Option<&'a Name>,
    /// Higher goes first; 0 is usual.
    pub priority: i8,
    /// The outside party that it talks to.
    pub target: Option<&'a Name>,
    /// Which attempt it is, from 1.
    pub attempt: u32,
}

impl<'a> From<&'a Attempt> for Wish<'a> {
    fn from(attempt: &'a Attempt) -> Self {
        let Attempt { queue, priority, target, attempt, .. } = attempt;
        Self { queue: queue.as_ref(), priority: *priority, target: target.as_ref(), attempt: *attempt }
    }
}

/// What an attempt has of the places that it needs. The queue comes first: a gate's pass is for starting at once.
#[derive(Default)]
pub struct Places {
    /// Its place in its queue.
    pub permit: Option<Permit>,
    /// Its right to start, from its target's gate.
    pub pass: Option<Pass>,
    /// Its place in the line before the gate, while it waits there.
    ticket: Option<Ticket>,
}

/// A place that came free for an attempt that waited.
pub enum Place {
    /// In its queue.
    Queue(Permit),
    /// At its target's gate.
    Gate(Pass),
}

impl Places {
    /// Whether an attempt needs any place at all; those that need none cost nothing here.
    pub fn are_needed(admissions: &Admissions, wish: Wish<'_>) -> bool {
        wish.target.is_some() || admissions.queues.limited(wish.queue).is_some()
    }

    /// Takes what is free, and says what the attempt must wait for.
    pub fn take(&mut self, admissions: &Admissions, wish: Wish<'_>) -> Option<WaitReason> {
        if let Some(queue) = admissions.queues.limited(wish.queue).filter(|_| self.permit.is_none()) {
            self.permit = queue.try_enter();
            if self.permit.is_none() {
                return Some(WaitReason::Queue);
            }
        }
        if let Some(gate) = admissions.gates.of(wish.target).filter(|_| self.pass.is_none()) {
            self.pass = gate.try_enter(wish.attempt);
            if self.pass.is_none() {
                return Some(WaitReason::Gate);
            }
        }
        None
    }

    /// Waits for what [`take`](Self::take) found missing; `admit` is called with it.
    pub fn wait(
        &mut self,
        admissions: &Admissions,
        wish: Wish<'_>,
        waits: WaitReason,
        admit: impl FnOnce(Place) + Send + 'static,
    ) {
        if waits == WaitReason::Queue {
            if let Some(queue) = admissions.queues.limited(wish.queue) {
                queue.wait(wish.priority, Box::new(move |permit| admit(Place::Queue(permit))));
            }
        } else if let Some(gate) = admissions.gates.of(wish.target) {
            // The old ticket, if there is one, leaves the line.
            let admit = Box::new(move |pass| admit(Place::Gate(pass)));
            self.ticket = Some(gate.wait(wish.priority, wish.attempt, admit));
        }
    }

    /// Adds a place that came free.
    pub fn add(&mut self, place: Place) {
        match place {
            Place::Queue(permit) => self.permit = Some(permit),
            Place::Gate(pass) => {
                self.ticket = None;
                self.pass = Some(pass);
            }
        }
    }

    /// What the attempt waits for, for people.
    pub fn missing(&self, wish: Wish<'_>) -> String {
        match (wish.target, &self.ticket) {
            (Some(target), Some(_)) => format!("no place at the gate of {target}"),
            _ => "no place in queue".to_owned(),
        }
    }
}
