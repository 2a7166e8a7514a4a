//! Grafana's dashboard and alert rules.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::alerts::{ALERTS, Alert};
use super::panels::{Form, Panel, ROWS, expr};
use super::quoted;

/// The dashboard as JSON, its keys in order.
pub(super) fn dashboard() -> String {
    let dashboard = json!({
        "uid": "midwatch",
        "title": "midwatch",
        "description": "Durable workflows of AI agents: what runs, what it costs, what is stuck. Metrics of `midwatch watch`.",
        "tags": ["midwatch"],
        "timezone": "browser",
        "editable": true,
        "graphTooltip": 1,
        "time": { "from": "now-6h", "to": "now" },
        "timepicker": {},
        "refresh": "30s",
        "schemaVersion": 42,
        "version": 1,
        "fiscalYearStartMonth": 0,
        "annotations": { "list": [] },
        "links": [trace_link()],
        "templating": { "list": variables() },
        "panels": panels(),
    });
    let text = serde_json::to_string_pretty(&in_order(dashboard)).unwrap_or_default();
    format!("{text}\n")
}

/// A value whose keys are in order, however its maps are kept.
fn in_order(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(String, Value)> = map.into_iter().collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            let entries = entries.into_iter().map(|(key, value)| (key, in_order(value)));
            Value::Object(entries.collect::<Map<String, Value>>())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(in_order).collect()),
        other => other,
    }
}

/// The trace of the run in the box at the top; a run's id is the id of its trace.
fn trace_link() -> Value {
    let query = r#"/explore?schemaVersion=1&orgId=1&panes={"t":{"datasource":"${traces}","queries":[{"refId":"A","queryType":"traceql","query":"${run}"}],"range":{"from":"now-24h","to":"now"}}}"#;
    json!({
        "title": "Trace of the run",
        "type": "link",
        "icon": "external link",
        "tooltip": "Opens the trace of the run whose id (32 hex digits) is in the box `run`",
        "url": query,
        "tags": [],
        "asDropdown": false,
        "targetBlank": true,
        "includeVars": false,
        "keepTime": false,
    })
}

fn variables() -> Value {
    let source = |name: &str, label: &str, kind: &str| json!({ "type": "datasource", "name": name, "label": label, "query": kind, "hide": 0 });
    let chosen = |name: &str, label: &str, query: &str| {
        json!({
            "type": "query",
            "name": name,
            "label": label,
            "datasource": metrics(),
            "query": query,
            "refresh": 2,
            "sort": 1,
            "multi": true,
            "includeAll": true,
            "allValue": ".*",
            "current": { "text": ["All"], "value": ["$__all"] },
            "hide": 0,
        })
    };
    json!([
        source("metrics", "Metrics", "prometheus"),
        chosen("instance", "Journal", "label_values(midwatch_journal_up, instance)"),
        chosen("workflow", "Workflow", "label_values({__name__=~\"midwatch_runs|midwatch_runs_started_total\"}, workflow)"),
        source("traces", "Traces", "tempo"),
        { "type": "textbox", "name": "run", "label": "run", "query": "", "current": { "text": "", "value": "" }, "hide": 0 },
    ])
}

fn metrics() -> Value {
    json!({ "type": "prometheus", "uid": "${metrics}" })
}

fn panels() -> Vec<Value> {
    const HEIGHT: u32 = 8;
    const STAT_HEIGHT: u32 = 4;
    const COLUMNS: u32 = 24;
    let mut panels = Vec::new();
    let (mut id, mut y) = (0, 0);
    for row in ROWS {
        id += 1;
        panels.push(json!({
            "type": "row", "id": id, "title": row.title, "collapsed": false, "panels": [],
            "gridPos": { "x": 0, "y": y, "w": COLUMNS, "h": 1 },
        }));
        y += 1;
        let mut x = 0;
        let mut height = 0;
        for panel in row.panels {
            id += 1;
            if x + panel.width > COLUMNS {
                (x, y) = (0, y + height);
            }
            height = if panel.form == Form::Stat { STAT_HEIGHT } else { HEIGHT };
            let place = json!({ "x": x, "y": y, "w": panel.width, "h": height });
            panels.push(drawn(panel, id, place));
            x += panel.width;
        }
        y += height;
    }
    panels
}

