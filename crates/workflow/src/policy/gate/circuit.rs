//! Whether the target is down: opens after failures in a row over all runs, and lets one probe through now and then.

use std::time::Duration;

use super::{Admitted, GatePolicy};
use crate::Timestamp;

#[derive(Clone, Debug, Default)]
pub(super) struct Circuit {
    /// The failures of now, until an attempt that started after the first of them succeeds.
    series: Option<Series>,
    open: Option<Open>,
}

#[derive(Clone, Debug)]
struct Series {
    since: Timestamp,
    failures: u32,
    /// Attempts that started since then and have not ended: they may succeed yet.
    under_way: u32,
    before: Bore,
}

#[derive(Clone, Debug)]
struct Open {
    since: Timestamp,
    /// When the next probe may go.
    until: Timestamp,
    /// How long the wait before it is.
    wait: Duration,
    is_probing: bool,
}

/// What a target bore.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bore {
    /// Starts a second.
    pub(super) rate: f64,
    /// Attempts under way at once.
    pub(super) crowd: f64,
}

/// What an answer showed.
pub(super) enum Found {
    /// Nothing new.
    Same,
    /// The target was down and is up again; it bore this before.
    Up(Bore),
}

/// A series that is shorter must have four times as many failures: some calls at once may well fail together.
const SERIES_MIN: Duration = Duration::from_secs(1);

/// A probe that says nothing for so long is joined by another one: some answers take minutes.
const PROBE_PATIENCE: Duration = Duration::from_secs(10);

impl Circuit {
    /// Failures in a row.
    pub(super) fn failures(&self) -> u32 {
        self.series.as_ref().map_or(0, |series| series.failures)
    }

    /// When the next probe may go, if the circuit is open.
    pub(super) fn open_until(&self) -> Option<Timestamp> {
        self.open.as_ref().map(|open| open.until)
    }

    pub(super) fn is_probing(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.is_probing)
    }

    pub(super) fn enter(&mut self) {
        if let Some(series) = &mut self.series {
            series.under_way += 1;
        }
    }

    /// Lets a probe go.
    pub(super) fn probe(&mut self, now: Timestamp) {
        self.enter();
        if let Some(open) = &mut self.open {
            open.until = now + open.wait.max(PROBE_PATIENCE);
            open.is_probing = true;
        }
    }

    /// An attempt ended, however.
    pub(super) fn leave(&mut self, admitted: Admitted) {
        if let Some(series) = self.series.as_mut().filter(|series| admitted.at > series.since) {
            series.under_way = series.under_way.saturating_sub(1);
        }
    }

    /// The target gave an answer that it gives only if it is up.
    pub(super) fn answered(&mut self, admitted: Admitted) -> Found {
        // An attempt from before an outage may end well during it.
        let since = self.open.as_ref().map(|open| open.since);
        let since = since.or(self.series.as_ref().map(|series| series.since));
        if since.is_some_and(|since| admitted.at <= since) {
            return Found::Same;
        }
        let series = self.series.take();
        match self.open.take().and(series) {
            Some(series) => Found::Up(series.before),
            None => Found::Same,
        }
    }

    /// Counts a failure; `bore` is what the target bore until then, and `spread` a factor for the wait.
    pub(super) fn failed(
        &mut self,
        now: Timestamp,
        admitted: Admitted,
        bore: Bore,
        policy: &GatePolicy,
        spread: f64,
    ) {
        let fresh = || Series { since: now, failures: 0, under_way: 0, before: bore };
        let series = self.series.get_or_insert_with(fresh);
        series.failures = series.failures.saturating_add(1);
        if self.open.is_some() {
            return self.still_down(now, admitted, policy, spread);
        }
        let max = policy.failures_max.max(1);
        let is_enough = series.failures >= max && now.since(series.since) >= SERIES_MIN;
        let is_plenty = series.failures >= max.saturating_mul(4);
        if (is_enough || is_plenty) && series.under_way < series.failures {
            let wait = policy.probe_wait;
            self.open = Some(Open { since: now, until: now + wait.mul_f64(spread), wait, is_probing: false });
        }
    }

    /// A probe that got no answer in time has not found the target up. Otherwise silence says nothing: how long an
    /// attempt may take is its step's own choice.
    pub(super) fn still_down(
        &mut self,
        now: Timestamp,
        admitted: Admitted,
        policy: &GatePolicy,
        spread: f64,
    ) {
        let Some(open) = self.probed(admitted) else { return };
        open.wait = open.wait.mul_f64(1.5).min(policy.probe_wait_max.max(policy.probe_wait));
        open.until = now + open.wait.mul_f64(spread);
        open.is_probing = false;
    }

    /// An attempt was given up. If it was the probe, another one takes its place.
    pub(super) fn gave_back(&mut self, now: Timestamp, admitted: Admitted) {
        if let Some(open) = self.probed(admitted) {
            open.until = now;
            open.is_probing = false;
        }
    }

    /// The open circuit that this attempt was a probe of.
    fn probed(&mut self, admitted: Admitted) -> Option<&mut Open> {
        self.open.as_mut().filter(|open| admitted.is_probe && admitted.at > open.since)
    }
}
