//! What usage costs: exact, dated, and unpriced rather than zero where no price is known.
//!
//! Prices come from the `genai-prices` tables (cached, cache-write, one-hour cache, tiered and dated prices) or from a
//! price file of the user's own, which wins. The tables compute in floats; each call's cost is rounded once to whole
//! pico-dollars, which is exact: published prices are whole pico-dollars a token, and a float holds a call of a thousand
//! dollars to a tenth of one. From there on only integers are added.

mod card;
mod file;

use std::time::{Duration, UNIX_EPOCH};

use genai_prices::{Calculator, PriceRequest, Usage as Counts, UsageKey};
use midwatch_workflow::{Charge, Money, Timestamp, Usage};

use crate::usage::Report;
use card::Cards;
use file::PriceFile;

/// The version of the bundled tables, and the newest date on which they know of a changed price.
pub const BUNDLED: &str = "genai-prices 0.2.1 (2026-10-19)";

/// A price file or table that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PriceError {
    /// The file is not TOML, or JSON, of the expected form.
    #[error("price file is not readable")]
    Syntax(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A price is no amount of dollars.
    #[error("price file: {model}: {field} is not an amount of dollars for a million tokens")]
    Amount {
        /// The target whose price it is.
        model: String,
        /// The field.
        field: &'static str,
    },
    /// A table in the form of genai-prices cannot be read.
    #[error("price table is not readable")]
    Table(#[source] genai_prices::Error),
}

/// What usage costs, by target.
#[derive(Debug, Default)]
pub struct Prices {
    /// A newer table than the bundled one, and its name.
    table: Option<(Calculator, String)>,
    own: Option<PriceFile>,
    cards: Cards,
}

/// A cost and where it comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quote {
    /// The cost.
    pub cost: Money,
    /// The table and its date.
    pub source: String,
}

impl Prices {
    /// The bundled tables.
    pub fn bundled() -> Self {
        Self::default()
    }

    /// Decodes the bundled tables now: that takes tens of milliseconds (ten times that in a debug build), which would
    /// otherwise fall on the first priced call.
    pub fn warm() {
        let _ = Calculator::bundled();
    }

    /// Uses a newer table in the form of `genai-prices` (its `data.json`) instead of the bundled one; `name` is how
    /// charges refer to it, with its date.
    ///
    /// # Errors
    /// [`PriceError::Table`] if it is not in that form.
    pub fn with_table(self, json: &[u8], name: impl Into<String>) -> Result<Self, PriceError> {
        let table = Calculator::from_json(json).map_err(PriceError::Table)?;
        Ok(Self { table: Some((table, name.into())), ..self })
    }

    /// Lets a price file of the user's own win over the tables; TOML, or JSON of the same shape. Prices are dollars for a
    /// million tokens. A name that ends in `*` stands for all that begin so; the longest match wins.
    ///
    /// ```
    /// use midwatch_providers::{Prices, Report};
    /// use midwatch_workflow::{Timestamp, Usage};
    ///
    /// let prices = Prices::bundled().with_file(r#"
    ///     date = "2026-11-01"
    ///     [models."openai:our-tuned-*"]
    ///     input = "3.00"
    ///     cached = "1.50"       # read from a cache; as `input` if it is not given
    ///     cache_write = "3.75"  # written to a cache; as `input` if it is not given
    ///     output = "12"
    ///     call = "0.01"         # for each call, on top
    /// "#)?;
    /// let usage = Usage { calls: 1, input: 1_000_000, cached: 500_000, output: 10, ..Usage::default() };
    /// let report = Report { usage, ..Report::default() };
    /// let quote = prices.quote("openai:our-tuned-7", &report, Timestamp::from_micros(0)).unwrap();
    /// assert_eq!(quote.cost.to_string(), "$2.26012");
    /// assert_eq!(quote.source, "price file 2026-11-01");
    /// # Ok::<(), midwatch_providers::PriceError>(())
    /// ```
    ///
    /// # Errors
    /// [`PriceError::Syntax`] or [`PriceError::Amount`].
    pub fn with_file(self, text: &str) -> Result<Self, PriceError> {
        Ok(Self { own: Some(PriceFile::parse(text)?), ..self })
    }

    /// What a call to `target` (`provider:model`) costs at the prices of `at`; `None` if no price is known.
    ///
    /// The model that answered, where the report names it, is tried first: it is the dated one that is billed.
    pub fn quote(&self, target: &str, report: &Report, at: Timestamp) -> Option<Quote> {
        let (provider, model) = target.split_once(':')?;
        let answered = report.model.as_deref().filter(|answered| *answered != model);
        answered.into_iter().chain([model]).find_map(|model| self.quote_model(provider, model, report, at))
    }

