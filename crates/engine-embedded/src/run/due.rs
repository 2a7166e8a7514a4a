//! What a run does at a time: timers, its deadline, the limits of waits.

use midwatch_workflow::{Class, Ended, EventKind, Failure, OpId};

use super::Driver;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    Deadline,
    Timer(OpId),
    Queue(OpId),
}

impl Driver {
    pub(super) fn take_due(&mut self) {
        let now = self.engine.options.clock.now();
        while let Some((at, due)) = self.dues.first().copied().filter(|(at, _)| *at <= now) {
            self.dues.remove(&(at, due));
            match due {
                Due::Timer(op) => self.record(EventKind::TimerFired { op }),
                Due::Deadline if self.fold.is_cancelled => {}
                Due::Deadline => {
                    let timeout = self.start.timeout.unwrap_or_default();
                    let reason = format!("the run took longer than {timeout:?}");
                    let by = "deadline".to_owned();
                    self.record(EventKind::CancelRequested { class: Class::Timeout, reason, by });
                }
                // The pause holds it back now, not the queue; after it, it queues anew.
                Due::Queue(_) if self.fold.is_paused => {}
                Due::Queue(op) => {
                    if let Some(attempt) = self.held.remove(&op) {
                        let places = self.places.remove(&op).unwrap_or_default();
                        let message = format!(
                            "{} within {:?}",
                            places.missing((&attempt).into()),
                            attempt.queue_timeout
                        );
                        let result = Ended::Failed(Failure::new(Class::Timeout, message));
                        self.record(EventKind::AttemptEnded { op, result, charges: Vec::new() });
                    }
                }
            }
        }
    }

    /// Fires a timer before it is due.
    pub(crate) fn fire_now(&mut self, op: OpId) {
        self.dues.retain(|(_, due)| *due != Due::Timer(op));
        self.record(EventKind::TimerFired { op });
    }

    pub(super) fn await_deadline(&mut self) {
        if let Some(deadline) = self.fold.deadline.filter(|_| !self.fold.is_cancelled) {
            self.dues.insert((deadline, Due::Deadline));
        }
    }
}
