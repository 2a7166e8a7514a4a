//! `midwatch version`.

use crate::midwatch::midwatch;

#[test]
fn the_version_is_that_of_the_package() {
    let folder = tempfile::tempdir().unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert!(midwatch(folder.path(), "version").stdout.starts_with(&format!("midwatch {version} (")));
    let told: serde_json::Value =
        serde_json::from_str(&midwatch(folder.path(), "version --json").stdout).unwrap();
    assert_eq!(told["version"], version);
}
