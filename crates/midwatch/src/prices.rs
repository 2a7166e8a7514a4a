//! The price tables of this process.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use midwatch_providers::{PriceError, Prices, Report};
use midwatch_workflow::Charge;
use tokio::task::AbortHandle;

use crate::http::now;

static PRICES: LazyLock<RwLock<Arc<Prices>>> = LazyLock::new(|| RwLock::new(Arc::new(Prices::bundled())));

/// How often a price file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Sets the tables that `cx.llm` and `cx.http` price with from now on; what is booked already stays as it is.
pub fn use_prices(prices: Prices) {
    *PRICES.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(prices);
}

/// The tables in use: those of [`use_prices`], else the bundled ones.
pub fn prices() -> Arc<Prices> {
    Arc::clone(&PRICES.read().unwrap_or_else(PoisonError::into_inner))
}

/// Prices a charge of which nothing but its usage is known.
pub(crate) fn priced(charge: Charge) -> Charge {
    let report = Report { usage: charge.usage, ..Report::default() };
    prices().price(charge, &report, now())
}

/// Why a price file is not used.
#[derive(Debug, thiserror::Error)]
pub enum PriceFileError {
    /// It cannot be read.
    #[error("[MW0106] price file {} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It does not say prices.
    #[error("[MW0106] price file {} is not used", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: PriceError,
    },
}

/// Uses a price file, of the form that [`Prices::with_file`] describes, before the bundled tables.
///
/// # Errors
/// [`PriceFileError`]; the tables in use stay then.
pub fn use_price_file(path: &Path) -> Result<(), PriceFileError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| PriceFileError::Read { path: path.to_owned(), source })?;
    let prices = Prices::bundled().with_file(&text);
    use_prices(prices.map_err(|source| PriceFileError::Invalid { path: path.to_owned(), source })?);
    Ok(())
}

/// Looks after a price file until it is dropped: when the file changes, its prices are used from then on.
pub(crate) struct Watch(AbortHandle);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Uses a price file now and whenever it changes. A change for the worse is reported, and the last good prices stay.
pub(crate) fn watch(path: PathBuf) -> Result<Watch, PriceFileError> {
    let mut seen = modified(&path);
    use_price_file(&path)?;
    let task = tokio::spawn(async move {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let path = path.clone();
            let looked = tokio::task::spawn_blocking(move || refresh(&path, seen)).await;
            seen = looked.unwrap_or(seen);
        }
    });
    Ok(Watch(task.abort_handle()))
}

/// Uses the file if it is another than the one that was seen; gives what it has seen now.
fn refresh(path: &Path, seen: Option<SystemTime>) -> Option<SystemTime> {
    let now = modified(path);
    if now != seen {
        match use_price_file(path) {
            Ok(()) => tracing::info!(path = %path.display(), "price file has changed and is used"),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the last good prices stay in use")
            }
        }
    }
    now
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|file| file.modified()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use midwatch_providers::Report;
    use midwatch_workflow::{Timestamp, Usage};

    fn price(target: &str) -> Option<String> {
        let report = Report { usage: Usage { input: 1_000_000, ..Usage::default() }, ..Report::default() };
        let quote = prices().quote(target, &report, Timestamp::from_micros(0))?;
        Some(format!("{} by {}", quote.cost, quote.source))
    }

    fn file(date: &str, input: &str) -> String {
        format!("date = \"{date}\"\n[models.\"own:model\"]\ninput = \"{input}\"\noutput = 0\n")
    }

    #[test]
    fn a_changed_file_is_used_and_a_broken_one_leaves_the_last_good_prices() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("prices.toml");
        assert!(matches!(use_price_file(&path), Err(PriceFileError::Read { .. })));
        std::fs::write(&path, file("2026-11-01", "3")).expect("written");
        use_price_file(&path).expect("used");
        assert_eq!(price("own:model").as_deref(), Some("$3.00 by price file 2026-11-01"));
        std::fs::write(&path, file("2026-11-02", "4")).expect("written");
        let seen = modified(&path);
        refresh(&path, seen);
        assert_eq!(
            price("own:model").as_deref(),
            Some("$3.00 by price file 2026-11-01"),
            "not looked at again"
        );
        refresh(&path, None);
        assert_eq!(price("own:model").as_deref(), Some("$4.00 by price file 2026-11-02"));
        std::fs::write(&path, "date = 5").expect("written");
        refresh(&path, None);
        assert_eq!(price("own:model").as_deref(), Some("$4.00 by price file 2026-11-02"));
        assert_eq!(price("own:other"), None, "an unknown model is unpriced");
    }
}
