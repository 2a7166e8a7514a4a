//! What a message means for a run: which events follow from it, or why the run cannot take it.

use midwatch_workflow::event::TimerPurpose;
use midwatch_workflow::{Class, EventKind, Message, OpId, ParkReason, Resolution};

use crate::{Fold, Open};

impl Fold {
    /// Decides what follows from a message; the same on every engine, and nothing is changed here.
    ///
    /// An engine records the events in their order. `timer_fired` of a timer that is not due ends its wait now, `resumed`
    /// lets go what the pause held back. No events at all say that the message was taken and changed nothing: a signal
    /// that came before, a pause of a paused run.
    ///
    /// # Errors
    /// Why the run refuses, to be read after its name.
    pub fn respond(&mut self, message: Message) -> Result<Vec<EventKind>, String> {
        if self.summary.ended_at.is_some() {
            return Err(format!("has ended ({})", self.summary.status));
        }
        let once = |is_needed: bool, kind: EventKind| Ok(if is_needed { vec![kind] } else { Vec::new() });
        match message {
            Message::Signal { name, payload, id } => {
                let is_repeat = id.as_ref().is_some_and(|id| self.signal_ids.contains(id));
                once(!is_repeat, EventKind::SignalReceived { name, payload, id })
            }
            Message::Cancel { reason, by } => {
                let class = Class::Cancelled;
                once(!self.is_cancelled, EventKind::CancelRequested { class, reason, by })
            }
            Message::Pause { reason, by } => once(!self.is_paused, EventKind::Paused { reason, by }),
            Message::Resume { by } => once(self.is_paused, EventKind::Resumed { by }),
            Message::Resolve { step, resolution, by } => self.resolve(step.as_deref(), resolution, by),
            Message::Retry { by } => self.retry(&by),
            Message::RaiseBudget { usd, tokens, by } => {
                let waiting = self.parked(|_, reason| reason == ParkReason::Budget);
                let raised = EventKind::BudgetRaised { usd, tokens, by: by.clone() };
                Ok([raised].into_iter().chain(again(waiting, &by)).collect())
            }
            Message::Fork { .. } => Err("cannot be forked on this engine".to_owned()),
        }
    }

    fn resolve(
        &self,
        step: Option<&str>,
        resolution: Resolution,
        by: String,
    ) -> Result<Vec<EventKind>, String> {
        let parked = self.parked(|of, _| step.is_none_or(|step| of == Some(step)));
        match (parked.first(), step) {
            (Some(op), _) => Ok(vec![EventKind::Resolved { op: *op, resolution, by }]),
            (None, Some(step)) => Err(format!("is not parked for step {step}")),
            (None, None) => Err("is not parked for a person's answer".to_owned()),
        }
    }

    /// Ends retry waits now, and answers parked operations with retry.
    fn retry(&mut self, by: &str) -> Result<Vec<EventKind>, String> {
        let waits = self.open.iter().filter_map(|(op, open)| match open {
            Open::Timer { purpose: TimerPurpose::Retry { .. }, .. } => {
                Some(EventKind::TimerFired { op: *op })
            }
            _ => None,
        });
        let events: Vec<EventKind> = waits.chain(again(self.parked(|_, _| true), by)).collect();
        if events.is_empty() {
            self.summarize();
            return Err(format!("has nothing to retry: it is {}", self.summary.status));
        }
        Ok(events)
    }

    /// Operations that wait for a person, oldest first.
    fn parked(&self, wanted: impl Fn(Option<&str>, ParkReason) -> bool) -> Vec<OpId> {
        let open = self.open.iter();
        open.filter_map(|(op, open)| match open {
            Open::Person { step, reason } if wanted(step.as_deref(), *reason) => Some(*op),
            _ => None,
        })
        .collect()
    }
}

