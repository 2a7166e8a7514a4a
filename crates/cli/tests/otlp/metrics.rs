//! What `midwatch watch --otlp` sends is what stands at `/metrics`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use midwatch_workflow::ParkReason;
use serde_json::Value;

use crate::machine::{Running, get, midwatch};
use crate::place::{Place, told, until};
use crate::receiver::Datadog;

/// Ages go on between two readings.
const AGES: [&str; 4] = [
    "midwatch_heartbeat_age_seconds",
    "midwatch_waiting_to_start_seconds",
    "midwatch_inbox_oldest_seconds",
    "midwatch_watch_refreshed_timestamp_seconds",
];

/// Values by name and labels, as the page has them.
type Values = BTreeMap<(String, BTreeMap<String, String>), f64>;

fn of_page(page: &str) -> Values {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels = labels.strip_suffix('}').unwrap().split(',').filter(|label| !label.is_empty());
            let labels = labels.map(|label| {
                let (name, value) = label.split_once('=').unwrap();
                (name.to_owned(), value.trim_matches('"').to_owned())
            });
            ((name.to_owned(), labels.collect()), value.parse().unwrap())
        })
        .collect()
}

/// A number, which JSON has as text if it has more than 53 bits.
fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| value.as_str().unwrap().parse().unwrap())
}

/// The page that a metric would be scraped from.
fn of_metric(metric: &Value, values: &mut Values) {
    let name = metric["name"].as_str().unwrap();
    let kinds = ["sum", "gauge", "histogram"];
    let (kind, data) = kinds.iter().find_map(|kind| Some((*kind, metric.get(kind)?))).unwrap();
    if kind != "gauge" {
        assert_eq!(data["aggregation_temporality"], "AGGREGATION_TEMPORALITY_CUMULATIVE", "{name}");
    }
    assert_eq!(kind == "sum", data["is_monotonic"] == true, "{name}");
    for point in data["data_points"].as_array().unwrap() {
        let pairs = point["attributes"].as_array().into_iter().flatten();
        let labels: BTreeMap<String, String> = pairs
            .map(|pair| {
                let value = pair["value"]["string_value"].as_str().unwrap_or_default();
                (pair["key"].as_str().unwrap().to_owned(), value.to_owned())
            })
            .collect();
        assert_eq!(kind == "gauge", point.get("start_time_unix_nano").is_none(), "{name}");
        if kind != "histogram" {
            // What is zero may be left out.
            let value = ["as_int", "as_double"].iter().find_map(|form| point.get(form)).map_or(0.0, number);
            values.insert((name.to_owned(), labels), value);
            continue;
        }
        let mut count = 0.0;
        let bounds = point["explicit_bounds"].as_array().unwrap().iter().map(number).chain([f64::INFINITY]);
        for (bound, bucket) in bounds.zip(point["bucket_counts"].as_array().unwrap()) {
            count += number(bucket);
            let bound = if bound.is_finite() { bound.to_string() } else { "+Inf".to_owned() };
            let labels = labels.clone().into_iter().chain([("le".to_owned(), bound)]).collect();
            values.insert((format!("{name}_bucket"), labels), count);
        }
        assert_eq!(number(&point["count"]), count, "{name}");
        values.insert((format!("{name}_count"), labels.clone()), count);
        values.insert((format!("{name}_sum"), labels), number(&point["sum"]));
    }
}

fn without_ages(values: Values) -> Values {
    values.into_iter().filter(|((name, _), _)| !AGES.contains(&name.as_str())).collect()
}

/// The names of all, and the values of those that stand still.
fn parts(values: Values) -> (BTreeSet<String>, Values) {
    (values.keys().map(|(name, _)| name.clone()).collect(), without_ages(values))
}

#[test]
fn what_is_sent_over_http_and_grpc_is_what_stands_at_the_page() {
    for protocol in ["http/protobuf", "grpc"] {
        let Some(datadog) = Datadog::start() else { return };
        let place = Place::new();
        let journal = place.owner();
        let told = |n, ago, tell: fn(&mut _)| told(n, Duration::from_secs(ago), tell);
        place.write(&journal, &told(1, 900, |tale| tale.park("call_llm", ParkReason::Budget, "reached")));
        place.write(&journal, &told(2, 400, |tale| _ = tale.ask("call_llm")));
        let mut command = midwatch(place.path());
        command.args(["watch", "--listen", "127.0.0.1:0", "--every", "100ms", "--otlp"]);
        let endpoint = if protocol == "grpc" { datadog.grpc_url() } else { datadog.url() };
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint).env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol);
        command.env("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip").env("OTEL_RESOURCE_ATTRIBUTES", "team=watch");
        let (watch, said) = Running::announced(command);
        // These are counted, for they come while it watches.
        for n in 10..13 {
            place.write(
                &journal,
                &told(n, 0, |tale| {
                    tale.usual_work(1);
                    tale.complete();
                }),
            );
        }
        let url = said["metrics_url"].as_str().unwrap();
        let ended = r#"midwatch_runs_ended_total{workflow="research",status="completed"} 3"#;
        let page = until(|| Some(get(url)).filter(|page| page.lines().any(|line| line.starts_with(ended))));
        until(|| (datadog.metrics().len() == 1).then_some(()));
        // The interval is a minute, so this is what it sends when it is told to stop.
        assert!(watch.stop().success());
        let requests = datadog.metrics();
        assert_eq!(requests.len(), 2, "at the start and at the end: {requests:#?}");
        let mut sent = Values::new();
        let resource = &requests[1]["resource_metrics"][0];
        resource["scope_metrics"][0]["metrics"]
            .as_array()
            .unwrap()
            .iter()
            .for_each(|metric| of_metric(metric, &mut sent));
        let (names, values) = parts(sent);
        let (expected_names, expected) = parts(of_page(&page));
        assert_eq!(names, expected_names);
        let differ = |(series, value): &(&_, &f64)| expected.get(*series) != Some(*value);
        assert_eq!(values.iter().filter(differ).collect::<Vec<_>>(), [], "differ from the page");
        assert_eq!(values.len(), expected.len());
        let said: BTreeMap<&str, &str> = resource["resource"]["attributes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| (pair["key"].as_str().unwrap(), pair["value"]["string_value"].as_str().unwrap()))
            .collect();
        assert_eq!((said["service.name"], said["team"]), ("midwatch", "watch"));
        assert!(said["service.instance.id"].ends_with("midwatch.db"), "{said:?}");
    }
}
