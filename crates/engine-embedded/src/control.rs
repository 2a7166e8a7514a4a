//! What messages do to a run.

use midwatch_journal::Open;
use midwatch_workflow::event::TimerPurpose;
use midwatch_workflow::{Class, EngineError, EventKind, Message, OpId, ParkReason, Resolution, RunId};

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
        match message {
            Message::Signal { name, payload, id } => {
                let is_repeat = id.as_ref().is_some_and(|id| self.fold.signal_ids.contains(id));
                if !is_repeat {
                    self.record(EventKind::SignalReceived { name, payload, id });
                }
            }
            Message::Cancel { reason, by } => {
                if !self.fold.is_cancelled {
                    self.record(EventKind::CancelRequested { class: Class::Cancelled, reason, by });
                }
            }
            Message::Pause { reason, by } => {
                if !self.fold.is_paused {
                    self.record(EventKind::Paused { reason, by });
                }
            }
            Message::Resume { by } => {
                if self.fold.is_paused {
                    self.record(EventKind::Resumed { by });
                    self.release_held();
                }
            }
            Message::Resolve { step, resolution, by } => {
                return self.resolve(step.as_deref(), resolution, by);
            }
            Message::Retry { by } => return self.retry(by),
            Message::RaiseBudget { usd, tokens, by } => {
                self.record(EventKind::BudgetRaised { usd, tokens, by: by.clone() });
                self.budget_raised(usd, tokens);
                for op in self.parked(|_, reason| reason == ParkReason::Budget) {
                    self.record(EventKind::Resolved { op, resolution: Resolution::Retry, by: by.clone() });
                }
            }
            Message::Fork { .. } => {}
        }
        Ok(())
    }

    fn resolve(&mut self, step: Option<&str>, resolution: Resolution, by: String) -> Result<(), String> {
        let parked = self.parked(|of, _| step.is_none_or(|step| of == Some(step)));
        let Some(op) = parked.first().copied() else {
            return Err(match step {
                Some(step) => format!("is not parked for step {step}"),
                None => "is not parked for a person's answer".to_owned(),
            });
        };
        self.record(EventKind::Resolved { op, resolution, by });
        Ok(())
    }

    /// Ends retry waits now, answers parked operations with retry, or replays a run that the engine had parked.
    fn retry(&mut self, by: String) -> Result<(), String> {
        if self.fold.halted.is_some() {
            self.reload = true;
            self.record(EventKind::Unparked { by });
            return Ok(());
        }
        let waits: Vec<OpId> = self
            .fold
            .open
            .iter()
            .filter(|(_, open)| matches!(open, Open::Timer { purpose: TimerPurpose::Retry { .. }, .. }))
            .map(|(op, _)| *op)
            .collect();
        let parked = self.parked(|_, _| true);
        if waits.is_empty() && parked.is_empty() {
            return Err(format!("has nothing to retry: it is {}", self.fold.summary.status));
        }
        waits.into_iter().for_each(|op| self.fire_now(op));
        for op in parked {
            self.record(EventKind::Resolved { op, resolution: Resolution::Retry, by: by.clone() });
        }
        Ok(())
    }

    /// Takes a failed run back to before the step that failed.
    fn rewind(&mut self, by: String) -> Result<(), String> {
        use midwatch_journal::Status;
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

    fn parked(&self, wanted: impl Fn(Option<&str>, ParkReason) -> bool) -> Vec<OpId> {
        let open = self.fold.open.iter();
        open.filter_map(|(op, open)| match open {
            Open::Person { step, reason } if wanted(step.as_deref(), *reason) => Some(*op),
            _ => None,
        })
        .collect()
    }
}

/// Who is named in the journal for a message that a parent sends.
pub(crate) fn by_parent(parent: RunId) -> String {
    format!("parent {parent}")
}
