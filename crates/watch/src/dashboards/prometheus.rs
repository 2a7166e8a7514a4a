//! Prometheus' rules and their tests, as YAML.

use std::fmt::Write as _;

use super::alerts::{ALERTS, Alert};
use super::quoted;

const HEAD: &str = "# Written by `midwatch dashboards`. Change the copy that you deploy, or leave it as it is and add rules of your own.\n";

/// The rules.
pub(super) fn rules() -> String {
    let mut text = format!("{HEAD}groups:\n  - name: midwatch\n    rules:\n");
    for alert in ALERTS {
        let _ = write!(
            text,
            "      - alert: {}\n        expr: {}\n        for: {}\n        labels:\n          severity: {}\n        annotations:\n          summary: {}\n          next: {}\n",
            alert.name,
            quoted(alert.expr),
            alert.after,
            alert.severity,
            quoted(alert.summary),
            quoted(alert.next)
        );
    }
    text
}

/// The tests of the rules: for each a case in which it fires, and one in which it does not.
pub(super) fn tests() -> String {
    let mut text = format!(
        "{HEAD}# promtool test rules midwatch-rules.test.yml\nrule_files:\n  - midwatch-rules.yml\nevaluation_interval: 30s\ntests:\n"
    );
    for alert in ALERTS {
        let firing: Vec<&str> = alert.fires.iter().map(|(_, values)| *values).collect();
        case(&mut text, alert, &firing, true);
        case(&mut text, alert, alert.quiet, false);
    }
    // Nothing at all is served: only that can be said.
    text.push_str("  - interval: 30s\n    alert_rule_test:\n");
    expect(&mut text, &ALERTS[0], &[], true);
    text
}

fn case(text: &mut String, alert: &Alert, values: &[&str], fires: bool) {
    text.push_str("  - interval: 30s\n    input_series:\n");
    for ((series, _), values) in alert.fires.iter().zip(values) {
        let _ = write!(text, "      - series: {}\n        values: {}\n", quoted(series), quoted(values));
    }
    text.push_str("    alert_rule_test:\n");
    expect(text, alert, alert.labels, fires);
}

fn expect(text: &mut String, alert: &Alert, labels: &[(&str, &str)], fires: bool) {
    let _ = write!(text, "      - eval_time: 15m\n        alertname: {}\n", alert.name);
    if !fires {
        text.push_str("        exp_alerts: []\n");
        return;
    }
    let _ = write!(
        text,
        "        exp_alerts:\n          - exp_labels:\n              severity: {}\n",
        alert.severity
    );
    for (name, value) in labels {
        let _ = writeln!(text, "              {name}: {}", quoted(value));
    }
    let _ = write!(
        text,
        "            exp_annotations:\n              summary: {}\n              next: {}\n",
        quoted(alert.says),
        quoted(alert.next)
    );
}
