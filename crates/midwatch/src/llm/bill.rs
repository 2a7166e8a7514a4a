//! What a call costs, booked whatever becomes of it.

use midwatch_providers::{Report, StreamMeter, usage_of};
use midwatch_workflow::{Certainty, Charge, Failure, Reservation, StepContext, Usage};
use serde_json::Value;

use super::endpoint::Endpoint;
use crate::http::now;
use crate::prices::prices;

/// Real tokens for each estimated one, at most: dense text (code, JSON, names) has two characters a token where prose has
/// four.
const BOUND_FACTOR: u64 = 2;

/// A call under way. Dropped before it is settled, it books an estimate of what had come by then, or leaves the bound if
/// nothing had.
pub(super) struct Bill {
    /// `None` once it is settled.
    reservation: Option<Reservation>,
    target: String,
    meter: StreamMeter,
    is_begun: bool,
}

impl Bill {
    /// Reserves the most that the call can cost, so that it is in the journal before the call is sent.
    pub(super) async fn open(cx: &StepContext, endpoint: &Endpoint, input: u64, output_max: u64) -> Self {
        let usage = Usage { calls: 1, input: input * BOUND_FACTOR, output: output_max, ..Usage::default() };
        let report = Report { usage, ..Report::default() };
        let bound = prices().price(report.charge(&endpoint.target), &report, now());
        Self {
            reservation: Some(cx.reserve(bound).await),
            target: endpoint.target.clone(),
            meter: StreamMeter::new(endpoint.provider(), input),
            is_begun: false,
        }
    }

    /// The answer has begun: from now on what was seen counts, and no longer the bound.
    pub(super) fn begin(&mut self) {
        self.is_begun = true;
    }

    /// Reads an event of the stream.
    pub(super) fn observe(&mut self, event: &Value) {
        self.meter.observe_value(event);
    }

    /// The request came to nothing. Only if the provider may have got it and never said a word, the bound stays.
    pub(super) fn fail(mut self, failure: &Failure) {
        let is_unknown = failure.ambiguous && failure.status.is_none();
        if let Some(reservation) = self.reservation.take().filter(|_| !is_unknown) {
            reservation.release();
        }
    }

    /// Books what came, as well as it is known.
    pub(super) fn settle(mut self) -> Charge {
        self.book_metered()
    }

    /// Books an answer that came in one piece.
    pub(super) fn settle_whole(mut self, endpoint: &Endpoint, body: &Value, text: &str) -> Charge {
        let report = usage_of(endpoint.provider(), body);
        let certainty = if report.is_some() { Certainty::Exact } else { Certainty::Estimated };
        let report = report.unwrap_or_else(|| {
            let (mut report, _) = self.meter.report();
            report.usage.output = midwatch_providers::estimate_output(text);
            report
        });
        self.book(report, certainty)
    }

    fn book_metered(&mut self) -> Charge {
        let (report, certainty) = self.meter.report();
        self.book(report, certainty)
    }

    fn book(&mut self, report: Report, certainty: Certainty) -> Charge {
        let charge = Charge { certainty, ..report.charge(&self.target) };
        let charge = prices().price(charge, &report, now());
        if let Some(reservation) = self.reservation.take() {
            reservation.settle(charge.clone());
        }
        charge
    }
}

impl Drop for Bill {
    fn drop(&mut self) {
        if self.is_begun && self.reservation.is_some() {
            self.book_metered();
        }
    }
}
