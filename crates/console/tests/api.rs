//! The JSON interface: what it answers, and that it answers as its description says.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stderr)]

mod place;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use midwatch_console::{Access, OpenError, Settings};
use midwatch_journal::sqlite::SqliteJournal;
use midwatch_journal::{Journal, Lease, RunQuery};
use serde_json::Value;

use crate::place::{Served, journal};

#[test]
fn schemathesis_finds_no_answer_that_the_description_does_not_allow() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let program = root.join("target/tools/schemathesis/bin/schemathesis");
    if !program.is_file() {
        assert!(
            std::env::var_os("MIDWATCH_REQUIRE_SCHEMATHESIS").is_none(),
            "run `cargo xtask test browser`"
        );
        eprintln!("SKIPPED: no schemathesis in target/tools/schemathesis");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.db");
    journal::incidents(&path);
    let served = Served::start(&path, Settings::default());
    // Which fields an order needs depends on the action; the description does not go that far.
    let config = "[[operations]]\ninclude-name = \"POST /api/v1/runs/{run}/{action}\"\n\
                  checks.positive_data_acceptance.enabled = false\n";
    std::fs::write(folder.path().join("schemathesis.toml"), config).unwrap();
    let output = Command::new(program)
        .args(["run", &format!("{}/api/v1/openapi.json", served.url), "--url", &served.url])
        .args(["--seed", "4", "--max-examples", "10", "--workers", "1", "--no-color"])
        .args(["--header", "X-Midwatch-By: schemathesis"])
        .args(["--phases", "examples,coverage,fuzzing"])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn the_description_names_every_field_of_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shape.db");
    journal::incidents(&path);
    let served = Served::start(&path, Settings::default());
    let described: Value = get(&served, "/api/v1/openapi.json");
    let named = described["components"]["schemas"]["Run"]["properties"].as_object().unwrap();
    let named: BTreeSet<&String> = named.keys().collect();
    let runs = get(&served, "/api/v1/runs?limit=1000");
    for run in runs["runs"].as_array().unwrap() {
        for field in run.as_object().unwrap().keys() {
            assert!(named.contains(field), "{field} is not described");
        }
    }
}

#[test]
fn the_list_is_that_of_the_journal_and_a_run_can_be_named_as_on_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list.db");
    journal::incidents(&path);
    let served = Served::start(&path, Settings::default());
    let expected = SqliteJournal::open_reader(&path)
        .unwrap()
        .runs(&RunQuery { limit: 7, ..RunQuery::default() })
        .unwrap();
    let found = get(&served, "/api/v1/runs?limit=7");
    assert_eq!(found["runs"], serde_json::to_value(&expected).unwrap());
    assert_eq!(found["has_more"], true);
    let one = &expected[0];
    for name in [one.run.to_string(), one.run.short(), one.workflow_id.to_string()] {
        let why = get(&served, &format!("/api/v1/runs/{name}/why"));
        assert_eq!(why["run"], one.run.to_string(), "{name}");
    }
}

#[test]
fn a_list_can_be_read_page_by_page_and_so_can_the_runs_of_a_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pages.db");
    journal::incidents(&path);
    let served = Served::start(&path, Settings::default());
    let whole = ids(&get(&served, "/api/v1/runs?limit=1000")["runs"]);
    assert_eq!(pages(&served, "/api/v1/runs?limit=7"), whole);
    let failed = ids(&get(&served, "/api/v1/runs?limit=1000&status=failed,compensated,cancelled")["runs"]);
    assert!(failed.len() > 3, "{failed:?}");
    assert_eq!(pages(&served, "/api/v1/runs?limit=2&verdict=failed"), failed);
    let expensive = pages(&served, "/api/v1/runs?limit=2&verdict=expensive&order=costliest");
    assert!(expensive.len() > 2, "{expensive:?}");
    for run in &expensive {
        assert_eq!(get(&served, &format!("/api/v1/runs/{run}/why"))["verdict"], "expensive", "{run}");
    }
    let none = get(&served, "/api/v1/runs?verdict=stuck&status=completed");
    assert_eq!((&none["looked"], &none["has_more"], &none["next"]), (&0.into(), &false.into(), &Value::Null));
    let one = &expensive[0];
    assert_eq!(
        ids(&get(&served, &format!("/api/v1/runs?run={one}&verdict=expensive"))["runs"]),
        [one.as_str()]
    );
    assert_eq!(ids(&get(&served, &format!("/api/v1/runs?run={one}&verdict=stuck"))["runs"]).len(), 0);
}

#[test]
fn the_page_of_a_run_that_is_only_watched_has_no_form_and_says_who_carries_it_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("watched.db");
    let runs = journal::watched(&path);
    // As if a process were at work on it.
    let _lease = Lease::acquire(&path).unwrap();
    let served = Served::start(&path, Settings::default());
    for (run, is_watched) in runs {
        let page = text(&served, &format!("/runs/{run}"));
        assert_eq!(page.contains("the agent that sends its traces carries it out"), is_watched, "{run}");
        assert_eq!(page.contains(&format!("action=\"/runs/{run}/")), !is_watched, "{run}");
        assert_eq!(page.contains("midwatch cancel"), !is_watched, "{run}");
    }
}

fn ids(runs: &Value) -> Vec<String> {
    runs.as_array().unwrap().iter().map(|run| run["run"].as_str().unwrap().to_owned()).collect()
}

/// All runs of a list, page by page.
fn pages(served: &Served, address: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut after = String::new();
    loop {
        let page = get(served, &format!("{address}{after}"));
        found.extend(ids(&page["runs"]));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return found,
        }
    }
}

#[test]
fn an_address_that_others_reach_needs_a_token_that_cannot_be_guessed() {
    let open = Access::default();
    assert!(open.check("127.0.0.1:1".parse().unwrap()).is_ok());
    assert!(open.check("[::1]:1".parse().unwrap()).is_ok());
    assert!(matches!(open.check("0.0.0.0:1".parse().unwrap()), Err(OpenError::Unprotected(_))));
    let weak = Access { token: Some("short".to_owned()), ..Access::default() };
    assert!(matches!(weak.check("127.0.0.1:1".parse().unwrap()), Err(OpenError::WeakToken)));
    let strong = Access { token: Some("0123456789abcdef".to_owned()), ..Access::default() };
    assert!(strong.check("0.0.0.0:1".parse().unwrap()).is_ok());
    assert!(!format!("{strong:?}").contains("0123"), "the token is never shown");
}

fn get(served: &Served, path: &str) -> Value {
    serde_json::from_str(&text(served, path)).unwrap()
}

fn text(served: &Served, path: &str) -> String {
    let mut stream = TcpStream::connect(served.url.trim_start_matches("http://")).unwrap();
    // The older protocol ends an answer with the connection.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 200 "), "{path}: {head}");
    body.to_owned()
}
