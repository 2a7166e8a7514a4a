//! The price tables of this process.

use std::sync::OnceLock;

use midwatch_providers::Prices;

static PRICES: OnceLock<Prices> = OnceLock::new();

/// Sets the tables that `cx.llm` and `cx.http` price with, e.g. with a price file of your own. Call it once, at the start.
///
/// # Errors
/// Gives the tables back if others are in use already.
pub fn use_prices(prices: Prices) -> Result<(), Box<Prices>> {
    PRICES.set(prices).map_err(Box::new)
}

/// The tables in use: those of [`use_prices`], else the bundled ones.
pub fn prices() -> &'static Prices {
    PRICES.get_or_init(Prices::bundled)
}
