//! What an attempt costs, booked whatever becomes of it.

use std::sync::{Arc, Mutex};

use midwatch_gates::Pass;
use midwatch_providers::{Report, StreamMeter, usage_of};
use midwatch_recorder::{Attempt, Use};
use midwatch_workflow::{Certainty, Charge, Class, Failure, Money, Payload, Usage};
use serde_json::Value;

use crate::asked::Asked;
use crate::budget::Reservation;
use crate::seat::Booking;
use crate::upstream::Upstream;
use crate::wire::Wire;

/// An attempt under way, with everything that its end must reach. Dropped before it is settled, its client is gone.
pub(crate) struct Bill {
    wire: Arc<Wire>,
    upstream: Arc<Upstream>,
    target: String,
    bound: Charge,
    /// `None` once it is settled.
    open: Option<Open>,
}

enum Open {
    /// An attempt of the gateway's own.
    Recorded { attempt: Attempt, reservation: Reservation, pass: Option<Pass> },
    /// A part of what an attempt at a step does.
    OfAttempt(Booking),
}

/// What is known of the cost of an attempt that failed.
pub(crate) enum Cost {
    /// It certainly cost nothing.
    Nothing,
    /// This.
    Known(Vec<Charge>),
    /// At most what was said beforehand.
    Unknown,
}

/// What an attempt came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settled {
    pub(crate) use_of: Option<Use>,
    pub(crate) charges: Vec<Charge>,
}

impl Bill {
    pub(crate) fn open(
        wire: &Arc<Wire>,
        upstream: &Arc<Upstream>,
        bound: Charge,
        (attempt, reservation, pass): (Attempt, Reservation, Option<Pass>),
    ) -> Self {
        Self::of(wire, upstream, bound, Open::Recorded { attempt, reservation, pass })
    }

    /// The bill of a call that an attempt at a step makes.
    pub(crate) fn of_attempt(
        wire: &Arc<Wire>,
        upstream: &Arc<Upstream>,
        bound: Charge,
        booking: Booking,
    ) -> Self {
        Self::of(wire, upstream, bound, Open::OfAttempt(booking))
    }

    fn of(wire: &Arc<Wire>, upstream: &Arc<Upstream>, bound: Charge, open: Open) -> Self {
        let (wire, upstream) = (Arc::clone(wire), Arc::clone(upstream));
        Self { wire, upstream, target: bound.target.clone(), bound, open: Some(open) }
    }

    /// Whether it is still to be settled.
    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Trace and span that stand for the attempt.
    pub(crate) fn traceparent(&self) -> Option<String> {
        match self.open.as_ref()? {
            Open::Recorded { attempt, .. } => Some(attempt.traceparent().to_string()),
            Open::OfAttempt(booking) => Some(booking.cx().traceparent()),
        }
    }

    /// From now on what this meter has seen is what the call has used.
    pub(crate) fn follow(&self, meter: &Arc<Mutex<StreamMeter>>) {
        if let Some(Open::OfAttempt(booking)) = &self.open {
            booking.follow(&self.target, meter);
        }
    }

    /// A failure has turned up that the client is about to see.
    pub(crate) fn expect(&self, failure: &Failure) {
        if let Some(Open::OfAttempt(booking)) = &self.open {
            booking.met(failure);
        }
    }

    /// Something of the answer has come.
    pub(crate) fn alive(&self) {
        if let Some(Open::OfAttempt(booking)) = &self.open {
            booking.cx().alive();
        }
    }

    /// What the upstream speaks.
    pub(crate) fn dialect(&self) -> crate::config::Dialect {
        self.upstream.dialect
    }

    /// By which rules the answer is read.
    pub(crate) fn provider(&self) -> midwatch_providers::Provider {
        self.upstream.provider()
    }

    /// What the whole answer of a success says that it used.
    pub(crate) fn of_answer(&self, asked: &Asked, body: &Value) -> Vec<Charge> {
        match usage_of(self.upstream.provider(), body) {
            Some(report) => vec![self.priced(&report, Certainty::Exact)],
            // A body of which nothing is known: the call is booked, and its price is not.
            None if asked.model.is_none() => {
                vec![self.charge(&Report { usage: one_call(), ..Report::default() })]
            }
            None => {
                let output = midwatch_providers::estimate_output(&texts(body));
                let usage = Usage { input: asked.input_estimate, output, ..one_call() };
                vec![self.priced(&Report { usage, ..Report::default() }, Certainty::Estimated)]
            }
        }
    }

    /// What a failure's own body says that it used.
    pub(crate) fn of_failure(&self, body: &[u8]) -> Vec<Charge> {
        let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let report = usage_of(self.upstream.provider(), &body);
        report.map(|report| self.priced(&report, Certainty::Exact)).into_iter().collect()
    }

    /// What a stream has used so far.
    pub(crate) fn of_stream(&self, meter: &Mutex<StreamMeter>) -> Charge {
        let (report, certainty) = crate::reading::lock(meter).report();
        self.priced(&report, certainty)
    }

    fn priced(&self, report: &Report, certainty: Certainty) -> Charge {
        let charge = Charge { certainty, ..self.charge(report) };
        self.wire.price(charge, report)
    }

    fn charge(&self, report: &Report) -> Charge {
        report.charge(&self.target)
    }

    /// Says that the attempt is alive.
    pub(crate) fn beat(&self, progress: Payload) {
        if let Some(Open::Recorded { attempt, .. }) = &self.open {
            attempt.beat(progress, vec![self.bound.clone()], self.wire.clock.now());
        }
    }

    /// Books a success.
    pub(crate) fn succeed(&mut self, output: Payload, charges: Vec<Charge>) -> Settled {
        self.settle(Ok(output), charges)
    }

    /// Books a failure.
    pub(crate) fn fail(&mut self, failure: Failure, cost: Cost) -> Settled {
        let charges = match cost {
            Cost::Nothing => Vec::new(),
            Cost::Known(charges) => charges,
            Cost::Unknown => vec![self.bound.clone()],
        };
        let failure = Failure { charges: Vec::new(), ..failure };
        self.settle(Err(failure), charges)
    }

    fn settle(&mut self, result: Result<Payload, Failure>, charges: Vec<Charge>) -> Settled {
        match self.open.take() {
            None => Settled::default(),
            Some(Open::OfAttempt(booking)) => {
                booking.settle(&result, &charges);
                Settled { use_of: None, charges }
            }
            Some(Open::Recorded { attempt, reservation, pass }) => {
                reservation.settle(&charges);
                if let Some(pass) = pass {
                    pass.ended(&result, &charges);
                }
                let use_of = attempt.end(result, charges.clone(), self.wire.clock.now());
                Settled { use_of: Some(use_of), charges }
            }
        }
    }
}

impl Drop for Bill {
    fn drop(&mut self) {
        if self.open.is_some() {
            let gone = Failure::new(Class::Cancelled, "the client went away before the answer").ambiguous();
            self.fail(gone, Cost::Unknown);
        }
    }
}

/// What many charges cost; `None` if one of them has no price.
pub(crate) fn cost<'c>(charges: impl IntoIterator<Item = &'c Charge>) -> Option<Money> {
    charges.into_iter().map(|charge| charge.cost).sum()
}

fn one_call() -> Usage {
    Usage { calls: 1, ..Usage::default() }
}

/// The text of an answer that says nothing of its usage.
fn texts(body: &Value) -> String {
    let chat =
        body["choices"].as_array().into_iter().flatten().filter_map(|c| c["message"]["content"].as_str());
    let messages = body["content"].as_array().into_iter().flatten().filter_map(|part| part["text"].as_str());
    chat.chain(messages).collect()
}
