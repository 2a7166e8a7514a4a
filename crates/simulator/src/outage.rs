//! When everything is down, and what that looks like from outside.

use std::sync::Mutex;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::sync::locked;

/// What a client meets while a provider is down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outage {
    /// The front answers 503 without a `Retry-After`.
    #[default]
    Unavailable,
    /// The connection is reset before a byte of answer.
    Refused,
}

/// A planned outage, in milliseconds after the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutageWindow {
    /// The first millisecond that is down.
    pub from_ms: u64,
    /// The first millisecond that is up again.
    pub to_ms: u64,
    /// What a client meets.
    #[serde(default)]
    pub outage: Outage,
}

/// Planned windows, and the switch that overrules them.
#[derive(Debug)]
pub(crate) struct Outages {
    windows: Vec<OutageWindow>,
    switched: Mutex<Option<(Outage, Duration)>>,
}

impl Outages {
    pub(crate) fn new(windows: Vec<OutageWindow>) -> Self {
        Outages { windows, switched: Mutex::new(None) }
    }

    /// Goes down until `until` (time since start).
    pub(crate) fn switch_on(&self, outage: Outage, until: Duration) {
        *locked(&self.switched) = Some((outage, until));
    }

    /// Comes up again; planned windows still hold.
    pub(crate) fn switch_off(&self) {
        *locked(&self.switched) = None;
    }

    /// What is down at `now`, if anything.
    pub(crate) fn at(&self, now: Duration) -> Option<Outage> {
        if let Some((outage, until)) = *locked(&self.switched)
            && now < until
        {
            return Some(outage);
        }
        let now = now.as_millis();
        self.windows
            .iter()
            .find(|w| u128::from(w.from_ms) <= now && now < u128::from(w.to_ms))
            .map(|w| w.outage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_holds_from_its_first_to_before_its_last_millisecond() {
        let outages =
            Outages::new(vec![OutageWindow { from_ms: 10, to_ms: 20, outage: Outage::Unavailable }]);
        let down = |ms| outages.at(Duration::from_millis(ms)).is_some();
        assert_eq!([9, 10, 19, 20].map(down), [false, true, true, false]);
    }

    #[test]
    fn the_switch_overrules_until_it_runs_out_or_is_turned_back() {
        let outages = Outages::new(Vec::new());
        outages.switch_on(Outage::Refused, Duration::from_secs(5));
        assert_eq!(outages.at(Duration::from_secs(4)), Some(Outage::Refused));
        assert_eq!(outages.at(Duration::from_secs(5)), None);
        outages.switch_on(Outage::Refused, Duration::MAX);
        outages.switch_off();
        assert_eq!(outages.at(Duration::from_secs(1)), None);
    }
}