fn drawn(panel: &Panel, id: u32, place: Value) -> Value {
    let (kind, options, custom) = match panel.form {
        Form::Stat => ("stat", stat(), json!({})),
        Form::Lines | Form::Lined => ("timeseries", legend(), lines(0, "none", panel.limit.is_some())),
        Form::Stacked => ("timeseries", legend(), lines(25, "normal", false)),
        Form::Heatmap => ("heatmap", heatmap(), json!({})),
        Form::States => ("state-timeline", states(), json!({ "fillOpacity": 70, "lineWidth": 0 })),
    };
    let mut defaults =
        json!({ "unit": panel.unit, "custom": custom, "thresholds": thresholds(panel), "min": 0 });
    if panel.form == Form::Stat || panel.form == Form::States {
        defaults["color"] = json!({ "mode": "thresholds" });
        defaults["mappings"] = mappings(panel);
    }
    json!({
        "type": kind,
        "id": id,
        "title": panel.title,
        "description": panel.says,
        "datasource": metrics(),
        "gridPos": place,
        "targets": panel.queries.iter().zip('A'..).map(|(query, id)| target(panel, *query, id)).collect::<Vec<_>>(),
        "options": options,
        "fieldConfig": { "defaults": defaults, "overrides": overrides(panel) },
    })
}

fn target(panel: &Panel, (question, name): (&str, &str), id: char) -> Value {
    let is_now = panel.form == Form::Stat;
    json!({
        "refId": id.to_string(),
        "datasource": metrics(),
        "editorMode": "code",
        "expr": expr(question),
        "legendFormat": if name.is_empty() { "__auto" } else { name },
        "format": if panel.form == Form::Heatmap { "heatmap" } else { "time_series" },
        "instant": is_now,
        "range": !is_now,
    })
}

fn thresholds(panel: &Panel) -> Value {
    let steps = match (panel.form, panel.title) {
        (Form::Stat, "Owner") => json!([{ "value": null, "color": "red" }, { "value": 1, "color": "green" }]),
        (Form::States, _) => json!([
            { "value": null, "color": "green" }, { "value": 1, "color": "orange" }, { "value": 2, "color": "red" },
        ]),
        _ => match panel.limit {
            Some(limit) => json!([{ "value": null, "color": "green" }, { "value": limit, "color": "red" }]),
            None => json!([{ "value": null, "color": "green" }]),
        },
    };
    json!({ "mode": "absolute", "steps": steps })
}

fn mappings(panel: &Panel) -> Value {
    let words: &[(&str, &str)] = match (panel.form, panel.title) {
        (Form::Stat, "Owner") => &[("0", "nobody"), ("1", "up")],
        (Form::States, _) => &[("0", "open"), ("1", "cool-down"), ("2", "down")],
        _ => &[],
    };
    if words.is_empty() {
        return json!([]);
    }
    let options: Map<String, Value> =
        words.iter().map(|(value, word)| ((*value).to_owned(), json!({ "text": word }))).collect();
    json!([{ "type": "value", "options": options }])
}

/// The last question of a panel with a line is that line.
fn overrides(panel: &Panel) -> Value {
    let Some((_, name)) = panel.queries.last().filter(|_| panel.form == Form::Lined) else {
        return json!([]);
    };
    json!([{
        "matcher": { "id": "byName", "options": name },
        "properties": [
            { "id": "color", "value": { "mode": "fixed", "fixedColor": "red" } },
            { "id": "custom.lineStyle", "value": { "fill": "dash", "dash": [10, 10] } },
            { "id": "custom.lineWidth", "value": 2 },
        ],
    }])
}

