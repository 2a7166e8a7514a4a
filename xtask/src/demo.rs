//! The demo as others use it: its supervisor, its kills, and what it found out as data.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde::de::DeserializeOwned;

/// Builds the command line as this program was built, and lets its demo run, with models that it plays itself.
///
/// # Errors
/// If it cannot be built or started, or gives no result; one that does not agree is a result too.
pub(crate) fn run<T: DeserializeOwned>(arguments: &[String]) -> anyhow::Result<T> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask stands in the workspace")?;
    build(root)?;
    let folder = tempfile::tempdir()?;
    let mut demo = Command::new(root.join("target").join(profile()).join("midwatch"));
    demo.args(["demo", "--json", "--model", "played"]).args(arguments);
    let output =
        demo.arg("--db").arg(folder.path().join("midwatch.db")).output().context("start midwatch")?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("midwatch demo gave no result, {}: {stderr}", output.status))
}

fn build(root: &Path) -> anyhow::Result<()> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet", "--package", "midwatch-cli"]).current_dir(root);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    ensure!(cargo.status().context("start cargo")?.success(), "midwatch could not be built");
    Ok(())
}

fn profile() -> &'static str {
    if cfg!(debug_assertions) { "debug" } else { "release" }
}
