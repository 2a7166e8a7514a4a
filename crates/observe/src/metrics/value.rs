//! Values of metrics, and the bound on how many there are.

use std::collections::BTreeMap;

use midwatch_workflow::Timestamp;

use super::family::{Family, Kind};

/// A family has at most so many sets of labels; then the values that users choose become [`OTHER`].
pub const SERIES_MAX: usize = 500;

/// What stands for all values beyond the bound.
pub const OTHER: &str = "other";

/// So many bytes of a label's value are kept.
const VALUE_BYTES_MAX: usize = 100;

/// The values of many families.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Metrics {
    families: BTreeMap<&'static str, BTreeMap<Vec<String>, Value>>,
}

/// One value.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// Of a counter, in the small form of the family's unit.
    Counter(u64),
    /// Of a gauge, as it is shown.
    Gauge(f64),
    /// Of a histogram.
    Histogram(Histogram),
}

/// Counts by size.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Histogram {
    /// How many fell into each bucket, not added up; the last one is for all beyond the last bound.
    pub buckets: Vec<u64>,
    /// The sum of all, in the small form of the family's unit.
    pub sum: u64,
    /// When counting began, if that was elsewhere and not when the watcher began.
    pub since: Option<Timestamp>,
}

impl Histogram {
    fn observe(&mut self, bounds: &[u64], value: u64) {
        self.buckets.resize(bounds.len() + 1, 0);
        let bucket = bounds.partition_point(|bound| *bound < value);
        self.buckets[bucket] += 1;
        self.sum = self.sum.saturating_add(value);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

impl Metrics {
    /// Adds to a counter.
    pub fn add(&mut self, family: &'static Family, labels: &[&str], more: u64) {
        if let Value::Counter(value) = self.entry(family, labels, || Value::Counter(0)) {
            *value = value.saturating_add(more);
        }
    }

    /// Counts a value in a histogram.
    pub fn observe(&mut self, family: &'static Family, labels: &[&str], value: u64) {
        let Kind::Histogram(bounds) = family.kind else { return };
        if let Value::Histogram(histogram) =
            self.entry(family, labels, || Value::Histogram(Histogram::default()))
        {
            histogram.observe(bounds, value);
        }
    }

    /// Puts a histogram that was counted elsewhere in place.
    pub fn put(&mut self, family: &'static Family, histogram: Histogram) {
        *self.entry(family, &[], || Value::Histogram(Histogram::default())) = Value::Histogram(histogram);
    }

    /// Sets a gauge.
    pub fn set(&mut self, family: &'static Family, labels: &[&str], value: f64) {
        *self.entry(family, labels, || Value::Gauge(0.0)) = Value::Gauge(value);
    }

    /// Adds to a gauge.
    pub fn raise(&mut self, family: &'static Family, labels: &[&str], more: f64) {
        if let Value::Gauge(value) = self.entry(family, labels, || Value::Gauge(0.0)) {
            *value += more;
        }
    }

    /// Sets a gauge, unless it is higher.
    pub fn raise_to(&mut self, family: &'static Family, labels: &[&str], value: f64) {
        if let Value::Gauge(old) = self.entry(family, labels, || Value::Gauge(value)) {
            *old = old.max(value);
        }
    }

    /// Takes over the values of families that are not here yet.
    pub fn extend(&mut self, other: Metrics) {
        self.families.extend(other.families);
    }

    /// The values of a family with their labels.
    pub fn values(&self, family: &Family) -> impl Iterator<Item = (&[String], &Value)> {
        let values = self.families.get(family.name).into_iter().flatten();
        values.map(|(labels, value)| (labels.as_slice(), value))
    }

    /// One value.
    pub fn value(&self, family: &Family, labels: &[&str]) -> Option<&Value> {
        let labels: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        self.families.get(family.name)?.get(&labels)
    }

    fn entry(&mut self, family: &'static Family, labels: &[&str], new: impl FnOnce() -> Value) -> &mut Value {
        debug_assert_eq!(labels.len(), family.labels.len(), "{}", family.name);
        let values = self.families.entry(family.name).or_default();
        let mut key: Vec<String> = labels.iter().map(|value| cut(value).to_owned()).collect();
        if values.len() >= SERIES_MAX && !values.contains_key(&key) {
            for (value, _) in key.iter_mut().zip(family.labels).filter(|(_, label)| label.is_open) {
                OTHER.clone_into(value);
            }
        }
        values.entry(key).or_insert_with(new)
    }
}

/// At most so many bytes, whole characters.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(VALUE_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::super::family;
    use super::*;

    #[test]
    fn a_value_on_a_bound_is_in_the_bucket_of_that_bound() {
        let mut metrics = Metrics::default();
        for value in [0, 100, 101, 10_000_000, 10_000_001] {
            metrics.observe(&family::COMMIT_DURATION, &[], value);
        }
        let Some(Value::Histogram(histogram)) = metrics.value(&family::COMMIT_DURATION, &[]) else {
            panic!()
        };
        assert_eq!((histogram.buckets[0], histogram.buckets[1]), (2, 1));
        assert_eq!(histogram.buckets[12..], [1, 1]);
        assert_eq!((histogram.count(), histogram.sum), (5, 20_000_202));
    }

    #[test]
    fn any_number_of_workflows_makes_a_bounded_number_of_series_and_loses_no_count() {
        let mut metrics = Metrics::default();
        for n in 0..5_000 {
            let status = if n % 2 == 0 { "completed" } else { "failed" };
            metrics.add(&family::RUNS_ENDED, &[&format!("workflow-{n}"), status], 1);
        }
        let values: Vec<_> = metrics.values(&family::RUNS_ENDED).collect();
        assert_eq!(values.len(), SERIES_MAX + 2);
        let sum: u64 =
            values.iter().map(|(_, value)| if let Value::Counter(n) = value { *n } else { 0 }).sum();
        assert_eq!(sum, 5_000);
        assert!(metrics.value(&family::RUNS_ENDED, &[OTHER, "failed"]).is_some());
    }

    #[test]
    fn a_long_value_is_cut_between_characters() {
        let mut metrics = Metrics::default();
        metrics.add(&family::RUNS_STARTED, &["ü".repeat(300).as_str()], 1);
        let (labels, _) = metrics.values(&family::RUNS_STARTED).next().unwrap();
        assert_eq!(labels, ["ü".repeat(50)]);
    }
}
