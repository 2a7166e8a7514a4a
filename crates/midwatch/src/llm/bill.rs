//! What a call costs, booked whatever becomes of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use midwatch_providers::{Provider, Report, StreamMeter, estimate_input, usage_of};
use midwatch_workflow::{Certainty, Charge, Failure, Reservation, StepContext};
use serde_json::Value;

use super::bound;
use crate::http::now;
use crate::prices::prices;

/// A call under way. Dropped before it is settled, it books an estimate of what had come by then, or leaves the bound if
/// nothing had.
pub(crate) struct Bill {
    /// `None` once it is settled.
    reservation: Option<Reservation>,
    target: String,
    provider: Provider,
    meter: Arc<Mutex<StreamMeter>>,
    is_begun: bool,
}

impl Bill {
    /// Reserves the most that the call can cost, so that it is in the journal, and within all budgets, before the call is
    /// sent.
    pub(crate) async fn open(
        cx: &StepContext,
        target: &str,
        provider: Provider,
        body: &Arc<Value>,
        output_max: u64,
    ) -> Result<Self, Failure> {
        let reservation = bound::reserve(cx, target, body, output_max).await?;
        Ok(Self {
            reservation: Some(reservation),
            target: target.to_owned(),
            provider,
            meter: Arc::new(Mutex::new(StreamMeter::new(provider, estimate_input(body)))),
            is_begun: false,
        })
    }

    /// The answer has begun: from now on what was seen counts, and no longer the bound.
    pub(crate) fn begin(&mut self) {
        self.is_begun = true;
        if let Some(reservation) = &self.reservation {
            let (target, meter) = (self.target.clone(), Arc::clone(&self.meter));
            reservation.follow(move || metered(&target, &meter));
        }
    }

    /// Reads an event of the stream.
    pub(crate) fn observe(&mut self, event: &Value) {
        lock(&self.meter).observe_value(event);
    }

    /// The request came to nothing. Only if the provider may have got it and never said a word, the bound stays.
    pub(crate) fn fail(mut self, failure: &Failure) {
        let is_unknown = failure.ambiguous && failure.status.is_none();
        if let Some(reservation) = self.reservation.take().filter(|_| !is_unknown) {
            reservation.release();
        }
    }

    /// Books what came, as well as it is known.
    pub(crate) fn settle(mut self) -> Charge {
        self.book_metered()
    }

    /// Books an answer that came in one piece.
    pub(crate) fn settle_whole(mut self, body: &Value, text: &str) -> Charge {
        let report = usage_of(self.provider, body);
        let certainty = if report.is_some() { Certainty::Exact } else { Certainty::Estimated };
        let report = report.unwrap_or_else(|| {
            let (mut report, _) = lock(&self.meter).report();
            report.usage.output = midwatch_providers::estimate_output(text);
            report
        });
        self.book(priced(&self.target, &report, certainty))
    }

    fn book_metered(&mut self) -> Charge {
        self.book(metered(&self.target, &self.meter))
    }

    fn book(&mut self, charge: Charge) -> Charge {
        if let Some(reservation) = self.reservation.take() {
            reservation.settle(charge.clone());
        }
        charge
    }
}

/// What a stream has used so far.
fn metered(target: &str, meter: &Mutex<StreamMeter>) -> Charge {
    let (report, certainty) = lock(meter).report();
    priced(target, &report, certainty)
}

fn priced(target: &str, report: &Report, certainty: Certainty) -> Charge {
    let charge = Charge { certainty, ..report.charge(target) };
    prices().price(charge, report, now())
}

/// No foreign code runs under the lock, so a poisoned one still holds a whole meter.
fn lock(meter: &Mutex<StreamMeter>) -> MutexGuard<'_, StreamMeter> {
    meter.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Bill {
    fn drop(&mut self) {
        if self.is_begun && self.reservation.is_some() {
            self.book_metered();
        }
    }
}
