//! Metrics, rules and alerts against a real Prometheus and a real Alertmanager.
#![cfg(unix)]
#![allow(clippy::unwrap_used)] // a test that cannot go on ends there

#[path = "../../watch/tests/place/mod.rs"]
mod place;
mod servers;

use std::process::Command;
use std::time::Duration;

use midwatch_observe::corpus::Tale;
use midwatch_observe::metrics::family;
use midwatch_workflow::{EventKind, ParkReason, Resolution};

use place::{Place, told, until};
use servers::{Alertmanager, Prometheus, Tools, Watch, midwatch};

/// A run that has said nothing for ten minutes, and one that is parked.
fn in_trouble() -> [Tale; 2] {
    let silent = told(1, Duration::from_secs(600), |tale| {
        tale.ask("call_llm");
    });
    let parked = told(2, Duration::from_secs(60), |tale| {
        tale.park("call_llm", ParkReason::Budget, "the budget is reached")
    });
    [silent, parked]
}

/// Both go on and end.
fn mend(
    place: &Place,
    journal: &midwatch_journal::sqlite::SqliteJournal,
    [mut silent, mut parked]: [Tale; 2],
) {
    let before = silent.events.len();
    let op = silent.events.iter().rev().find_map(|event| event.kind.op()).unwrap();
    silent.after(600_000).ok(op, Vec::new());
    silent.complete();
    place.write_from(journal, &silent, before);
    let before = parked.events.len();
    let op = parked.events.iter().rev().find_map(|event| event.kind.op()).unwrap();
    parked.push(EventKind::Resolved { op, resolution: Resolution::Fail, by: "ann".to_owned() });
    parked.complete();
    place.write_from(journal, &parked, before);
}

#[test]
fn prometheus_scrapes_a_watch_its_rules_fire_and_alertmanager_hears_when_it_begins_and_when_it_is_over() {
    let Some(tools) = Tools::find() else { return };
    let place = Place::new();
    let journal = place.owner();
    let tales = in_trouble();
    tales.iter().for_each(|tale| place.write(&journal, tale));
    let watch = Watch::start(place.path(), &[]);
    let alertmanager = Alertmanager::start(&tools);
    let prometheus = Prometheus::start(&tools, &watch, &alertmanager);
    // The journal has no owner, for this process holds no lease on it.
    until(|| {
        let names = alertmanager.names();
        ["MidwatchNoProgress", "MidwatchParked"].iter().all(|name| names.contains(*name)).then_some(())
    });
    let alert = alertmanager.alert("MidwatchNoProgress").unwrap();
    assert_eq!(
        (&alert["labels"]["workflow"], &alert["labels"]["severity"]),
        (&"research".into(), &"critical".into())
    );
    assert_eq!(alert["annotations"]["summary"], "runs of research without progress for 5 minutes: 1");
    assert_eq!(prometheus.trouble_of_the_scrape(), "");
    let served = prometheus.families();
    let missing: Vec<&str> = family::ALL
        .iter()
        .map(|family| family.name)
        .filter(|name| !served.contains(*name) && !served.contains(name.trim_end_matches("_total")))
        .collect();
    assert_eq!(missing, Vec::<&str>::new(), "of {served:?}");
    mend(&place, &journal, tales);
    until(|| {
        let names = alertmanager.names();
        (!names.contains("MidwatchNoProgress") && !names.contains("MidwatchParked")).then_some(())
    });
}

#[test]
fn midwatchs_own_alert_reaches_alertmanager_with_its_verdict_and_is_over_there_when_it_is_over() {
    let Some(tools) = Tools::find() else { return };
    let place = Place::new();
    let journal = place.owner();
    let tales = in_trouble();
    tales.iter().for_each(|tale| place.write(&journal, tale));
    let alertmanager = Alertmanager::start(&tools);
    let rules = place.folder().join("alerts.toml");
    let receiver = format!(
        "resolve_after = \"1s\"\n[[receiver]]\nkind = \"alertmanager\"\nurl = \"{}\"\n",
        alertmanager.url()
    );
    std::fs::write(&rules, receiver).unwrap();
    let tried = midwatch(place.path()).args(["alerts", "--test", "--rules"]).arg(&rules).output().unwrap();
    assert!(tried.status.success(), "{}", String::from_utf8_lossy(&tried.stdout));
    assert!(alertmanager.names().contains("MidwatchTest"));
    let _watch = Watch::start(place.path(), &["--rules", rules.to_str().unwrap()]);
    let alert = until(|| alertmanager.alert("MidwatchParked"));
    assert_eq!(alert["labels"]["run"], tales[1].run.to_string());
    let why = alert["annotations"]["why"].as_str().unwrap();
    assert!(why.starts_with("parked · parked_budget: "), "{why}");
    assert!(alert["annotations"]["next"].as_str().unwrap().starts_with("midwatch budget r_"), "{alert}");
    until(|| alertmanager.alert("MidwatchNoProgress"));
    mend(&place, &journal, tales);
    until(|| {
        let names = alertmanager.names();
        (!names.contains("MidwatchNoProgress") && !names.contains("MidwatchParked")).then_some(())
    });
}

#[test]
fn promtool_finds_the_written_rules_right_and_their_tests_pass() {
    let Some(tools) = Tools::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let written = midwatch(&folder.path().join("none.db"))
        .args(["dashboards", "--out"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    for arguments in [
        ["check", "rules", "midwatch-rules.yml"],
        ["check", "config", "prometheus.yml"],
        ["test", "rules", "midwatch-rules.test.yml"],
    ] {
        let promtool = tools.promtool();
        let ran = Command::new(promtool)
            .args(arguments)
            .current_dir(folder.path().join("prometheus"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stdout) + String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{arguments:?}: {said}");
    }
}
