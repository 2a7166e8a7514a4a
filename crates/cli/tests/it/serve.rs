//! `midwatch serve`.

use crate::journal::{checkout, written};
use crate::midwatch::midwatch;

#[cfg(unix)]
#[test]
fn it_serves_the_console_json_and_metrics_until_it_is_told_to_stop() {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpStream;
    use std::process::Stdio;

    use crate::midwatch::command;

    let folder = written(&[checkout()]);
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--json"];
    let mut child = command(folder.path()).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let said: serde_json::Value = serde_json::from_str(&line).unwrap();
    let address = said["url"].as_str().unwrap().trim_start_matches("http://").to_owned();
    let get = |path: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        answer
    };
    assert!(get("/runs").contains("order-42"));
    assert!(get("/api/v1/runs").contains("order-42"));
    assert!(get("/metrics").contains("midwatch_journal_up 1"));
    // Somebody who stays does not keep it from stopping.
    let mut reader = TcpStream::connect(&address).unwrap();
    write!(reader, "GET /live/runs HTTP/1.1\r\nhost: {address}\r\n\r\n").unwrap();
    reader.read_exact(&mut [0; 12]).unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn it_does_not_begin_without_a_journal_nor_open_to_others_without_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let ran = midwatch(folder.path(), "serve");
    assert_eq!(ran.code, 4, "{}", ran.all());
    let folder = written(&[checkout()]);
    let ran = midwatch(folder.path(), "serve --listen 0.0.0.0:0");
    assert_eq!(ran.code, 2, "{}", ran.all());
    assert!(ran.stderr.contains("can be reached from other machines"), "{}", ran.all());
}
