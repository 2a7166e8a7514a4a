//! What goes with the metrics: Grafana dashboards and alerts, Prometheus rules with their tests, configurations to begin with.
//!
//! All of it is written from two tables, `panels` and `alerts`, so that what is drawn, what Prometheus says and what
//! Grafana says cannot drift apart. The project's `ops/` folder is what [`files`] gives.

mod alerts;
mod grafana;
mod panels;
mod prometheus;

use std::path::PathBuf;

/// A file to be written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page {
    /// Where, below the folder that is asked for.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
}

/// All files.
pub fn files() -> Vec<Page> {
    let page = |path: &str, text: String| Page { path: path.into(), text };
    vec![
        page("README.md", include_str!("readme.md").to_owned()),
        page("grafana/dashboards/midwatch.json", grafana::dashboard()),
        page("grafana/provisioning/dashboards/midwatch.yml", include_str!("provider.yml").to_owned()),
        page("grafana/provisioning/alerting/midwatch.yml", grafana::alerting()),
        page("prometheus/prometheus.yml", include_str!("prometheus.yml").to_owned()),
        page("prometheus/midwatch-rules.yml", prometheus::rules()),
        page("prometheus/midwatch-rules.test.yml", prometheus::tests()),
        page("otel-collector/config.yml", include_str!("otel-collector.yml").to_owned()),
    ]
}

/// A text between double quotes, as YAML and JSON take it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use midwatch_observe::metrics::{Kind, family};

    use super::*;

    #[test]
    fn the_ops_folder_holds_what_is_written() {
        let ops = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ops");
        for page in files() {
            let kept = std::fs::read_to_string(ops.join(&page.path)).unwrap_or_default();
            assert!(
                kept == page.text,
                "ops/{} is not what is written: run `midwatch dashboards --out ops`",
                page.path.display()
            );
        }
    }

    /// Every word that begins like one of our metrics.
    fn words(text: &str) -> BTreeSet<&str> {
        let is_part = |char: char| char.is_ascii_alphanumeric() || char == '_';
        text.split(|char| !is_part(char)).filter(|word| word.starts_with("midwatch_")).collect()
    }

    #[test]
    fn every_metric_in_the_files_is_one_that_is_served() {
        let mut known = BTreeSet::new();
        for family in family::ALL {
            match family.kind {
                Kind::Histogram(_) => {
                    known.extend(["bucket", "sum", "count"].map(|part| format!("{}_{part}", family.name)));
                }
                Kind::Counter | Kind::Gauge => {
                    known.insert(family.name.to_owned());
                }
            }
        }
        let mut used = BTreeSet::new();
        for page in files() {
            for word in words(&page.text) {
                assert!(known.contains(word), "{word} in ops/{} is not served", page.path.display());
                used.insert(word.to_owned());
            }
        }
        assert!(used.len() > 30, "{used:?}");
    }

    #[test]
    fn every_label_in_the_questions_is_one_of_its_metric() {
        for expr in panels::exprs().chain(alerts::ALERTS.iter().map(|alert| alert.expr.to_owned())) {
            for (name, rest) in expr.match_indices("midwatch_").map(|(at, _)| {
                expr[at..].split_at(
                    expr[at..]
                        .find(|char: char| !char.is_ascii_alphanumeric() && char != '_')
                        .unwrap_or(expr[at..].len()),
                )
            }) {
                let Some(selector) = rest.strip_prefix('{') else { continue };
                let base =
                    ["_bucket", "_sum", "_count"].iter().fold(name, |name, part| name.trim_end_matches(part));
                let family = family::ALL.iter().find(|family| family.name == name || family.name == base);
                let family = family.unwrap_or_else(|| panic!("{name}"));
                let labels =
                    selector[..selector.find('}').unwrap()].split("\",").filter(|label| !label.is_empty());
                for label in labels {
                    let label = label.split(['=', '!']).next().unwrap_or_default();
                    let is_known = ["instance", "job"].contains(&label)
                        || family.labels.iter().any(|known| known.name == label);
                    assert!(is_known, "{label} is no label of {name} in {expr}");
                }
            }
        }
    }
}
