//! docs/guides/langgraph.md: LangGraph itself, with what it tells of its own.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::machine::{
    Hanging, Running, ask, ask_later, example, gateway, has_clients, ingest, run, simulator, until,
};

/// The graph, with models at `models`, its spans sent to `watch`.
fn graph(models: &str, watch: &Running, arguments: &[&str]) -> Command {
    let mut command = example("langgraph/graph.py", arguments);
    command.env("OPENAI_BASE_URL", models).env("OPENAI_API_KEY", "simulated");
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", watch.url("http_url")).env("OTEL_BSP_SCHEDULE_DELAY", "200");
    for name in ["LANGSMITH_TRACING", "LANGSMITH_OTEL_ENABLED", "LANGSMITH_OTEL_ONLY"] {
        command.env(name, "true");
    }
    command
}

fn run_of(folder: &Path, id: &str) -> Option<Value> {
    ask(folder, &["ls"]).into_iter().find(|run| run["workflow_id"] == id)
}

#[test]
fn a_graph_shows_what_each_thread_and_node_cost_and_where_it_hangs() {
    if !has_clients() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (models, watch) = (simulator(folder), ingest(folder, "127.0.0.1:0", &[]));
    let (code, said) = run(graph(models.url("openai_base_url"), &watch, &["thread-7"]));
    assert_eq!(code, 0, "{said}");

    let ended = || run_of(folder, "thread-7").filter(|run| run["status"] == "completed");
    let seen = until("the run", ended);
    assert_eq!(
        (&seen["workflow"], &seen["attempts"], &seen["failures"]),
        (&"langgraph".into(), &4.into(), &1.into()),
        "{seen}"
    );
    assert_eq!(seen["spent"]["usage"]["calls"], 4, "the call of the attempt that failed is counted: {seen}");
    let steps = ask(folder, &["cost", "--by", "step"])[0].to_string();
    for step in ["plan", "research", "answer"] {
        assert!(steps.contains(&format!("\"{step}\"")), "{steps}");
    }
    let why = ask(folder, &["show", "thread-7"])[0].to_string();
    assert!(why.contains("the search engine is down"), "{why}");

    let mut hanging = graph(models.url("openai_base_url"), &watch, &["thread-8", "hang"]);
    let hanging = Hanging(hanging.stdout(Stdio::null()).spawn().unwrap());
    let in_node = || run_of(folder, "thread-8").filter(|run| run["doing"] == "research");
    until("the node that hangs", in_node);
    assert!(ask(folder, &["stalls"]).iter().all(|stall| !stall.to_string().contains("thread-8")));
    let stalls = ask_later(folder, 6, &["stalls"]);
    assert!(stalls.iter().any(|stall| stall.to_string().contains("thread-8")), "{stalls:?}");
    let why = ask_later(folder, 6, &["why", "thread-8"])[0].clone();
    assert_eq!((&why["verdict"], &why["cause"]), (&"stuck".into(), &"step_silent".into()), "{why}");
    drop(hanging);
}

#[test]
fn a_budget_stops_a_graph_before_the_call_that_would_cross_it() {
    if !has_clients() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let models = simulator(folder);
    // Two calls of about a hundred tokens fit, and a third does not.
    let settings = [("BUDGETS__RUN__USD", "'0.0002'"), ("OUTPUT_TOKENS_ASSUMED", "150")];
    let gateway = gateway(folder, &models, &settings);
    let mut command = example("langgraph/graph.py", &["thread-9"]);
    command.env("OPENAI_BASE_URL", format!("{}/run/thread-9/v1", gateway.url("listening")));
    command.env("OPENAI_API_KEY", "of no concern").env("LANGSMITH_TRACING", "false");
    let (code, said) = run(command);
    assert!(code != 0 && said.contains("Error code: 402 - midwatch: run"), "{said}");

    let refused = || run_of(folder, "thread-9").filter(|run| run["class"] == "budget");
    let seen = until("the run", refused);
    let cost = seen["spent"]["cost"].as_u64().unwrap();
    assert!((1..=200_000_000).contains(&cost), "at most the budget: {seen}");
    let billed = &models.get("ledger_url")["billed"];
    let booked = &seen["spent"]["usage"];
    assert_eq!((&booked["input"], &booked["output"]), (&billed["input"], &billed["output"]));
}
