//! OpenTelemetry's own exporters send, by HTTP and gRPC; the process that takes it in is killed in between.

use std::path::Path;

use serde_json::Value;

use crate::machine::{ask, example, has_clients, ingest, run};

fn send(endpoint: &str, arguments: &[&str]) {
    let mut command = example("opentelemetry/send.py", arguments);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint).env("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip");
    let (code, said) = run(command);
    assert_eq!((code, said.as_str()), (0, ""));
}

fn run_of(folder: &Path, id: &str) -> Value {
    let runs = ask(folder, &["ls"]);
    runs.into_iter().find(|run| run["workflow_id"] == id).unwrap()
}

#[test]
fn spans_come_by_http_and_grpc_and_a_kill_between_two_batches_loses_none() {
    if !has_clients() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let first = ingest(folder, "127.0.0.1:0", &[]);
    send(first.url("http_url"), &["thread-1", "3"]);
    send(first.url("grpc_url"), &["thread-1", "2", "grpc"]);
    first.kill();
    let second = ingest(folder, "127.0.0.1:0", &[]);
    send(second.url("http_url"), &["thread-1", "4"]);
    send(second.url("grpc_url"), &["thread-2", "1", "grpc"]);

    let run = run_of(folder, "thread-1");
    assert_eq!((&run["workflow"], &run["status"]), (&"support-agent".into(), &"completed".into()), "{run}");
    assert_eq!((&run["attempts"], &run["failures"]), (&9.into(), &0.into()), "{run}");
    assert_eq!(run["spent"]["usage"]["input"], 9_000, "{run}");
    assert_eq!(run_of(folder, "thread-2")["spent"]["usage"]["output"], 100);
    // Ten times 1,000 × $0.15 and 100 × $0.60, each for a million.
    let cost = ask(folder, &["cost", "--by", "model"]);
    assert_eq!(cost[0]["total"]["cost"], 2_100_000_000_u64, "{cost:?}");
}