    fn quote_model(&self, provider: &str, model: &str, report: &Report, at: Timestamp) -> Option<Quote> {
        let target = format!("{provider}:{model}");
        if let Some(quote) = self.own.as_ref().and_then(|own| own.quote(&target, &report.usage)) {
            return Some(quote);
        }
        let (calculator, source) = match &self.table {
            Some((table, name)) => (table, name.as_str()),
            None => (Calculator::bundled(), BUNDLED),
        };
        let provider = if provider == "gemini" { "google" } else { provider };
        let ask = |report: &Report| of_tables(calculator, provider, model, report, at);
        let of = |usage| ask(&Report { usage, ..Report::default() });
        let cost = self.cards.price(&target, report, at, of).or_else(|| ask(report))?;
        Some(Quote { cost, source: source.to_owned() })
    }

    /// Puts the price on a charge that has none; leaves it unpriced if none is known.
    #[must_use]
    pub fn price(&self, charge: Charge, report: &Report, at: Timestamp) -> Charge {
        if charge.cost.is_some() {
            return charge;
        }
        match self.quote(&charge.target, report, at) {
            Some(Quote { cost, source }) => Charge { cost: Some(cost), price: Some(source), ..charge },
            None => charge,
        }
    }
}

/// What the tables say; `None` if they know no price.
fn of_tables(
    calculator: &Calculator,
    provider: &str,
    model: &str,
    report: &Report,
    at: Timestamp,
) -> Option<Money> {
    let counts = counts(report);
    let time = UNIX_EPOCH + Duration::from_micros(at.as_micros());
    let mut request = PriceRequest::new(model, &counts).with_provider_id(provider).with_timestamp(time);
    if let Some(tier) = &report.tier {
        request = request.with_price_context("service_tier", tier);
    }
    picos(calculator.calculate(&request).ok()?.total_price)
}

/// Prices a charge of which nothing but its usage is known, with the bundled tables.
pub fn price_bundled(charge: Charge, at: Timestamp) -> Charge {
    let report = Report { usage: charge.usage, ..Report::default() };
    Prices::bundled().price(charge, &report, at)
}

