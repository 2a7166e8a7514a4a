//! The invariants of ARCHITECTURE.md that the structure of the code must keep.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `dev` for what only tests need.
    kind: Option<String>,
}

fn packages() -> Vec<Package> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice::<Metadata>(&output.stdout).expect("cargo's metadata").packages
}

fn dependencies(package: &Package) -> BTreeSet<&str> {
    package.dependencies.iter().filter(|d| d.kind.is_none()).map(|d| d.name.as_str()).collect()
}

#[test]
fn data_flows_one_way() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("midwatch-macros", &[][..]),
        ("midwatch-workflow", &[]),
        ("midwatch-journal", &["midwatch-workflow"]),
        ("midwatch-observe", &["midwatch-workflow"]),
        ("midwatch-inspect", &["midwatch-journal", "midwatch-observe", "midwatch-workflow"]),
        ("midwatch-steer", &["midwatch-journal", "midwatch-observe", "midwatch-workflow"]),
        (
            "midwatch-watch",
            &["midwatch-inspect", "midwatch-journal", "midwatch-observe", "midwatch-workflow"],
        ),
        (
            "midwatch-mcp",
            &[
                "midwatch-inspect",
                "midwatch-journal",
                "midwatch-observe",
                "midwatch-steer",
                "midwatch-workflow",
            ],
        ),
        ("midwatch-otlp", &["midwatch-journal", "midwatch-observe", "midwatch-workflow"]),
        (
            "midwatch-console",
            &[
                "midwatch-inspect",
                "midwatch-journal",
                "midwatch-observe",
                "midwatch-providers",
                "midwatch-steer",
                "midwatch-workflow",
            ],
        ),
        ("midwatch-providers", &["midwatch-workflow"]),
        ("midwatch-simulator", &[]),
        ("midwatch-recorder", &["midwatch-journal", "midwatch-workflow"]),
        ("midwatch-ingest", &["midwatch-providers", "midwatch-recorder", "midwatch-workflow"]),
        ("midwatch-gates", &["midwatch-workflow"]),
        ("midwatch-books", &["midwatch-simulator", "midwatch-workflow"]),
        (
            "midwatch-gateway",
            &[
                "midwatch-gates",
                "midwatch-journal",
                "midwatch-providers",
                "midwatch-recorder",
                "midwatch-workflow",
            ],
        ),
        ("midwatch-engine-attempt", &["midwatch-gates", "midwatch-journal", "midwatch-workflow"]),
        ("midwatch-engine-embedded", &["midwatch-engine-attempt", "midwatch-journal", "midwatch-workflow"]),
        ("midwatch-engine-restate", &["midwatch-engine-attempt", "midwatch-journal", "midwatch-workflow"]),
        ("midwatch-engine-temporal", &["midwatch-engine-attempt", "midwatch-journal", "midwatch-workflow"]),
        (
            "midwatch-engine-conformance",
            &["midwatch-engine-embedded", "midwatch-journal", "midwatch-macros", "midwatch-workflow"],
        ),
        (
            "midwatch",
            &[
                "midwatch-console",
                "midwatch-engine-embedded",
                // Behind features that are off by default.
                "midwatch-engine-restate",
                "midwatch-engine-temporal",
                "midwatch-gateway",
                "midwatch-journal",
                "midwatch-macros",
                "midwatch-otlp",
                "midwatch-providers",
                "midwatch-workflow",
            ],
        ),
    ]);
    for package in packages() {
        let Some(allowed) = allowed.get(package.name.as_str()) else {
            assert!(
                ["midwatch-cli", "xtask"].contains(&package.name.as_str()),
                "{} is not placed yet",
                package.name
            );
            continue;
        };
        for dependency in dependencies(&package).into_iter().filter(|name| name.starts_with("midwatch")) {
            assert!(allowed.contains(&dependency), "{} must not depend on {dependency}", package.name);
        }
    }
}

#[test]
fn only_the_journal_knows_sqlite() {
    for package in packages() {
        // The benchmarks measure the machine's own limit with it.
        let may = ["midwatch-journal", "xtask"].contains(&package.name.as_str());
        assert!(may || !dependencies(&package).contains("rusqlite"), "{} must not know SQLite", package.name);
    }
}

#[test]
fn the_workflow_core_has_no_runtime_no_clock_and_no_input_or_output() {
    let packages = packages();
    let core = packages.iter().find(|package| package.name == "midwatch-workflow").expect("the core");
    let known = dependencies(core);
    for runtime in
        ["tokio", "async-std", "smol", "rusqlite", "reqwest", "hyper", "rand", "fastrand", "getrandom"]
    {
        assert!(!known.contains(runtime), "the core must not depend on {runtime}");
    }
    let source = core.manifest_path.parent().expect("a folder").join("src");
    let forbidden = [
        "std::fs",
        "std::net",
        "std::env",
        "std::process",
        "std::thread",
        "std::io::",
        "SystemTime",
        "Instant::now",
        "println!",
    ];
    for (path, text) in sources(&source) {
        for (number, line) in
            text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"))
        {
            let found = forbidden.iter().find(|word| line.contains(**word));
            // Turning the error of somebody else's input or output into a failure is no input or output.
            let found = found.filter(|_| !line.contains("std::io::Error"));
            assert!(found.is_none(), "{}:{}: {line}", path.display(), number + 1);
        }
    }
}

#[test]
fn every_source_file_says_what_it_is_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    for folder in ["crates", "xtask/src", "examples"] {
        for (path, text) in sources(&root.join(folder)) {
            let is_fixture = path.components().any(|part| part.as_os_str() == "ui");
            let is_said = text.starts_with("//!") || text.starts_with("#![doc = include_str!");
            assert!(is_fixture || is_said, "{} does not open with `//!`", path.display());
        }
    }
}

#[test]
fn every_error_code_has_a_page_and_every_page_a_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let mut codes = BTreeSet::new();
    for package in std::fs::read_dir(root.join("crates")).expect("the crates") {
        for (_, text) in sources(&package.expect("a crate").path().join("src")) {
            codes.extend(
                text.split("[MW")
                    .skip(1)
                    .filter_map(|rest| rest.split_once(']'))
                    .filter(|(digits, _)| digits.parse::<u16>().is_ok())
                    .map(|(digits, _)| format!("MW{digits}")),
            );
        }
    }
    assert!(codes.contains("MW0101"), "codes are looked for in the wrong way: {codes:?}");
    let folder = root.join("docs/errors");
    for code in &codes {
        let page = std::fs::read_to_string(folder.join(format!("{code}.md")));
        let page = page.unwrap_or_else(|_| panic!("{code} has no page in docs/errors"));
        assert!(page.starts_with(&format!("# {code}: ")), "the page of {code} has another title");
    }
    for page in std::fs::read_dir(folder).expect("the pages") {
        let name = page.expect("a page").path().file_stem().expect("a name").to_string_lossy().into_owned();
        assert!(codes.contains(&name), "nothing says {name}, which has a page");
    }
}

/// All Rust files below a folder, with their text.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("a text");
            found.push((path, text));
        }
    }
    found
}
