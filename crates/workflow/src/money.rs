//! Exact money: no float ever holds an amount that is added up.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An amount of US dollars in whole pico-dollars (10⁻¹² USD), never negative.
///
/// One token of the cheapest models costs about 10,000 pico-dollars, so sums stay exact. Sums saturate at
/// 18.4 million dollars.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Money(u64);

const PICOS_PER_USD: u64 = 1_000_000_000_000;

impl Money {
    /// No money.
    pub const ZERO: Money = Money(0);
    /// The largest amount.
    pub const MAX: Money = Money(u64::MAX);

    /// An amount in pico-dollars.
    pub const fn from_picos(picos: u64) -> Self {
        Self(picos)
    }

    /// The amount in pico-dollars.
    pub const fn as_picos(self) -> u64 {
        self.0
    }

    /// An amount from whole cents.
    pub const fn from_cents(cents: u64) -> Self {
        Self(cents.saturating_mul(PICOS_PER_USD / 100))
    }

    /// The amount as a float, for charts and metrics only.
    #[allow(clippy::cast_precision_loss)]
    pub fn as_usd(self) -> f64 {
        self.0 as f64 / PICOS_PER_USD as f64
    }

    /// The cost of `count` units at this price a unit.
    pub const fn times(self, count: u64) -> Self {
        Self(self.0.saturating_mul(count))
    }

    /// What is left after taking `other` away, zero if that is more.
    pub const fn minus(self, other: Money) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Add for Money {
    type Output = Money;

    fn add(self, other: Money) -> Money {
        Money(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Money) {
        *self = *self + other;
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Money>>(amounts: I) -> Money {
        amounts.fold(Money::ZERO, Add::add)
    }
}

impl fmt::Display for Money {
    /// Dollars with as many decimals as the amount needs, at least two: `$0.62`, `$0.000135`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = format!("{:012}", self.0 % PICOS_PER_USD);
        let shown = decimals.trim_end_matches('0');
        write!(f, "${}.{:0<2}", self.0 / PICOS_PER_USD, shown)
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no amount of dollars.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an amount of dollars: expected e.g. `2`, `0.75` or `$1.50`, at most 12 decimals")]
pub struct InvalidMoney(String);

impl FromStr for Money {
    type Err = InvalidMoney;

    fn from_str(text: &str) -> Result<Self, InvalidMoney> {
        let invalid = || InvalidMoney(text.chars().take(64).collect());
        let number = text.trim().strip_prefix('$').unwrap_or(text.trim());
        let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || decimals.len() > 12 || !digits(whole) || !digits(decimals) {
            return Err(invalid());
        }
        let picos: u64 = format!("{decimals:0<12}").parse().map_err(|_| invalid())?;
        let usd: u64 = whole.parse().map_err(|_| invalid())?;
        usd.checked_mul(PICOS_PER_USD).and_then(|usd| usd.checked_add(picos)).map(Money).ok_or_else(invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_prints_and_parses_exactly() {
        for (text, picos) in
            [("$0.00", 0), ("$1.50", 1_500_000_000_000), ("$0.000135", 135_000_000), ("$0.000000000001", 1)]
        {
            assert_eq!(Money::from_picos(picos).to_string(), text);
            assert_eq!(text.parse(), Ok(Money::from_picos(picos)));
        }
    }

    #[test]
    fn a_text_that_is_no_amount_is_refused() {
        for bad in ["", "-1", "1e3", ".5", "1.0000000000001", "99999999999999999999"] {
            assert!(bad.parse::<Money>().is_err(), "{bad}");
        }
    }
}
