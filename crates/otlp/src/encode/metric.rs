//! Families of metrics: `opentelemetry.proto.metrics.v1.Metric`.
//!
//! They keep the names that they have at `/metrics`, with `_total` and the unit. The rules by which backends make Prometheus'
//! names of OpenTelemetry's add what is missing, and nothing is; so a dashboard finds the same series whether they were
//! scraped or sent.
//!
//! <https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/>

use std::sync::Arc;

use midwatch_observe::metrics::{Family, Histogram, Kind, Metrics, Unit, Value, family};
use midwatch_workflow::Timestamp;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram as HistogramMessage, HistogramDataPoint, Metric,
    NumberDataPoint, Sum,
};
use prost::Message as _;

use super::{Piece, text};

/// Metrics as they stood once.
#[derive(Clone, Debug)]
pub struct Reading {
    /// All of them.
    pub metrics: Arc<Metrics>,
    /// When counting began.
    pub since: Timestamp,
    /// When it was so.
    pub at: Timestamp,
}

/// Encodes metrics, and says how many values they are.
pub(crate) fn metrics(reading: &Reading) -> (Vec<Piece>, u64) {
    let present = family::ALL.iter().filter_map(|family| message(family, reading));
    let (messages, counts): (Vec<Metric>, Vec<u64>) = present.unzip();
    let pieces = super::pieces(&messages, |message, fields| fields.raw(&message.encode_to_vec()));
    (pieces, counts.iter().sum())
}

/// A family with its values, and how many those are; `None` without any.
fn message(family: &Family, reading: &Reading) -> Option<(Metric, u64)> {
    let values: Vec<_> = reading.metrics.values(family).collect();
    if values.is_empty() {
        return None;
    }
    let numbers = || values.iter().filter_map(|(labels, value)| number(family, labels, value, reading));
    let histograms = || values.iter().filter_map(|(labels, value)| histogram(family, labels, value, reading));
    let temporality = AggregationTemporality::Cumulative.into();
    let data = match family.kind {
        Kind::Counter => Data::Sum(Sum {
            data_points: numbers().collect(),
            aggregation_temporality: temporality,
            is_monotonic: true,
        }),
        Kind::Gauge => Data::Gauge(Gauge { data_points: numbers().collect() }),
        Kind::Histogram(_) => Data::Histogram(HistogramMessage {
            data_points: histograms().collect(),
            aggregation_temporality: temporality,
        }),
    };
    let metric = Metric {
        name: family.name.to_owned(),
        description: family.help.to_owned(),
        unit: unit(family.unit).to_owned(),
        data: Some(data),
        ..Metric::default()
    };
    Some((metric, values.len() as u64))
}

/// As UCUM has it; what it does not have stands in braces, which add nothing to a name.
fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Count => "",
        Unit::Seconds => "s",
        Unit::Usd => "{USD}",
        Unit::Ratio => "1",
    }
}

fn number(family: &Family, labels: &[String], value: &Value, reading: &Reading) -> Option<NumberDataPoint> {
    let (value, since) = match value {
        Value::Counter(count) if family.unit == Unit::Count => {
            (Number::AsInt(i64::try_from(*count).unwrap_or(i64::MAX)), reading.since)
        }
        Value::Counter(value) => (Number::AsDouble(family.unit.shown(*value)), reading.since),
        // What only is has no beginning.
        Value::Gauge(value) => (Number::AsDouble(*value), Timestamp::default()),
        Value::Histogram(_) => return None,
    };
    Some(NumberDataPoint {
        attributes: attributes(family, labels),
        start_time_unix_nano: nanos(since),
        time_unix_nano: nanos(reading.at),
        value: Some(value),
        ..NumberDataPoint::default()
    })
}

fn attributes(family: &Family, values: &[String]) -> Vec<opentelemetry_proto::tonic::common::v1::KeyValue> {
    family.labels.iter().zip(values).map(|(label, value)| text(label.name, value)).collect()
}

