//! What tests need beside cargo.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

const PACKAGE: &str = "stripe-stateful-mock";
/// The checkout example is tested against this version.
const VERSION: &str = "0.0.16";

/// Installs npm's `stripe-stateful-mock` into `target/stripe-mock`, unless it is there: an independent Stripe fake that
/// honours idempotency keys.
///
/// Gives whether it is there; without node it is not, and the test against it is skipped.
///
/// # Errors
/// If npm is there and fails.
pub(crate) fn ensure_stripe_mock(root: &Path) -> anyhow::Result<bool> {
    let folder = root.join("target/stripe-mock");
    if folder.join("node_modules").join(PACKAGE).is_dir() {
        return Ok(true);
    }
    if Command::new("npm").arg("--version").output().is_err() {
        return Ok(false);
    }
    std::fs::create_dir_all(&folder)?;
    let status = Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent", "--prefix"])
        .arg(&folder)
        .arg(format!("{PACKAGE}@{VERSION}"))
        .status()
        .context("start npm")?;
    if !status.success() {
        bail!("npm could not install {PACKAGE}");
    }
    Ok(true)
}