fn again(parked: Vec<OpId>, by: &str) -> impl Iterator<Item = EventKind> {
    parked.into_iter().map(move |op| EventKind::Resolved {
        op,
        resolution: Resolution::Retry,
        by: by.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use midwatch_workflow::{DelayReason, Event, Money, Payload, RunId, RunResult, RunStarted, Timestamp};

    use super::*;

    fn run(events: impl IntoIterator<Item = EventKind>) -> Fold {
        let mut fold =
            Fold::begin(&RunStarted::bare(RunId::from_bytes([1; 16]), "trip"), Timestamp::default());
        tell(&mut fold, events);
        fold
    }

    fn tell(fold: &mut Fold, events: impl IntoIterator<Item = EventKind>) {
        events.into_iter().for_each(|kind| fold.apply(&Event { at: Timestamp::default(), kind }));
    }

    fn parked(op: u32, step: &str, reason: ParkReason) -> EventKind {
        let message = String::new();
        EventKind::Parked { op: Some(OpId(op)), step: Some(step.to_owned()), reason, message }
    }

    fn by() -> String {
        "ann".to_owned()
    }

    fn resolved(op: u32, resolution: Resolution) -> EventKind {
        EventKind::Resolved { op: OpId(op), resolution, by: by() }
    }

    fn signal(id: Option<&str>) -> Message {
        Message::Signal { name: "go".to_owned(), payload: Payload::null(), id: id.map(str::to_owned) }
    }

    #[test]
    fn what_is_so_already_is_taken_and_changes_nothing() {
        let reason = || "why".to_owned();
        let cancel = || Message::Cancel { reason: reason(), by: by() };
        let pause = || Message::Pause { reason: reason(), by: by() };
        let resume = || Message::Resume { by: by() };
        let mut fold = run([]);
        assert_eq!(fold.respond(resume()), Ok(vec![]), "it was not paused");
        for message in [cancel(), pause(), signal(Some("letter 1"))] {
            let first = fold.respond(message.clone()).unwrap();
            assert_eq!(first.len(), 1, "{message:?}");
            tell(&mut fold, first);
            assert_eq!(fold.respond(message), Ok(vec![]));
        }
        assert_eq!(fold.respond(resume()).unwrap().len(), 1);
        assert_eq!(fold.respond(signal(Some("letter 2"))).unwrap().len(), 1, "another signal of that name");
    }

    #[test]
    fn signals_without_an_id_all_count() {
        let mut fold = run([]);
        for _ in 0..2 {
            let events = fold.respond(signal(None)).unwrap();
            assert_eq!(events.len(), 1);
            tell(&mut fold, events);
        }
    }

    #[test]
    fn an_answer_goes_to_the_oldest_parked_operation_or_to_that_of_the_step_that_is_named() {
        let mut fold = run([
            parked(3, "refund", ParkReason::CompensationFailed),
            parked(5, "charge", ParkReason::ReplayedFailure),
        ]);
        let mut answer = |step: Option<&str>| {
            let step = step.map(str::to_owned);
            fold.respond(Message::Resolve { step, resolution: Resolution::Fail, by: by() })
        };
        assert_eq!(answer(None), Ok(vec![resolved(3, Resolution::Fail)]));
        assert_eq!(answer(Some("charge")), Ok(vec![resolved(5, Resolution::Fail)]));
        assert_eq!(answer(Some("ship")), Err("is not parked for step ship".to_owned()));
        let nobody =
            run([]).respond(Message::Resolve { step: None, resolution: Resolution::Retry, by: by() });
        assert_eq!(nobody, Err("is not parked for a person's answer".to_owned()));
    }

    #[test]
    fn a_retry_ends_retry_waits_and_parked_operations_and_no_other_wait() {
        let wait =
            |op, purpose| EventKind::TimerStarted { op: OpId(op), until: Timestamp::default(), purpose };
        let retry = TimerPurpose::Retry {
            step: "charge".to_owned(),
            nth: 1,
            attempt: 2,
            of: 5,
            because: DelayReason::Backoff,
        };
        let asked = || Message::Retry { by: by() };
        let mut fold = run([
            wait(2, TimerPurpose::Sleep),
            wait(3, retry),
            parked(4, "refund", ParkReason::CompensationFailed),
        ]);
        let fired = EventKind::TimerFired { op: OpId(3) };
        assert_eq!(fold.respond(asked()), Ok(vec![fired, resolved(4, Resolution::Retry)]));
        let mut sleeps = run([wait(2, TimerPurpose::Sleep)]);
        assert_eq!(sleeps.respond(asked()), Err("has nothing to retry: it is waiting".to_owned()));
    }

    #[test]
    fn more_budget_answers_those_who_wait_for_it_and_nobody_else() {
        let mut fold =
            run([parked(3, "refund", ParkReason::CompensationFailed), parked(4, "ask", ParkReason::Budget)]);
        let usd = Money::from_cents(100);
        let raised = EventKind::BudgetRaised { usd, tokens: 7, by: by() };
        let answer = fold.respond(Message::RaiseBudget { usd, tokens: 7, by: by() });
        assert_eq!(answer, Ok(vec![raised, resolved(4, Resolution::Retry)]));
    }

    #[test]
    fn a_run_that_has_ended_takes_nothing() {
        let mut fold = run([EventKind::RunEnded { result: RunResult::Completed(Payload::null()) }]);
        assert_eq!(fold.respond(signal(None)), Err("has ended (completed)".to_owned()));
    }
}