fn histogram(
    family: &Family,
    labels: &[String],
    value: &Value,
    reading: &Reading,
) -> Option<HistogramDataPoint> {
    let (Value::Histogram(histogram), Kind::Histogram(bounds)) = (value, family.kind) else { return None };
    let Histogram { buckets, sum, since } = histogram;
    Some(HistogramDataPoint {
        attributes: attributes(family, labels),
        start_time_unix_nano: nanos(since.unwrap_or(reading.since)),
        time_unix_nano: nanos(reading.at),
        count: histogram.count(),
        sum: Some(family.unit.shown(*sum)),
        bucket_counts: buckets.clone(),
        explicit_bounds: bounds.iter().map(|bound| family.unit.shown(*bound)).collect(),
        ..HistogramDataPoint::default()
    })
}

fn nanos(at: Timestamp) -> u64 {
    at.as_micros().saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading() -> Reading {
        let mut metrics = Metrics::default();
        metrics.add(&family::RUNS_ENDED, &["research", "completed"], 7);
        metrics.add(&family::COST, &["research", "openai", "gpt-4o"], 1_250_000_000_000);
        metrics.observe(&family::RUN_COST, &["research"], 150_000_000);
        metrics.observe(&family::RUN_COST, &["research"], u64::MAX);
        metrics.set(&family::BUDGET_USED, &["research"], 0.5);
        let since = Some(Timestamp::from_micros(5));
        let Kind::Histogram(bounds) = family::COMMIT_DURATION.kind else { unreachable!() };
        let buckets = vec![1; bounds.len() + 1];
        metrics.put(&family::COMMIT_DURATION, Histogram { buckets, sum: 3_000_000, since });
        Reading {
            metrics: Arc::new(metrics),
            since: Timestamp::from_micros(10),
            at: Timestamp::from_micros(20),
        }
    }

    fn data(family: &Family) -> (Metric, Data) {
        let (metric, _) = message(family, &reading()).unwrap();
        let data = metric.data.clone().unwrap();
        (metric, data)
    }

    #[test]
    fn counters_are_sums_that_only_rise_and_count_from_when_the_watcher_began() {
        let (metric, Data::Sum(sum)) = data(&family::RUNS_ENDED) else { panic!() };
        assert_eq!((metric.name.as_str(), metric.unit.as_str()), ("midwatch_runs_ended_total", ""));
        assert!(sum.is_monotonic && sum.aggregation_temporality == 2, "{sum:#?}");
        let [point] = &sum.data_points[..] else { panic!("{sum:#?}") };
        assert_eq!(point.value, Some(Number::AsInt(7)));
        assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (10_000, 20_000));
        assert_eq!(point.attributes, [text("workflow", "research"), text("status", "completed")]);
        let (metric, Data::Sum(cost)) = data(&family::COST) else { panic!() };
        assert_eq!((metric.name.as_str(), metric.unit.as_str()), ("midwatch_cost_usd_total", "{USD}"));
        assert_eq!(cost.data_points[0].value, Some(Number::AsDouble(1.25)));
    }

    #[test]
    fn histograms_have_the_buckets_of_the_page_in_its_units() {
        let (metric, Data::Histogram(histogram)) = data(&family::RUN_COST) else { panic!() };
        assert_eq!((metric.unit.as_str(), histogram.aggregation_temporality), ("{USD}", 2));
        let [point] = &histogram.data_points[..] else { panic!("{histogram:#?}") };
        assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
        assert_eq!((point.explicit_bounds[0], point.bucket_counts[1]), (0.0001, 1));
        assert_eq!((point.bucket_counts.last(), point.count), (Some(&1), 2), "not added up");
        let (metric, Data::Histogram(commits)) = data(&family::COMMIT_DURATION) else { panic!() };
        let point = &commits.data_points[0];
        assert_eq!((metric.unit.as_str(), point.sum), ("s", Some(3.0)));
        assert_eq!(point.start_time_unix_nano, 5_000, "its owner began to count before");
    }

    #[test]
    fn gauges_have_no_beginning_and_what_has_no_value_is_left_out() {
        let (metric, Data::Gauge(gauge)) = data(&family::BUDGET_USED) else { panic!() };
        assert_eq!((metric.name.as_str(), metric.unit.as_str()), ("midwatch_budget_used_ratio", "1"));
        let point = &gauge.data_points[0];
        assert_eq!((point.value, point.start_time_unix_nano), (Some(Number::AsDouble(0.5)), 0));
        assert_eq!(message(&family::RUNS, &reading()), None);
        let (pieces, values) = metrics(&reading());
        assert_eq!((pieces.len(), pieces[0].len(), values), (1, 5, 5));
    }
}
