//! `midwatch watch`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

use crate::journal::{booking, checkout, research, written};
use crate::midwatch::{command, midwatch};

/// The body of an answer to GET.
#[cfg(unix)]
fn get(url: &str) -> String {
    let (address, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer
}

#[cfg(unix)]
#[test]
fn it_serves_metrics_until_it_is_told_to_stop() {
    let folder = written(&[checkout(), booking(), research()]);
    let arguments = ["watch", "--listen", "127.0.0.1:0", "--json"];
    let mut child = command(folder.path()).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let said: serde_json::Value = serde_json::from_str(&line).unwrap();
    let page = get(said["metrics_url"].as_str().unwrap());
    for line in [
        r#"midwatch_runs{workflow="research",status="parked"} 1"#,
        r#"midwatch_parked_runs{workflow="research",reason="budget"} 1"#,
        "midwatch_owner_up 0",
        "midwatch_journal_up 1",
    ] {
        assert!(page.contains(line), "{line} is not in\n{page}");
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
}

#[cfg(unix)]
#[test]
fn a_receiver_that_cannot_be_told_is_named_on_stderr() {
    let folder = written(&[research()]);
    let rules = "[[receiver]]\nname = \"oncall\"\nkind = \"slack\"\nurl_file = \"no-such-file\"\n";
    std::fs::write(folder.path().join("alerts.toml"), rules).unwrap();
    let arguments = ["watch", "--listen", "127.0.0.1:0", "--rules", "alerts.toml"];
    let mut command = command(folder.path());
    let mut child = command
        .env_remove("RUST_LOG")
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    for word in ["WARN", "oncall", "no-such-file", "is due again"] {
        assert!(line.contains(word), "{word}: {line}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn without_a_journal_it_does_not_begin() {
    let folder = tempfile::tempdir().unwrap();
    let ran = midwatch(folder.path(), "watch");
    assert_eq!(ran.code, 4, "{}", ran.all());
}
