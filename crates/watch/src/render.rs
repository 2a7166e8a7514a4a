//! Metrics as text, in the two forms that Prometheus reads.

use std::fmt;
use std::sync::Arc;

use midwatch_observe::metrics::{Family, Kind, Metrics, Value, family};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

/// A form of text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Prometheus' own, version 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// The form that a scraper asks for by this `Accept` header.
    pub fn accepted(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Format::OpenMetrics } else { Format::Prometheus }
    }

    /// The `Content-Type` of it.
    pub const fn content_type(self) -> &'static str {
        match self {
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Writes all families with their values; a family without any is described nevertheless.
///
/// # Errors
/// None that a `String` gives.
pub fn render(metrics: &Arc<Metrics>, format: Format) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(View(Arc::clone(metrics))));
    let mut page = String::new();
    match format {
        Format::Prometheus => prometheus_text::encode(&mut page, &registry)?,
        Format::OpenMetrics => text::encode(&mut page, &registry)?,
    }
    Ok(page)
}

/// Values that were computed, as the encoder takes them.
#[derive(Debug)]
struct View(Arc<Metrics>);

impl Collector for View {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for family in family::ALL {
            // The encoder adds the suffix of counters itself, and a full stop to the sentence.
            let name = family.name.trim_end_matches("_total");
            let help = family.help.trim_end_matches('.');
            let mut metric = encoder.encode_descriptor(name, help, None, kind(family))?;
            for (values, value) in self.0.values(family) {
                let names = family.labels.iter().map(|label| label.name);
                let labels: Vec<(&str, &str)> = names.zip(values.iter().map(String::as_str)).collect();
                if labels.is_empty() {
                    one(&mut metric, family, value)?;
                } else {
                    one(&mut metric.encode_family(&labels)?, family, value)?;
                }
            }
        }
        Ok(())
    }
}

fn kind(family: &Family) -> MetricType {
    match family.kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
        Kind::Histogram(_) => MetricType::Histogram,
    }
}

fn one(encoder: &mut MetricEncoder<'_>, family: &Family, value: &Value) -> Result<(), fmt::Error> {
    match (value, family.kind) {
        (Value::Counter(value), _) => {
            encoder.encode_counter::<NoLabelSet, f64, f64>(&family.unit.shown(*value), None)
        }
        (Value::Gauge(value), _) => encoder.encode_gauge(value),
        (Value::Histogram(histogram), Kind::Histogram(bounds)) => {
            let bounds = bounds.iter().map(|bound| family.unit.shown(*bound)).chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(histogram.buckets.iter().copied()).collect();
            let sum = family.unit.shown(histogram.sum);
            encoder.encode_histogram::<NoLabelSet>(sum, histogram.count(), &buckets, None)
        }
        (Value::Histogram(_), _) => Err(fmt::Error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Arc<Metrics> {
        let mut metrics = Metrics::default();
        metrics.add(&family::RUNS_ENDED, &["a\"b\\c\nd", "completed"], 7);
        metrics.add(&family::COST, &["w", "openai", "gpt-4o"], 1_250_000_000_000);
        metrics.observe(&family::RUN_COST, &["w"], 150_000_000);
        metrics.observe(&family::RUN_COST, &["w"], u64::MAX);
        metrics.set(&family::OWNER_UP, &[], 1.0);
        Arc::new(metrics)
    }

    fn lines(page: &str, start: &str) -> Vec<String> {
        page.lines().filter(|line| line.starts_with(start)).map(str::to_owned).collect()
    }

    #[test]
    fn values_are_shown_in_the_units_that_the_names_say() {
        for format in [Format::Prometheus, Format::OpenMetrics] {
            let page = render(&some(), format).unwrap();
            let cost = lines(&page, "midwatch_cost_usd_total{");
            assert_eq!(
                cost,
                [r#"midwatch_cost_usd_total{workflow="w",provider="openai",model="gpt-4o"} 1.25"#]
            );
            let escaped = lines(&page, "midwatch_runs_ended_total{");
            let value = escaped[0]
                .strip_prefix(r#"midwatch_runs_ended_total{workflow="a\"b\\c\nd",status="completed"} "#);
            assert_eq!(value.map(|value| value.parse()), Some(Ok(7.0)), "{escaped:?}");
            let owner = lines(&page, "midwatch_owner_up ");
            assert_eq!(owner.len(), 1, "{page}");
        }
    }

    #[test]
    fn buckets_add_up_and_end_with_infinity() {
        let page = render(&some(), Format::Prometheus).unwrap();
        let buckets = lines(&page, "midwatch_run_cost_usd_bucket{");
        let counts: Vec<u64> =
            buckets.iter().map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
        assert_eq!(counts[..2], [0, 1]);
        assert!(counts.is_sorted() && counts.last() == Some(&2));
        assert!(
            buckets[0].contains("le=\"0.0001\"") && buckets.last().unwrap().contains("le=\"+Inf\""),
            "{buckets:?}"
        );
    }

    #[test]
    fn every_family_is_described_even_without_a_value() {
        let page = render(&Arc::new(Metrics::default()), Format::Prometheus).unwrap();
        for family in family::ALL {
            assert!(page.contains(&format!("# HELP {} ", family.name)), "{}", family.name);
        }
        assert!(render(&some(), Format::OpenMetrics).unwrap().ends_with("# EOF\n"));
    }
}
