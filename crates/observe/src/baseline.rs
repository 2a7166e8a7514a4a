//! What is usual for a workflow: the spread of what its other runs took, cost and did.

use std::collections::BTreeMap;
use std::ops::Add;
use std::time::Duration;

use midwatch_workflow::Money;
use serde::{Deserialize, Serialize};

use crate::cost::{Booking, sum};
use crate::profile::{Part, Profile};
use crate::run::{Run, Status};

/// With fewer runs than this nothing is called unusual.
pub const RUNS_MIN: u64 = 5;

/// How a figure is spread over runs, by nearest rank.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Spread<T> {
    /// Over how many.
    pub n: u64,
    /// Half of them are at most this.
    pub median: T,
    /// 95 % of them are at most this.
    pub p95: T,
}

impl<T: Ord + Copy> Spread<T> {
    /// Sorts the values and reads the ranks; `None` if there are none.
    pub fn of(mut values: Vec<T>) -> Option<Self> {
        values.sort_unstable();
        let rank = |percent: usize| values.get((values.len() * percent).div_ceil(100).max(1) - 1).copied();
        Some(Self { n: values.len() as u64, median: rank(50)?, p95: rank(95)? })
    }

    /// The spread of what is usual: without what lies beyond three medians, if that is less than a fifth of the values.
    /// Incidents do not make themselves usual; what happens more often than that is.
    pub fn usual(values: Vec<T>) -> Option<Self>
    where
        T: Add<Output = T>,
    {
        let whole = Self::of(values.clone())?;
        let line = whole.median + whole.median + whole.median;
        let near: Vec<T> = values.iter().copied().filter(|value| *value <= line).collect();
        if near.len() * 5 > values.len() * 4 { Self::of(near) } else { Some(whole) }
    }

    /// The spread, if enough runs make it up.
    pub fn if_enough(self) -> Option<Self> {
        (self.n >= RUNS_MIN).then_some(self)
    }
}

/// What is usual for a workflow.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Baselines {
    /// From start to end.
    pub elapsed: Option<Spread<Duration>>,
    /// In dollars, where everything was priced.
    pub cost: Option<Spread<Money>>,
    /// The part of it that failed attempts cost.
    pub wasted: Option<Spread<Money>>,
    /// Steps that succeeded.
    pub steps: Option<Spread<u64>>,
    /// How many of the runs were looked at event by event; what follows is known from them alone.
    pub looked_at: u64,
    /// The median time of each part; parts that are not there are usually nothing.
    pub time: BTreeMap<Part, Duration>,
    /// By step name.
    pub step: BTreeMap<String, StepBaseline>,
    /// Waits for signals, by name.
    pub signals: BTreeMap<String, Spread<Duration>>,
    /// Sleeps.
    pub sleeps: Option<Spread<Duration>>,
    /// Child runs.
    pub children: Option<Spread<u64>>,
    /// Attempts side by side.
    pub at_once: Option<Spread<u64>>,
    /// Paid calls.
    pub calls: Option<Spread<u64>>,
    /// Tokens of a run, input and output.
    pub tokens: Option<Spread<u64>>,
    /// Which share of the input tokens came from a cache, 0 to 1.
    pub cached: f64,
    /// Which share of the tokens went to which party, 0 to 1.
    pub targets: BTreeMap<String, f64>,
}

/// What is usual for one step.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct StepBaseline {
    /// How often a run uses it.
    pub uses: Option<Spread<u64>>,
    /// How long an attempt takes that ends well.
    pub took: Option<Spread<Duration>>,
    /// Tokens of one call.
    pub tokens_per_call: Option<Spread<u64>>,
    /// What one call costs.
    pub cost_per_call: Option<Spread<Money>>,
}

impl Baselines {
    /// Learns from runs that completed: `runs` as lists show them, `profiles` of as many of them as were looked at.
    pub fn of(runs: &[&Run], profiles: &[&Profile]) -> Self {
        let completed = || runs.iter().filter(|run| run.status == Status::Completed);
        let elapsed = completed().filter_map(|run| Some(run.ended_at?.since(run.started_at))).collect();
        let priced = || completed().filter(|run| run.spent.unpriced == 0 && run.spent.cost > Money::ZERO);
        let bookings = || profiles.iter().flat_map(|profile| &profile.bookings);
        Self {
            elapsed: Spread::usual(elapsed),
            cost: Spread::usual(priced().map(|run| run.spent.cost).collect()),
            wasted: Spread::usual(priced().map(|run| run.wasted).collect()),
            steps: Spread::usual(completed().map(|run| run.steps).collect()),
            looked_at: profiles.len() as u64,
            time: usual_time(profiles),
            step: usual_steps(profiles),
            signals: usual_signals(profiles),
            sleeps: Spread::usual(profiles.iter().flat_map(|profile| profile.sleeps.clone()).collect()),
            children: Spread::usual(profiles.iter().map(|profile| profile.children).collect()),
            at_once: Spread::usual(profiles.iter().map(|profile| profile.at_once).collect()),
            calls: Spread::usual(profiles.iter().map(|profile| calls(&profile.bookings)).collect()),
            tokens: Spread::usual(
                profiles.iter().map(|profile| sum(&profile.bookings).usage.tokens()).collect(),
            ),
            cached: cached_share(bookings()),
            targets: target_shares(bookings()),
        }
    }

