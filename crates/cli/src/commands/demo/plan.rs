//! What runs: a mix of the three examples, each run a function of seed and number, so that every child starts the same.

use clap::ValueEnum;
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
    /// Whom the research agent asks.
    pub(super) model: Model,
}

/// Whom the research agent asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Model {
    /// The simulator.
    Played,
    /// OpenAI, or whoever is at `OPENAI_BASE_URL`.
    Openai,
    /// Anthropic, or whoever is at `ANTHROPIC_BASE_URL`.
    Anthropic,
}

impl Model {
    /// Its name for the agent.
    fn name(self) -> &'static str {
        match self {
            Model::Played | Model::Openai => "openai:gpt-4o-mini",
            Model::Anthropic => "anthropic:claude-haiku-4-5",
        }
    }

    /// Who answers, for people.
    pub(super) const fn provider(self) -> &'static str {
        match self {
            Model::Played => "simulator",
            Model::Openai => "openai",
            Model::Anthropic => "anthropic",
        }
    }

    /// How many runs may ask it: a real one costs real money.
    fn runs_max(self) -> usize {
        if self == Model::Played { usize::MAX } else { 10 }
    }
}

impl Plan {
    /// What the run of this number is.
    pub(super) fn kind(&self, number: usize) -> Kind {
        match number % 3 {
            0 => Kind::Checkout,
            1 => Kind::Booking,
            _ if number / 3 < self.model.runs_max() => Kind::Research,
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
            text: format!("What should a captain know about {about}? Answer letter {number}."),
            model: self.model.name().to_owned(),
        }
    }

    /// What the editor says to an article: one in ten is turned down.
    pub(super) fn verdict(&self, workflow_id: &str) -> Approval {
        let number = workflow_id.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or(0);
        let approved = !self.draw(number, 4).is_multiple_of(10);
        let note = if approved { "" } else { "not for us" };
        Approval { approved, by: "the demo's editor".to_owned(), note: note.to_owned() }
    }

    /// A number that depends on seed, run and purpose, and looks like nothing of the kind.
    fn draw(&self, number: usize, what: u64) -> u64 {
        // The finalizer of SplitMix64.
        let mut z = self.seed.wrapping_mul(31).wrapping_add((number as u64) << 8 | what);
        z = z.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_one_in_ten_is_declined_and_one_in_ten_undeliverable() {
        for seed in 0..5 {
            let plan = Plan { seed, runs: 3_000, model: Model::Played };
            let orders: Vec<_> = (0..3_000).step_by(3).map(|number| plan.order(number)).collect();
            let share = |wanted: &dyn Fn(&checkout::Order) -> bool| {
                orders.iter().filter(|order| wanted(order)).count()
            };
            assert!((70..130).contains(&share(&|order| order.card != "tok_visa")), "seed {seed}");
            assert!((70..130).contains(&share(&|order| order.address == UNDELIVERABLE)), "seed {seed}");
        }
    }

    #[test]
    fn a_real_model_is_asked_by_few_runs() {
        let asked = |model| {
            (0..300).filter(|n| Plan { seed: 1, runs: 300, model }.kind(*n) == Kind::Research).count()
        };
        assert_eq!((asked(Model::Played), asked(Model::Openai)), (100, 10));
    }
}
