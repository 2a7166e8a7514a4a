//! What messages do to a run.

use midwatch_journal::Open;
use midwatch_workflow::event::TimerPurpose;
use midwatch_workflow::{Class, EventKind, Message, OpId, ParkReason, Resolution};

use crate::translate::Translation;

impl Translation {
    /// Applies a message, or says why the run cannot take it.
    pub(crate) fn control(&mut self, message: Message) -> Result<(), String> {
        match message {
            Message::Signal { name, payload, id } => self.signal(name, payload, id),
            Message::Cancel { reason, by } => {
                if !self.fold.is_cancelled {
                    self.record_now(EventKind::CancelRequested { class: Class::Cancelled, reason, by });
                }
            }
            Message::Pause { reason, by } => {
                if !self.fold.is_paused {
                    self.record_now(EventKind::Paused { reason, by });
                }
            }
            Message::Resume { by } => {
                if self.fold.is_paused {
                    self.record_now(EventKind::Resumed { by });
                    self.release_held();
                }
            }
            Message::Resolve { step, resolution, by } => {
                return self.resolve(step.as_deref(), resolution, by);
            }
            Message::Retry { by } => return self.retry(by),
            Message::RaiseBudget { usd, tokens, by } => {
                self.record_now(EventKind::BudgetRaised { usd, tokens, by: by.clone() });
                for op in self.parked(|_, reason| reason == ParkReason::Budget) {
                    self.record_now(EventKind::Resolved {
                        op,
                        resolution: Resolution::Retry,
                        by: by.clone(),
                    });
                }
            }
            Message::Fork { .. } => return Err("cannot be forked on Temporal".to_owned()),
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
        self.record_now(EventKind::Resolved { op, resolution, by });
        Ok(())
    }

    /// Ends retry waits now, and answers parked operations with retry.
    fn retry(&mut self, by: String) -> Result<(), String> {
        let open = self.fold.open.iter();
        let waits: Vec<OpId> = open
            .filter(|(_, open)| matches!(open, Open::Timer { purpose: TimerPurpose::Retry { .. }, .. }))
            .map(|(op, _)| *op)
            .collect();
        let parked = self.parked(|_, _| true);
        if waits.is_empty() && parked.is_empty() {
            return Err(format!("has nothing to retry: it is {}", self.fold.summary.status));
        }
        waits.into_iter().for_each(|op| self.fire_now(op));
        for op in parked {
            self.record_now(EventKind::Resolved { op, resolution: Resolution::Retry, by: by.clone() });
        }
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