    /// How many runs stand behind it.
    pub fn runs(&self) -> u64 {
        self.elapsed.map_or(0, |elapsed| elapsed.n)
    }

    /// The usual time of a part.
    pub fn part(&self, part: Part) -> Duration {
        self.time.get(&part).copied().unwrap_or_default()
    }
}

/// All calls among bookings. What says nothing of calls was one.
pub(crate) fn calls<'b>(bookings: impl IntoIterator<Item = &'b Booking>) -> u64 {
    bookings.into_iter().map(|booking| booking.usage.calls.max(1)).sum()
}

/// The tokens of one call of a booking.
pub(crate) fn tokens_per_call(booking: &Booking) -> Option<u64> {
    Some(booking.usage.tokens() / booking.usage.calls.max(1)).filter(|tokens| *tokens > 0)
}

/// Which share of the input tokens came from a cache.
#[allow(clippy::cast_precision_loss)] // a share needs no more
pub(crate) fn cached_share<'b>(bookings: impl Iterator<Item = &'b Booking>) -> f64 {
    let (mut cached, mut input) = (0u64, 0u64);
    for booking in bookings {
        cached += booking.usage.cached;
        input += booking.usage.input;
    }
    if input == 0 { 0.0 } else { cached as f64 / input as f64 }
}

/// Which share of the tokens went to which party.
#[allow(clippy::cast_precision_loss)] // a share needs no more
pub(crate) fn target_shares<'b>(bookings: impl Iterator<Item = &'b Booking>) -> BTreeMap<String, f64> {
    let mut tokens: BTreeMap<String, u64> = BTreeMap::new();
    for booking in bookings {
        *tokens.entry(booking.target.clone()).or_default() += booking.usage.tokens();
    }
    let all = tokens.values().sum::<u64>().max(1);
    tokens.into_iter().map(|(target, tokens)| (target, tokens as f64 / all as f64)).collect()
}

fn usual_time(profiles: &[&Profile]) -> BTreeMap<Part, Duration> {
    let parts: std::collections::BTreeSet<Part> =
        profiles.iter().flat_map(|profile| profile.time.keys().copied()).collect();
    let median = |part: Part| {
        Spread::usual(profiles.iter().map(|profile| profile.part(part)).collect()).map(|spread| spread.median)
    };
    parts.into_iter().filter_map(|part| Some((part, median(part)?))).collect()
}

fn usual_steps(profiles: &[&Profile]) -> BTreeMap<String, StepBaseline> {
    let names: std::collections::BTreeSet<&String> =
        profiles.iter().flat_map(|profile| profile.steps.keys()).collect();
    let of = |name: &String| {
        let steps = || profiles.iter().filter_map(|profile| profile.steps.get(name));
        let bookings = || {
            let all = profiles.iter().flat_map(|profile| &profile.bookings);
            all.filter(|booking| booking.step == *name && booking.failed.is_none())
        };
        let per_call = |booking: &Booking| {
            Some(Money::from_picos(booking.cost?.as_picos() / booking.usage.calls.max(1)))
        };
        StepBaseline {
            // A run that does without it uses it zero times.
            uses: Spread::usual(
                profiles.iter().map(|p| p.steps.get(name).map_or(0, |step| step.uses)).collect(),
            ),
            took: Spread::usual(steps().flat_map(|step| step.took.iter().copied()).collect()),
            tokens_per_call: Spread::usual(bookings().filter_map(tokens_per_call).collect()),
            cost_per_call: Spread::usual(bookings().filter_map(per_call).collect()),
        }
    };
    names.into_iter().map(|name| (name.clone(), of(name))).collect()
}

fn usual_signals(profiles: &[&Profile]) -> BTreeMap<String, Spread<Duration>> {
    let mut waits: BTreeMap<String, Vec<Duration>> = BTreeMap::new();
    for (name, took) in profiles.iter().flat_map(|profile| &profile.signals) {
        waits.entry(name.clone()).or_default().extend(took);
    }
    waits.into_iter().filter_map(|(name, waits)| Some((name, Spread::usual(waits)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_far_values_are_not_usual_and_many_are() {
        let usual = |far: usize| Spread::usual([vec![10u64; 12], vec![90; far]].concat()).unwrap();
        assert_eq!((usual(2).n, usual(2).p95), (12, 10));
        assert_eq!((usual(4).n, usual(4).p95), (16, 90));
    }

    #[test]
    fn ranks_are_values_that_occurred() {
        let spread = Spread::of((1..=100u64).collect()).unwrap();
        assert_eq!((spread.median, spread.p95), (50, 95));
        assert_eq!(Spread::of(vec![7u64]).unwrap().p95, 7);
        assert_eq!(Spread::<u64>::of(vec![]), None);
    }
}