#[allow(clippy::cast_precision_loss)] // Token counts are far below 2^53.
fn counts(report: &Report) -> Counts {
    let Usage { input, output, cached, cache_write, .. } = report.usage;
    let mut counts = Counts::new();
    for (key, count) in [
        (UsageKey::INPUT_TOKENS, input),
        (UsageKey::OUTPUT_TOKENS, output),
        (UsageKey::from("cache_read_tokens"), cached),
        (UsageKey::from("cache_write_tokens"), cache_write),
        (UsageKey::from("cache_write_1h_tokens"), report.cache_write_1h.min(cache_write)),
        (UsageKey::from("web_searches"), report.web_searches),
    ] {
        if count > 0 {
            counts.insert(key, count as f64);
        }
    }
    counts
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Checked to be in range.
fn picos(usd: f64) -> Option<Money> {
    let picos = (usd * 1e12).round();
    (picos.is_finite() && (0.0..1.8e19).contains(&picos)).then(|| Money::from_picos(picos as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-01.
    const NOW: Timestamp = Timestamp::from_micros(1_793_491_200_000_000);

    fn report(usage: Usage) -> Report {
        Report { usage, ..Report::default() }
    }

    fn cost(target: &str, usage: Usage) -> Option<String> {
        Prices::bundled().quote(target, &report(usage), NOW).map(|quote| quote.cost.to_string())
    }

    #[test]
    fn well_known_models_cost_what_their_price_lists_say() {
        let usage = Usage { calls: 1, input: 1_000, output: 100, cached: 400, ..Usage::default() };
        // 600 × $2.50 + 400 × $1.25 + 100 × $10, each for a million.
        assert_eq!(cost("openai:gpt-4o", usage).as_deref(), Some("$0.003"));
        // 600 × $3 + 400 × $0.30 + 100 × $15.
        assert_eq!(cost("anthropic:claude-sonnet-4-5", usage).as_deref(), Some("$0.00342"));
        let long = Usage { input: 300_000, output: 10, ..Usage::default() };
        // Above 200,000 tokens of input: 300,000 × $6 + 10 × $22.50.
        assert_eq!(cost("anthropic:claude-sonnet-4-5", long).as_deref(), Some("$1.800225"));
        let write = Usage { input: 1_000, cache_write: 1_000, ..Usage::default() };
        assert_eq!(cost("anthropic:claude-sonnet-4-5", write).as_deref(), Some("$0.00375"));
    }

    #[test]
    fn a_cache_write_for_an_hour_costs_more() {
        let usage = Usage { input: 1_000, cache_write: 1_000, ..Usage::default() };
        let hour = Report { cache_write_1h: 1_000, ..report(usage) };
        let quote = Prices::bundled().quote("anthropic:claude-sonnet-4-5", &hour, NOW).expect("priced");
        assert_eq!(quote.cost.to_string(), "$0.006");
    }

    #[test]
    fn the_service_tier_that_was_billed_decides() {
        let usage = Usage { input: 1_000_000, output: 1_000_000, ..Usage::default() };
        let flex = Report { tier: Some("flex".into()), ..report(usage) };
        let quote = Prices::bundled().quote("openai:o3", &flex, NOW).expect("priced");
        assert_eq!(quote.cost.to_string(), "$5.00");
        assert_eq!(cost("openai:o3", usage).as_deref(), Some("$10.00"));
    }

    #[test]
    fn an_unknown_model_is_unpriced_and_never_free() {
        let usage = Usage { input: 10, ..Usage::default() };
        for target in ["openai:no-such-model", "nobody:gpt-4o", "gpt-4o", "", ":"] {
            assert_eq!(cost(target, usage), None, "{target}");
        }
        let charge = Charge { target: "openai:no-such-model".into(), usage, ..Charge::default() };
        assert_eq!(price_bundled(charge.clone(), NOW), charge);
    }

    #[test]
    fn whoever_is_asked_often_gives_what_the_tables_give_for_every_model() {
        let mut cards = 0;
        for provider in Calculator::bundled().providers() {
            for model in provider.models() {
                let ask =
                    |usage| of_tables(Calculator::bundled(), provider.id(), model.id(), &report(usage), NOW);
                let Some(card) = card::Card::find(ask) else { continue };
                cards += 1;
                for size in [3, 1_234, 31_999, 127_000, 199_999, 260_000, 900_000, 3_141_592] {
                    for (cached, output) in [(0, 0), (size / 3, size / 7), (size - 1, 2), (0, size)] {
                        let usage = Usage { input: size, cached, output, ..Usage::default() };
                        assert_eq!(
                            card.price(&usage),
                            ask(usage),
                            "{}:{} {usage:?}",
                            provider.id(),
                            model.id()
                        );
                    }
                }
            }
        }
        assert!(cards > 500, "{cards} models have cards");
        let prices = Prices::bundled();
        for input in 1..200 {
            let usage = Usage { input, output: 2 * input, ..Usage::default() };
            let quote = prices.quote("openai:gpt-4o-mini", &report(usage), NOW).expect("priced");
            // $0.15 and $0.60 for a million.
            assert_eq!(quote.cost.as_picos(), input * 150_000 + 2 * input * 600_000);
        }
    }

    #[test]
    fn costs_of_parts_add_up_to_the_cost_of_the_whole() {
        for provider in
            Calculator::bundled().providers().filter(|p| ["openai", "anthropic"].contains(&p.id()))
        {
            for model in provider.models() {
                let target = format!("{}:{}", provider.id(), model.id());
                let picos = |input: u64, output: u64| {
                    let usage = Usage { input, output, ..Usage::default() };
                    let quote = Prices::bundled().quote(&target, &report(usage), NOW)?;
                    Some(quote.cost.as_picos())
                };
                let Some(one) = picos(7, 3) else { continue };
                assert_eq!(picos(7_000, 3_000), Some(1_000 * one), "{target}");
            }
        }
    }

    #[test]
    fn a_charge_says_where_its_price_comes_from() {
        let usage = Usage { input: 10, ..Usage::default() };
        let charge = Charge { target: "openai:gpt-4o".into(), usage, ..Charge::default() };
        let priced = price_bundled(charge, NOW);
        assert_eq!(priced.price.as_deref(), Some(BUNDLED));
        assert_eq!(priced.cost, Some(Money::from_picos(25_000_000)));
    }

    #[test]
    fn the_name_of_the_bundled_tables_is_that_of_the_locked_version() {
        let lock = include_str!("../../../../Cargo.lock");
        let entry = lock.split("name = \"genai-prices\"\nversion = \"").nth(1).expect("is locked");
        let version = entry.split('"').next().expect("has a version");
        assert!(BUNDLED.starts_with(&format!("genai-prices {version} (")), "{version}");
    }
}
