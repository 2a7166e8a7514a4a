//! Rate cards: what a token of a model costs in a minute, where that is all there is to its price.
//!
//! The tables know of tiers, dates and hours, and looking into them takes microseconds. A model that is called all the time
//! gets a card for the minute: rates that were found by asking the tables, and that give what the tables give for calls of
//! every size and mix that is tried. A price that is more than rates gets none, and the tables are asked each time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use midwatch_workflow::{Money, Timestamp, Usage};

use crate::usage::Report;

/// After so many calls in a minute a model gets its card: making it costs as much as asking so often.
const USES: u32 = 64;
/// So many models have cards at once.
const MODELS_MAX: usize = 1_000;
/// By this many tokens rates are found.
const MANY: u64 = 1_000_000;
/// Below, at and beyond the sizes at which price lists begin another tier.
const SIZES: [u64; 12] =
    [1, 7, 999, 32_001, 128_001, 200_000, 200_001, 256_001, 272_001, 512_001, 1_000_001, 5_000_000];

/// Pico-dollars a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Card {
    input: u64,
    cached: u64,
    cache_write: u64,
    output: u64,
}

impl Card {
    /// Finds the rates, if they are all there is to the price that `ask` tells.
    pub(crate) fn find(ask: impl Fn(Usage) -> Option<Money>) -> Option<Self> {
        let rate =
            |usage| Some(ask(usage)?.as_picos()).filter(|picos| picos % MANY == 0).map(|picos| picos / MANY);
        let input = Usage { input: MANY, ..Usage::default() };
        let card = Self {
            input: rate(input)?,
            cached: rate(Usage { cached: MANY, ..input })?,
            cache_write: rate(Usage { cache_write: MANY, ..input })?,
            output: rate(Usage { output: MANY, ..Usage::default() })?,
        };
        let holds = |usage| card.price(&usage) == ask(usage);
        let of_size = |size: u64| {
            let half =
                Usage { input: size, cached: size / 2, cache_write: size / 3, output: size / 5, ..input };
            [
                Usage { input: size, ..Usage::default() },
                Usage { output: size, ..Usage::default() },
                Usage { input: size, output: 11, ..Usage::default() },
                half,
            ]
        };
        SIZES.into_iter().flat_map(of_size).all(holds).then_some(card)
    }

    /// What so much costs; `None` if it is no usage that a card is for.
    pub(crate) fn price(&self, usage: &Usage) -> Option<Money> {
        let fresh = usage.input.checked_sub(usage.cached)?.checked_sub(usage.cache_write)?;
        let of = |count: u64, rate: u64| count.checked_mul(rate);
        let sum = of(fresh, self.input)?
            .checked_add(of(usage.cached, self.cached)?)?
            .checked_add(of(usage.cache_write, self.cache_write)?)?
            .checked_add(of(usage.output, self.output)?)?;
        Some(Money::from_picos(sum))
    }
}

/// The cards of the minute, by `provider:model`.
#[derive(Debug, Default)]
pub(crate) struct Cards(Mutex<HashMap<String, Slot>>);

#[derive(Debug, Default)]
struct Slot {
    minute: u64,
    uses: u32,
    /// `Some(None)` if the price is more than rates.
    card: Option<Option<Card>>,
}

impl Cards {
    /// The price by a card, if there is one, or one is due now; `ask` asks the tables.
    pub(crate) fn price(
        &self,
        target: &str,
        report: &Report,
        at: Timestamp,
        ask: impl Fn(Usage) -> Option<Money>,
    ) -> Option<Money> {
        if report.tier.is_some() || report.cache_write_1h > 0 || report.web_searches > 0 {
            return None;
        }
        let minute = at.as_micros() / 60_000_000;
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MODELS_MAX {
            slots.clear();
        }
        if !slots.contains_key(target) {
            slots.insert(target.to_owned(), Slot::default());
        }
        let slot = slots.get_mut(target)?;
        if slot.minute != minute {
            *slot = Slot { minute, ..Slot::default() };
        }
        slot.uses = slot.uses.saturating_add(1);
        if slot.uses < USES {
            return None;
        }
        let card = *slot.card.get_or_insert_with(|| Card::find(ask));
        drop(slots);
        card?.price(&report.usage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A price of $1, $0.50, $1.25 and $4 for a million tokens.
    fn plain(usage: Usage) -> Option<Money> {
        let Usage { input, cached, cache_write, output, .. } = usage;
        let fresh = input.checked_sub(cached + cache_write)?;
        Some(Money::from_picos(
            fresh * 1_000_000 + cached * 500_000 + cache_write * 1_250_000 + output * 4_000_000,
        ))
    }

    #[test]
    fn a_price_of_rates_gets_a_card_and_one_with_tiers_does_not() {
        let card = Card::find(plain).expect("rates");
        assert_eq!(
            card,
            Card { input: 1_000_000, cached: 500_000, cache_write: 1_250_000, output: 4_000_000 }
        );
        let tiered = |usage: Usage| {
            let twice = if usage.input > 200_000 { 2 } else { 1 };
            Some(Money::from_picos(plain(usage)?.as_picos() * twice))
        };
        assert_eq!(Card::find(tiered), None);
        assert_eq!(
            Card::find(|usage| plain(usage).map(|cost| cost + Money::from_picos(1))),
            None,
            "for each call"
        );
        assert_eq!(Card::find(|_| None), None);
    }

    #[test]
    fn a_card_is_for_a_minute_and_for_models_that_are_called_all_the_time() {
        let (cards, asked) = (Cards::default(), std::cell::Cell::new(0));
        let ask = |usage| {
            asked.set(asked.get() + 1);
            plain(usage)
        };
        let at = |second: u64| Timestamp::from_micros(second * 1_000_000);
        let report = Report { usage: Usage { input: 10, ..Usage::default() }, ..Report::default() };
        for call in 1..USES {
            assert_eq!(cards.price("a:b", &report, at(0), ask), None, "{call}");
        }
        assert_eq!(asked.get(), 0);
        for _ in 0..100 {
            assert_eq!(cards.price("a:b", &report, at(59), ask), Some(Money::from_picos(10_000_000)));
        }
        let once = asked.get();
        assert!(once > 0 && once < 100, "{once}");
        let flex = Report { tier: Some("flex".into()), ..report.clone() };
        assert_eq!(cards.price("a:b", &flex, at(59), ask), None);
        assert_eq!(cards.price("a:b", &report, at(60), ask), None, "prices may have changed");
        assert_eq!(cards.price("a:c", &report, at(59), ask), None);
    }
}
