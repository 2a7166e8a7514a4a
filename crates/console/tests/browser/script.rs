//! Running a script against a console.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::PATIENCE;

/// What scripts need.
pub(crate) struct Browser {
    chromium: PathBuf,
    modules: PathBuf,
}

/// Whether there is a browser; a machine that says it has one must have it.
pub(crate) fn has_browser() -> Option<Browser> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let modules = root.join("target/tools/browser/node_modules");
    let chromium =
        ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].map(PathBuf::from);
    let mut chromium = std::env::var_os("CHROMIUM").map(PathBuf::from).into_iter().chain(chromium);
    let is_there = modules.join("playwright-core").is_dir() && modules.join("axe-core").is_dir();
    if let Some(chromium) = chromium.find(|path| is_there && path.exists()) {
        return Some(Browser { chromium, modules });
    }
    assert!(
        std::env::var_os("MIDWATCH_REQUIRE_BROWSER").is_none(),
        "no Chromium, or no Playwright in target/tools/browser: run `cargo xtask test browser`"
    );
    eprintln!("SKIPPED: no Chromium, or no Playwright in target/tools/browser");
    None
}

/// Runs a script and fails as it does.
pub(crate) fn play(browser: &Browser, script: &str, facts: &Value) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    let shots = folder.ancestors().nth(4).unwrap().join("target/screenshots");
    std::fs::create_dir_all(&shots).unwrap();
    let mut child = Command::new("node")
        .arg(folder.join(script))
        .env("FACTS", facts.to_string())
        .env("CHROMIUM", &browser.chromium)
        .env("MODULES", &browser.modules)
        .env("SHOTS", shots)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{script} failed");
            return;
        }
        if Instant::now() > end {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{script} did not end within {PATIENCE:?}");
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}
