//! All tests, in the order in which a failure is cheapest to find.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};

use crate::setup;

/// What to test.
#[derive(Args)]
pub(crate) struct Options {
    /// Only this part.
    #[arg(value_enum)]
    only: Option<Part>,
}

/// A part of the tests.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
enum Part {
    /// Format, lints, documentation.
    Lints,
    /// Unit, conformance and end-to-end tests.
    Tests,
    /// Examples in the documentation.
    Docs,
    /// The console in a browser; a part of the tests, by itself. Screenshots are left in `target/screenshots`.
    Browser,
}

/// One command, as it would be typed.
struct Check {
    part: Part,
    arguments: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
}

/// The front doors of the gateway and of the engines on servers, which are off by default. Their crates are built in any case.
const SERVERS: &str = "midwatch/gateway,midwatch/restate,midwatch/temporal";

const CHECKS: [Check; 7] = [
    Check { part: Part::Lints, arguments: &["fmt", "--all", "--check"], environment: &[] },
    Check {
        part: Part::Lints,
        arguments: &["clippy", "--workspace", "--all-targets", "--features", SERVERS, "--", "-D", "warnings"],
        environment: &[],
    },
    Check {
        part: Part::Lints,
        arguments: &["doc", "--workspace", "--no-deps", "--document-private-items", "--features", SERVERS],
        environment: &[("RUSTDOCFLAGS", "-D warnings")],
    },
    Check {
        part: Part::Tests,
        arguments: &["nextest", "run", "--workspace", "--features", SERVERS],
        environment: &[],
    },
    Check {
        part: Part::Browser,
        arguments: &["nextest", "run", "--package", "midwatch-console", "--test", "browser", "--test", "api"],
        environment: &[],
    },
    // Off by default, and by itself, so that nothing else is built with it.
    Check {
        part: Part::Tests,
        arguments: &[
            "test",
            "--package=midwatch",
            "--features=async-openai,gateway,genai,rig",
            "--test=async_openai",
            "--test=genai",
            "--test=rig",
        ],
        environment: &[],
    },
    Check {
        part: Part::Docs,
        arguments: &["test", "--workspace", "--doc", "--features", SERVERS],
        environment: &[],
    },
];

/// Runs the checks one after another and stops at the first that fails.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask stands in the workspace")?;
    // What is a part of another is not done twice.
    let wanted = |part: Part| options.only.map_or(part != Part::Browser, |only| only == part);
    let needs_browser = wanted(Part::Tests) || wanted(Part::Browser);
    let has_browser = needs_browser && setup::ensure_browser(root)?;
    let has_schemathesis = needs_browser && setup::ensure_schemathesis(root)?;
    let has_stripe_mock = wanted(Part::Tests) && setup::ensure_stripe_mock(root)?;
    let has_restate = wanted(Part::Tests) && setup::ensure_restate_server(root)?;
    let has_temporal = wanted(Part::Tests) && setup::ensure_temporal_server(root)?;
    let has_prometheus = wanted(Part::Tests) && setup::ensure_prometheus(root)?;
    let has_grafana_types = wanted(Part::Tests) && setup::ensure_grafana_types(root)?;
    let has_otlp = wanted(Part::Tests) && setup::ensure_otlp_receivers(root)?;
    let has_guides = wanted(Part::Tests) && setup::ensure_guides(root)?;
    // What is there must not be skipped in silence.
    let required: Vec<(&str, &str)> = [
        has_stripe_mock.then_some(("MIDWATCH_REQUIRE_STRIPE_MOCK", "1")),
        has_restate.then_some(("MIDWATCH_REQUIRE_RESTATE", "1")),
        has_temporal.then_some(("MIDWATCH_REQUIRE_TEMPORAL", "1")),
        has_prometheus.then_some(("MIDWATCH_REQUIRE_PROMETHEUS", "1")),
        has_grafana_types.then_some(("MIDWATCH_REQUIRE_GRAFANA_TYPES", "1")),
        has_otlp.then_some(("MIDWATCH_REQUIRE_OTLP", "1")),
        has_browser.then_some(("MIDWATCH_REQUIRE_BROWSER", "1")),
        has_schemathesis.then_some(("MIDWATCH_REQUIRE_SCHEMATHESIS", "1")),
        has_guides.then_some(("MIDWATCH_REQUIRE_GUIDES", "1")),
    ]
    .into_iter()
    .flatten()
    .collect();
    for check in CHECKS.iter().filter(|check| wanted(check.part)) {
        check.run(root, &required)?;
    }
    if wanted(Part::Tests) && !has_stripe_mock {
        say("SKIPPED: the checkout example against stripe-stateful-mock, for want of node and npm");
    }
    if wanted(Part::Tests) && !has_restate {
        say("SKIPPED: the engine on a Restate server, for want of node and npm");
    }
    if wanted(Part::Tests) && !has_temporal {
        say("SKIPPED: the engine on a Temporal server, for want of python3");
    }
    if wanted(Part::Tests) && !has_prometheus {
        say("SKIPPED: metrics and alerts against Prometheus and Alertmanager, for want of apt");
    }
    if wanted(Part::Tests) && !has_grafana_types {
        say("SKIPPED: the dashboard against Grafana's types, for want of node and npm");
    }
    if wanted(Part::Tests) && !has_otlp {
        say("SKIPPED: traces at receivers of OTLP, for want of python3");
    }
    if needs_browser && !has_browser {
        say("SKIPPED: the console in a browser, for want of Chromium, or of node and npm");
    }
    if needs_browser && !has_schemathesis {
        say("SKIPPED: the console's API as schemathesis tries it, for want of python3");
    }
    if wanted(Part::Tests) && !has_guides {
        say("SKIPPED: the guides with the clients of others, for want of python3, node or npm");
    }
    say("all checks passed");
    Ok(())
}

impl Check {
    fn run(&self, root: &Path, required: &[(&str, &str)]) -> anyhow::Result<()> {
        // Without nextest the standard runner does: slower, the same tests.
        let arguments = match self.arguments {
            ["nextest", ..] if !has_nextest() => {
                &["test", "--workspace", "--lib", "--bins", "--tests", "--features", SERVERS]
            }
            arguments => arguments,
        };
        let environment: String =
            self.environment.iter().map(|(key, value)| format!("{key}='{value}' ")).collect();
        let line = format!("{environment}cargo {}", arguments.join(" "));
        say(&format!("$ {line}"));
        let begun = Instant::now();
        let status = Command::new("cargo")
            .args(arguments)
            .envs(self.environment.iter().copied())
            .envs(required.iter().copied())
            .current_dir(root)
            .status()
            .with_context(|| format!("start `{line}`"))?;
        if !status.success() {
            bail!("`{line}` failed");
        }
        say(&format!("  passed in {:.0} s\n", begun.elapsed().as_secs_f64()));
        Ok(())
    }
}

fn has_nextest() -> bool {
    let version = Command::new("cargo").args(["nextest", "--version"]).output();
    version.is_ok_and(|output| output.status.success())
}

#[allow(clippy::print_stdout)]
fn say(line: &str) {
    println!("{line}");
}
