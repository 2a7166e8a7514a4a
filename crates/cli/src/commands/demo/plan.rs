//! What runs: a mix of the three examples, each run a function of seed and number, so that every child starts the same.

use midwatch_workflow::Approval;

use super::examples::{booking, checkout, research};
use super::world::UNDELIVERABLE;

/// What a run is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Checkout,
    Booking,
    Research,
}

/// All runs of one demo.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) runs: usize,
    /// The most runs that ask a language model: real ones cost real money.
    pub(super) research_max: usize,
}

impl Plan {
    /// What the run of this number is.
    pub(super) fn kind(&self, number: usize) -> Kind {
        match number % 3 {
            0 => Kind::Checkout,
            1 => Kind::Booking,
            _ if number / 3 < self.research_max => Kind::Research,
            _ => Kind::Checkout,
        }
    }

    /// Its workflow id.
    pub(super) fn workflow_id(&self, number: usize) -> String {
        match self.kind(number) {
            Kind::Checkout => format!("order-{number}"),
            Kind::Booking => format!("trip-{number}"),
            Kind::Research => format!("question-{number}"),
        }
    }

    /// A checkout: one in ten has a card that is declined, one in ten an address that nobody delivers to.
    pub(super) fn order(&self, number: usize) -> checkout::Order {
        let draw = self.draw(number, 1) % 10;
        let card = if draw == 0 { "tok_chargeDeclined" } else { "tok_visa" };
        let address = if draw == 1 { UNDELIVERABLE } else { "1 Harbour Street" };
        checkout::Order {
            id: self.workflow_id(number),
            sku: format!("lamp-{}", self.draw(number, 2) % 40),
            cents: 500 + self.draw(number, 3) % 20_000,
            card: card.to_owned(),
            address: address.to_owned(),
        }
    }

    /// A trip: one in five is not paid for, after everything was booked.
    pub(super) fn trip(&self, number: usize) -> booking::Trip {
        let card = if self.draw(number, 1).is_multiple_of(5) { "tok_chargeDeclined" } else { "tok_visa" };
        let to = ["Oslo", "Lisbon", "Riga", "Porto"][number / 3 % 4];
        booking::Trip {
            id: self.workflow_id(number),
            to: to.to_owned(),
            cents: 40_000 + self.draw(number, 3) % 90_000,
            card: card.to_owned(),
        }
    }

    /// A question to the research agent.
    pub(super) fn question(&self, number: usize) -> research::Question {
        let about = ["tide tables", "fog signals", "night watches", "harbour dues"][number / 3 % 4];
        research::Question {
            id: self.workflow_id(number),
            text: format!("What should a captain know about {about}? Answer for letter {number}."),
        }
    }

    /// What the editor says to an article: one in ten is turned down.
    pub(super) fn verdict(&self, workflow_id: &str) -> Approval {
        let number = workflow_id.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or(0);
        let approved = !self.draw(number, 4).is_multiple_of(10);
        let note = if approved { "" } else { "not for us" };
        Approval { approved, by: "the demo's editor".to_owned(), note: note.to_owned() }
    }

    fn draw(&self, number: usize, what: u64) -> u64 {
        fastrand::Rng::with_seed(self.seed ^ ((number as u64) << 8) ^ what).u64(..)
    }
}
