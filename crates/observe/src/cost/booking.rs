//! Single bookings: what one attempt spent with one party.

use midwatch_workflow::{Certainty, Charge, Class, Money, Spent, Timestamp, Usage};
use serde::{Deserialize, Serialize};

use crate::timeline::{Attempt, Step, Timeline};

/// What one attempt spent with one party.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Booking {
    /// The event that says so: the attempt's end, or its last heartbeat.
    pub event: u64,
    /// When the attempt ended, or last said what it had spent.
    pub at: Timestamp,
    /// The step's name.
    pub step: String,
    /// The how-manieth use of it.
    pub nth: u32,
    /// Which attempt.
    pub attempt: u32,
    /// Who was paid, `provider:model`.
    pub target: String,
    /// What was used.
    pub usage: Usage,
    /// What it cost, if a price is known.
    pub cost: Option<Money>,
    /// How well the usage is known.
    pub certainty: Certainty,
    /// What the attempt failed with, if it did.
    pub failed: Option<Class>,
}

/// Everything that a run spent, in the order of its events, voided attempts too.
pub fn bookings(timeline: &Timeline) -> Vec<Booking> {
    let attempts = timeline.steps().flat_map(|step| step.attempts.iter().map(move |attempt| (step, attempt)));
    let mut bookings: Vec<Booking> = attempts
        .flat_map(|(step, attempt)| attempt.charges.iter().map(|charge| booking(step, attempt, charge)))
        .collect();
    bookings.sort_by_key(|booking| booking.event);
    bookings
}

/// The sum of bookings.
pub(crate) fn sum<'b>(bookings: impl IntoIterator<Item = &'b Booking>) -> Spent {
    let mut spent = Spent::default();
    for booking in bookings {
        spent.usage.add(&booking.usage);
        match booking.cost {
            Some(cost) => spent.cost += cost,
            None => spent.unpriced += 1,
        }
    }
    spent
}

fn booking(step: &Step, attempt: &Attempt, charge: &Charge) -> Booking {
    let end = attempt.end.as_ref().map(|end| end.mark);
    let mark = end.or(attempt.beat.as_ref().map(|beat| beat.mark)).unwrap_or(attempt.asked);
    Booking {
        event: mark.event,
        at: mark.at,
        step: step.name.clone(),
        nth: step.nth,
        attempt: attempt.number,
        target: charge.target.clone(),
        usage: charge.usage,
        cost: charge.cost,
        certainty: charge.certainty,
        failed: attempt.failure().map(|failure| failure.class),
    }
}
