//! A price file of the user's own.

use std::collections::BTreeMap;

use midwatch_workflow::{Money, Usage};
use serde::Deserialize;

use super::{PriceError, Quote};

/// Prices by target, checked.
#[derive(Debug)]
pub(super) struct PriceFile {
    source: String,
    models: BTreeMap<String, Rates>,
}

/// Pico-dollars for a million tokens.
#[derive(Debug, Clone, Copy)]
struct Rates {
    input: Money,
    cached: Money,
    cache_write: Money,
    output: Money,
    call: Money,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    date: String,
    #[serde(default)]
    models: BTreeMap<String, RawRates>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRates {
    input: Amount,
    output: Amount,
    cached: Option<Amount>,
    cache_write: Option<Amount>,
    call: Option<Amount>,
}

/// Dollars as a string, or as a number; its shortest form is what the user wrote.
#[derive(Deserialize)]
#[serde(untagged)]
enum Amount {
    Text(String),
    Whole(u64),
    Number(f64),
}

impl Amount {
    fn money(&self) -> Option<Money> {
        match self {
            Amount::Text(text) => text.parse().ok(),
            Amount::Whole(number) => number.to_string().parse().ok(),
            Amount::Number(number) => number.to_string().parse().ok(),
        }
    }
}

impl PriceFile {
    pub(super) fn parse(text: &str) -> Result<Self, PriceError> {
        let raw: Raw = match text.trim_start().starts_with('{') {
            true => serde_json::from_str(text).map_err(|e| PriceError::Syntax(e.into()))?,
            false => toml::from_str(text).map_err(|e| PriceError::Syntax(e.into()))?,
        };
        let models = raw.models.into_iter().map(|(model, rates)| {
            let rates = rates.check(&model)?;
            Ok((model, rates))
        });
        Ok(Self { source: format!("price file {}", raw.date), models: models.collect::<Result<_, _>>()? })
    }

    pub(super) fn quote(&self, target: &str, usage: &Usage) -> Option<Quote> {
        let rates = self.rates(target)?;
        Some(Quote { cost: rates.cost(usage), source: self.source.clone() })
    }

    /// The rates of this very name, else of the longest pattern that fits.
    fn rates(&self, target: &str) -> Option<&Rates> {
        self.models.get(target).or_else(|| {
            let patterns = self.models.iter().filter_map(|(name, rates)| {
                let start = name.strip_suffix('*')?;
                target.starts_with(start).then_some((start.len(), rates))
            });
            patterns.max_by_key(|(length, _)| *length).map(|(_, rates)| rates)
        })
    }
}

impl RawRates {
    fn check(self, model: &str) -> Result<Rates, PriceError> {
        let money = |amount: &Amount, field| {
            amount.money().ok_or_else(|| PriceError::Amount { model: model.to_owned(), field })
        };
        let or = |amount: &Option<Amount>, field, default| {
            amount.as_ref().map_or(Ok(default), |amount| money(amount, field))
        };
        let input = money(&self.input, "input")?;
        Ok(Rates {
            input,
            output: money(&self.output, "output")?,
            cached: or(&self.cached, "cached", input)?,
            cache_write: or(&self.cache_write, "cache_write", input)?,
            call: or(&self.call, "call", Money::ZERO)?,
        })
    }
}

impl Rates {
    /// Rounds once, to the nearest pico-dollar.
    fn cost(&self, usage: &Usage) -> Money {
        let plain = usage.input.saturating_sub(usage.cached).saturating_sub(usage.cache_write);
        let tokens = [
            (plain, self.input),
            (usage.cached, self.cached),
            (usage.cache_write, self.cache_write),
            (usage.output, self.output),
        ];
        let sum: u128 =
            tokens.iter().map(|(count, rate)| u128::from(*count) * u128::from(rate.as_picos())).sum();
        let picos = u64::try_from((sum + 500_000) / 1_000_000).unwrap_or(u64::MAX);
        Money::from_picos(picos) + self.call.times(usage.calls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(file: &str, target: &str) -> Option<String> {
        let usage = Usage { input: 1_000_000, output: 1, ..Usage::default() };
        PriceFile::parse(file).expect("valid").quote(target, &usage).map(|quote| quote.cost.to_string())
    }

    #[test]
    fn toml_and_json_say_the_same_and_numbers_are_taken_as_written() {
        let toml = "date = \"2026-11-01\"\n[models.\"a:b\"]\ninput = 0.1\noutput = \"2\"";
        let json = r#"{"date": "2026-11-01", "models": {"a:b": {"input": "0.1", "output": 2}}}"#;
        for file in [toml, json] {
            assert_eq!(cost(file, "a:b").as_deref(), Some("$0.100002"));
        }
    }

    #[test]
    fn the_longest_pattern_wins_and_the_very_name_before_all() {
        let file = r#"{"date": "d", "models": {
            "a:*": {"input": 1, "output": 0}, "a:b*": {"input": 2, "output": 0}, "a:bc": {"input": 3, "output": 0}}}"#;
        for (target, expected) in
            [("a:x", Some("$1.00")), ("a:bx", Some("$2.00")), ("a:bc", Some("$3.00")), ("x:bc", None)]
        {
            assert_eq!(cost(file, target).as_deref(), expected, "{target}");
        }
    }

    #[test]
    fn a_wrong_file_is_refused_by_name() {
        let error = |file| PriceFile::parse(file).expect_err("wrong").to_string();
        let wrong = r#"{"date": "d", "models": {"a:b": {"input": "cheap", "output": 0}}}"#;
        assert_eq!(error(wrong), "price file: a:b: input is not an amount of dollars for a million tokens");
        for file in ["{", "x = 1", r#"{"date": "d", "models": {"a:b": {"input": -1, "output": 0}}}"#] {
            assert!(error(file).starts_with("price file"), "{file}");
        }
    }
}
