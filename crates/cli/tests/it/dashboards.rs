//! `midwatch dashboards`.

use crate::midwatch::midwatch;

#[test]
fn the_files_are_written_and_a_second_time_they_are_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let first = midwatch(folder.path(), "dashboards --out ops");
    assert_eq!(first.code, 0, "{}", first.all());
    let dashboard = folder.path().join("ops/grafana/dashboards/midwatch.json");
    assert!(std::fs::read_to_string(&dashboard).unwrap().contains("3 × median"));
    std::fs::write(&dashboard, "changed").unwrap();
    let second = midwatch(folder.path(), "dashboards --out ops --json").stdout;
    assert_eq!(second.matches(r#""outcome":"written""#).count(), 1, "{second}");
    assert!(std::fs::read_to_string(&dashboard).unwrap().contains("3 × median"));
}
