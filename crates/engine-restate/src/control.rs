//! What messages do to a run. The answers depend on the history alone, so a replay gives the same.

use midwatch_journal::Open;
use midwatch_workflow::event::TimerPurpose;
use midwatch_workflow::{Class, EventKind, Message, OpId, ParkReason, Resolution, Timestamp};

use crate::host::Answer;
use crate::run::{Driver, Stop};

impl Driver {
    /// Applies a message, or says why not.
    pub(crate) fn take_message(&mut self, message: Message, at: Timestamp) -> Result<Answer, Stop> {
        match message {
            Message::Signal { name, payload, id } => {
                let is_repeat = id.as_ref().is_some_and(|id| self.mirror.fold.signal_ids.contains(id));
                if !is_repeat {
                    self.record(EventKind::SignalReceived { name, payload, id }, at)?;
                }
            }
            Message::Cancel { reason, by } => {
                if !self.mirror.fold.is_cancelled {
                    self.record(EventKind::CancelRequested { class: Class::Cancelled, reason, by }, at)?;
                }
            }
            Message::Pause { reason, by } => {
                if !self.mirror.fold.is_paused {
                    self.record(EventKind::Paused { reason, by }, at)?;
                }
            }
            Message::Resume { by } => {
                if self.mirror.fold.is_paused {
                    self.record(EventKind::Resumed { by }, at)?;
                    self.release_held();
                }
            }
            Message::Resolve { step, resolution, by } => {
                let parked = self.parked(|of, _| step.as_deref().is_none_or(|step| of == Some(step)));
                let Some(op) = parked.first().copied() else {
                    return Ok(Err(match step {
                        Some(step) => format!("is not parked for step {step}"),
                        None => "is not parked for a person's answer".to_owned(),
                    }));
                };
                self.record(EventKind::Resolved { op, resolution, by }, at)?;
            }
            Message::Retry { by } => return self.retry(&by, at),
            Message::RaiseBudget { usd, tokens, by } => {
                self.record(EventKind::BudgetRaised { usd, tokens, by: by.clone() }, at)?;
                for op in self.parked(|_, reason| reason == ParkReason::Budget) {
                    let by = by.clone();
                    self.record(EventKind::Resolved { op, resolution: Resolution::Retry, by }, at)?;
                }
            }
            Message::Fork { .. } => return Ok(Err("cannot be forked on Restate".to_owned())),
        }
        Ok(Ok(()))
    }

    /// Ends retry waits now, and answers parked operations with retry.
    fn retry(&mut self, by: &str, at: Timestamp) -> Result<Answer, Stop> {
        let open = self.mirror.fold.open.iter();
        let waits: Vec<OpId> = open
            .filter(|(_, open)| matches!(open, Open::Timer { purpose: TimerPurpose::Retry { .. }, .. }))
            .map(|(op, _)| *op)
            .collect();
        let parked = self.parked(|_, _| true);
        if waits.is_empty() && parked.is_empty() {
            self.mirror.fold.summarize();
            return Ok(Err(format!("has nothing to retry: it is {}", self.mirror.fold.summary.status)));
        }
        for op in waits {
            self.fire_now(op, at)?;
        }
        for op in parked {
            let by = by.to_owned();
            self.record(EventKind::Resolved { op, resolution: Resolution::Retry, by }, at)?;
        }
        Ok(Ok(()))
    }

    fn parked(&self, wanted: impl Fn(Option<&str>, ParkReason) -> bool) -> Vec<OpId> {
        let open = self.mirror.fold.open.iter();
        open.filter_map(|(op, open)| match open {
            Open::Person { step, reason } if wanted(step.as_deref(), *reason) => Some(*op),
            _ => None,
        })
        .collect()
    }
}
