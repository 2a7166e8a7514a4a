//! Where a page of a list begins, so that any list can be read in pieces: the same for whoever shows pages of it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use midwatch_workflow::{Money, Timestamp};

use crate::{Order, RunQuery, RunSummary};

/// A place in a list of runs: what the last run before it is sorted by, and how many with the very same were given.
///
/// As text it is `KEY.SKIP`. It holds whatever is added to the journal meanwhile; a run whose place changes between two
/// pages, as those that are sorted by their last change do, may come twice or not at all.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Cursor {
    key: u64,
    skip: usize,
}

impl Cursor {
    /// The largest key, and the most runs with the very same key that are skipped: 18 and 6 digits.
    const KEY_MAX: u64 = 999_999_999_999_999_999;
    const SKIP_MAX: usize = 999_999;

    /// The place after these runs, the first of which came after `before`; `None` if there are none, or no further place.
    pub fn after(order: Order, before: Option<Self>, runs: &[RunSummary]) -> Option<Self> {
        let key = |run: &RunSummary| match order {
            Order::Newest | Order::Oldest => run.started_at.as_micros(),
            Order::Costliest => run.spent.cost.as_picos(),
            Order::Stalest => run.updated_at.as_micros(),
        };
        let last = key(runs.last()?);
        let same = runs.iter().rev().take_while(|run| key(run) == last).count();
        let before = before.filter(|before| before.key == last).map_or(0, |before| before.skip);
        let skip = same + before;
        (last <= Self::KEY_MAX && skip <= Self::SKIP_MAX).then_some(Self { key: last, skip })
    }
}

impl RunQuery {
    /// The same list from a place on, and what is to be skipped from there.
    #[must_use]
    pub fn from_cursor(mut self, cursor: Cursor) -> Self {
        let at = Timestamp::from_micros(cursor.key);
        self.skip = self.skip.saturating_add(cursor.skip);
        match self.order {
            Order::Newest => {
                let before = at + Duration::from_micros(1);
                self.started_before = Some(self.started_before.map_or(before, |known| known.min(before)));
            }
            Order::Oldest => self.started_from = Some(self.started_from.map_or(at, |known| known.max(at))),
            Order::Costliest => {
                let upto = Money::from_picos(cursor.key);
                self.cost_upto = Some(self.cost_upto.map_or(upto, |known| known.min(upto)));
            }
            Order::Stalest => self.updated_from = Some(self.updated_from.map_or(at, |known| known.max(at))),
        }
        self
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.key, self.skip)
    }
}

impl FromStr for Cursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = |text: &str| {
            let (key, skip) = text.split_once('.')?;
            let cursor = Self { key: key.parse().ok()?, skip: skip.parse().ok()? };
            (cursor.key <= Self::KEY_MAX && cursor.skip <= Self::SKIP_MAX).then_some(cursor)
        };
        // One text for each place.
        read(text)
            .filter(|cursor| cursor.to_string() == text)
            .ok_or_else(|| format!("`{text}` is no place in a list: take what the page before it gave"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_text_and_what_is_none_is_refused() {
        let cursor = Cursor { key: 1_790_000_000_000_000, skip: 3 };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for bad in
            ["", ".", "1", "1.", ".1", "-1.0", "+1.0", "01.0", "1.1000000", "1000000000000000000.0", "1.1.1"]
        {
            assert!(bad.parse::<Cursor>().is_err(), "{bad}");
        }
    }
}
