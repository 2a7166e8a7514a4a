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

/// One call of a model by a LangGraph node, as JSON.
#[cfg(unix)]
const SPANS: &str = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0102030405060708090a0b0c0d0e0f10",
    "spanId":"SPAN","name":"chat gpt-4o","kind":3,"startTimeUnixNano":"1793491200000000000",
    "endTimeUnixNano":"1793491201000000000","attributes":[
        {"key":"gen_ai.operation.name","value":{"stringValue":"chat"}},
        {"key":"gen_ai.conversation.id","value":{"stringValue":"thread-7"}},
        {"key":"gen_ai.request.model","value":{"stringValue":"gpt-4o"}},
        {"key":"gen_ai.usage.input_tokens","value":{"intValue":"12"}}]}]}]}]}"#;

#[cfg(unix)]
#[test]
fn it_takes_traces_in_by_http_and_grpc_and_shows_their_runs() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;

    use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
    use serde_json::Value;

    use crate::midwatch::command;

    // There is no journal yet: this makes it.
    let folder = tempfile::tempdir().unwrap();
    let free = "127.0.0.1:0";
    let arguments = ["serve", "--json", "--listen", free, "--otlp", "--otlp-http", free, "--otlp-grpc", free];
    let token = "a-token-of-this-test";
    let mut child = command(folder.path())
        .args(arguments)
        .env("MIDWATCH_TOKEN", token)
        .env_remove("MIDWATCH_NOW")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let said: Value = serde_json::from_str(&line).unwrap();
    let url = |name: &str| said[name].as_str().unwrap().to_owned();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let run = runtime.block_on(async {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = midwatch::http::reqwest::Client::new();
        let traces = format!("{}/v1/traces", url("otlp_http_url"));
        let send =
            |spans: String| client.post(&traces).header("content-type", "application/json").body(spans);
        let first = SPANS.replace("SPAN", "0102030405060708");
        assert_eq!(send(first.clone()).send().await.unwrap().status(), 401, "without the token");
        assert_eq!(send(first).bearer_auth(token).send().await.unwrap().status(), 200);
        let mut second =
            tonic::Request::new(serde_json::from_str(&SPANS.replace("SPAN", "0102030405060709")).unwrap());
        second.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        let mut grpc = TraceServiceClient::connect(url("otlp_grpc_url")).await.unwrap();
        grpc.export(second).await.unwrap();
        // What was taken is in the journal a few milliseconds later, and in lists within a second.
        let runs = format!("{}/runs", url("api"));
        for _ in 0..200 {
            let answer = client.get(&runs).bearer_auth(token).send().await.unwrap();
            let listed: Value = answer.json().await.unwrap();
            let run = listed["runs"][0].clone();
            if run["attempts"] == 2 || run["spent"]["calls"] == 2 {
                return run;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!(
            "the run is not seen: {}",
            client.get(&runs).bearer_auth(token).send().await.unwrap().text().await.unwrap()
        );
    });
    assert_eq!(run["workflow_id"], "thread-7");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn traces_from_other_machines_need_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let ran = midwatch(folder.path(), "serve --listen 127.0.0.1:0 --otlp --otlp-http 0.0.0.0:0");
    assert_eq!(ran.code, 2, "{}", ran.all());
    assert!(ran.stderr.contains("MIDWATCH_TOKEN"), "{}", ran.all());
}
