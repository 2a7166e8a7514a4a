//! `midwatch simulate`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

use insta::assert_snapshot;
use serde_json::Value;

use crate::midwatch::{command, midwatch};

/// Sends one request and gives the status line.
#[cfg(unix)]
fn post(address: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[cfg(unix)]
#[test]
fn it_serves_until_ctrl_c_and_ends_with_the_ledger() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("simulator.toml"), "seed = 3\n[faults.llm]\noverloaded = 0.0\n")
        .unwrap();
    let arguments = ["simulate", "--config", "simulator.toml", "--fault", "llm.rate_limited=1", "--json"];
    let mut child = command(folder.path()).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    let urls = next();
    let address = urls["payments_base_url"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
    let chat = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hello"}]}"#;
    assert!(post(&address, "/v1/chat/completions", chat).contains("429"));
    assert!(post(&address, "/v1/effects/book_flight", "{}").contains("200"));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let ledger = &next()["ledger"];
    assert_eq!(ledger["requests"], 2);
    assert_eq!(ledger["by_fault"]["rate_limited"], 1);
    assert_eq!(ledger["effects_by_kind"]["book_flight"], 1);
    assert!(child.wait().unwrap().success());
}

#[cfg(unix)]
#[test]
fn the_addresses_are_lines_for_a_shell() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = command(folder.path()).arg("simulate").stdout(Stdio::piped()).spawn().unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    while !text.contains("# ledger") {
        reader.read_line(&mut text).unwrap();
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    reader.read_to_string(&mut text).unwrap();
    assert!(child.wait().unwrap().success());
    let port = text.split("127.0.0.1:").nth(1).unwrap().split('/').next().unwrap().to_owned();
    assert_snapshot!(text.replace(&port, "PORT"), @r"
    export OPENAI_BASE_URL=http://127.0.0.1:PORT/v1
    export OPENAI_API_KEY=simulated
    export ANTHROPIC_BASE_URL=http://127.0.0.1:PORT
    export ANTHROPIC_API_KEY=simulated
    export PAYMENTS_BASE_URL=http://127.0.0.1:PORT
    # ledger: http://127.0.0.1:PORT/_ledger · Ctrl-C ends it

    requests  0
    twice     0 effects done twice
    ");
}

#[test]
fn settings_that_cannot_work_are_usage_errors() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bad.toml"), "sead = 3\n").unwrap();
    for arguments in [
        "--fault sleepy=1",
        "--fault hang=2",
        "--fault hang",
        "--rps 0",
        "--config bad.toml",
        "--config no.toml",
    ] {
        let ran = midwatch(folder.path(), &format!("simulate {arguments}"));
        assert_eq!(ran.code, 2, "{arguments}: {ran:?}");
    }
    assert_snapshot!(midwatch(folder.path(), "simulate --fault sleepy=1").stderr, @"error: [MW0202] there is no fault `llm.sleepy`: see --help");
}
