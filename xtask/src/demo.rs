//! The demo as others use it: its supervisor, its kills, and what it found out as data.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde::de::DeserializeOwned;

/// Builds the command line as this program was built, and lets its demo run, with models that it plays itself.
///
/// # Errors
/// If it cannot be built or started, or gives no result; one that does not agree is a result too.
pub(crate) fn run<T: DeserializeOwned>(arguments: &[String]) -> anyhow::Result<T> {
    let folder = tempfile::tempdir()?;
    let mut demo = Command::new(built()?);
    demo.args(["demo", "--json", "--model", "played"]).args(arguments);
    let output =
        demo.arg("--db").arg(folder.path().join("midwatch.db")).output().context("start midwatch")?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("midwatch demo gave no result, {}: {stderr}", output.status))
}

/// Builds the command line as this program was built, and gives its path.
///
/// # Errors
/// If it cannot be built.
pub(crate) fn built() -> anyhow::Result<PathBuf> {
    build(root()?)?;
    Ok(target()?.join(profile()).join("midwatch"))
}

/// Where builds go: a disk, which a temporary folder need not be.
///
/// # Errors
/// If there is no workspace.
pub(crate) fn target() -> anyhow::Result<PathBuf> {
    Ok(root()?.join("target"))
}

fn root() -> anyhow::Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask stands in the workspace")
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
