//! Durations and amounts, as people write them.

use std::time::Duration;

use midwatch_workflow::Money;
use serde::{Deserialize, Deserializer};

/// A duration such as `"90s"` or `"5m"`.
pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text)
        .map_err(|_| serde::de::Error::custom(format!("`{text}` is no duration such as \"90s\" or \"5m\"")))
}

/// An amount such as `"1.00"`.
pub(super) fn money<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Money>, D::Error> {
    /// An amount in quotes is exact; a variable of the environment has none.
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected an amount such as \"1.00\"")]
    enum Amount {
        Text(String),
        Whole(u64),
        Decimal(f64),
    }
    let text = match Amount::deserialize(deserializer)? {
        Amount::Text(text) => text,
        Amount::Whole(dollars) => dollars.to_string(),
        Amount::Decimal(dollars) => dollars.to_string(),
    };
    text.parse()
        .map(Some)
        .map_err(|_| serde::de::Error::custom(format!("`{text}` is no amount such as \"1.00\"")))
}
