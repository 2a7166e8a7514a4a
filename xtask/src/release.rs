//! Whatever is measured is measured on a release build: a debug build of this program starts one of itself.

use std::process::Command;

use anyhow::Context as _;

/// Runs `task` if this is a release build, else this very command on a release build.
pub(crate) fn or_here(task: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    if !cfg!(debug_assertions) {
        return task();
    }
    let status = Command::new("cargo")
        .args(["run", "--quiet", "--release", "--package", "xtask", "--"])
        .args(std::env::args_os().skip(1))
        .status()
        .context("start cargo for a release build")?;
    std::process::exit(status.code().unwrap_or(1));
}