fn lines(fill: u32, stacking: &str, shows_limit: bool) -> Value {
    json!({
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": fill,
        "showPoints": "never",
        "spanNulls": false,
        "stacking": { "mode": stacking, "group": "A" },
        "thresholdsStyle": { "mode": if shows_limit { "line" } else { "off" } },
    })
}

fn legend() -> Value {
    json!({
        "legend": { "displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": [] },
        "tooltip": { "mode": "multi", "sort": "desc" },
    })
}

fn stat() -> Value {
    json!({
        "graphMode": "none",
        "colorMode": "value",
        "justifyMode": "auto",
        "textMode": "value",
        "wideLayout": true,
        "showPercentChange": false,
        "percentChangeColorMode": "standard",
        "orientation": "auto",
        "reduceOptions": { "values": false, "calcs": ["lastNotNull"], "fields": "" },
    })
}

fn heatmap() -> Value {
    json!({
        "calculate": false,
        "color": { "mode": "scheme", "scheme": "Oranges", "fill": "dark-orange", "exponent": 0.5, "steps": 64, "reverse": false },
        "showValue": "never",
        "yAxis": { "unit": "currencyUSD", "axisPlacement": "left" },
        "rowsFrame": { "layout": "auto" },
        "legend": { "show": true },
        "tooltip": { "mode": "single", "yHistogram": true, "showColorScale": true },
        "exemplars": { "color": "rgba(255,0,255,0.7)" },
        "filterValues": { "le": 1e-9 },
        "cellGap": 1,
    })
}

fn states() -> Value {
    json!({
        "showValue": "auto",
        "rowHeight": 0.9,
        "mergeValues": true,
        "alignValue": "left",
        "legend": { "displayMode": "list", "placement": "bottom", "showLegend": false, "calcs": [] },
        "tooltip": { "mode": "single", "sort": "none" },
    })
}

/// Alert rules for Grafana's own alerting, to be provisioned.
pub(super) fn alerting() -> String {
    let mut text = String::from(
        "# Written by `midwatch dashboards`. The uid of your Prometheus data source goes in the place of `prometheus`.\n\
         # Grafana alerts on the same as prometheus/midwatch-rules.yml: use one of both.\n\
         apiVersion: 1\ngroups:\n  - orgId: 1\n    name: midwatch\n    folder: midwatch\n    interval: 1m\n    rules:\n",
    );
    for alert in ALERTS {
        rule(&mut text, alert);
    }
    text
}

fn rule(text: &mut String, alert: &Alert) {
    let summary = alert.summary.replace("$value", "$values.A.Value");
    let name = alert.name.trim_start_matches("Midwatch");
    // It is gone: then there is no data either.
    let no_data = if name == "WatcherDown" { "Alerting" } else { "OK" };
    let _ = write!(
        text,
        "      - uid: midwatch-{uid}\n        title: {title}\n        condition: C\n        for: {after}\n        noDataState: {no_data}\n        execErrState: Error\n        data:\n          - refId: A\n            relativeTimeRange: {{ from: 600, to: 0 }}\n            datasourceUid: prometheus\n            model: {{ refId: A, instant: true, range: false, expr: {expr} }}\n          - refId: C\n            datasourceUid: __expr__\n            model:\n              refId: C\n              type: threshold\n              expression: A\n              conditions:\n                - evaluator: {{ type: gt, params: [0] }}\n        labels:\n          severity: {severity}\n        annotations:\n          summary: {summary}\n          next: {next}\n",
        uid = dashed(name),
        title = alert.name,
        after = alert.after,
        expr = quoted(alert.expr),
        severity = alert.severity,
        summary = quoted(&summary),
        next = quoted(alert.next),
    );
}

/// `NoOwner` becomes `no-owner`.
fn dashed(name: &str) -> String {
    let mut dashed = String::new();
    for char in name.chars() {
        if char.is_ascii_uppercase() && !dashed.is_empty() {
            dashed.push('-');
        }
        dashed.push(char.to_ascii_lowercase());
    }
    dashed
}
