//! The official clients, LiteLLM, Inngest and Hatchet, through `midwatch gateway` to models that answer as real ones do.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::machine::{Running, ask, example, gateway, has_clients, run, simulator, until};

fn through(gateway: &Running, program: &str, arguments: &[&str]) -> Command {
    let mut command = example(program, arguments);
    command.env("MIDWATCH_GATEWAY_URL", gateway.url("listening"));
    command
}

/// A run, once it shows so many attempts: lists trail a busy run by up to a second.
fn run_of(folder: &Path, id: &str, attempts: u64) -> Value {
    let is_it =
        |run: &Value| run["workflow_id"] == id && run["attempts"] == attempts && run["doing"].is_null();
    until(id, || ask(folder, &["ls"]).into_iter().find(is_it))
}

/// What the models billed, input and output tokens together.
fn billed(models: &Running) -> u64 {
    let ledger = models.get("ledger_url");
    let bill = &ledger["billed"];
    bill["input"].as_u64().unwrap() + bill["output"].as_u64().unwrap()
}

fn booked(folder: &Path) -> u64 {
    let tokens = |run: &Value| {
        let usage = &run["spent"]["usage"];
        usage["input"].as_u64().unwrap_or(0) + usage["output"].as_u64().unwrap_or(0)
    };
    ask(folder, &["ls"]).iter().map(tokens).sum()
}

#[test]
fn every_client_is_metered_to_the_token_by_its_base_url_alone() {
    if !has_clients() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let models = simulator(folder);
    let gateway = gateway(folder, &models, &[]);
    for (program, thread, calls) in [
        ("openai/chat.py", "openai-python", 2),
        ("openai/chat.mjs", "openai-node", 2),
        ("anthropic/messages.py", "anthropic-python", 2),
        ("anthropic/messages.mjs", "anthropic-node", 2),
        ("litellm/completion.py", "litellm", 1),
    ] {
        let mut command = through(&gateway, program, &[thread]);
        command.env("LITELLM_LOCAL_MODEL_COST_MAP", "True");
        let (code, said) = run(command);
        assert_eq!(code, 0, "{program}: {said}");
        assert!(said.contains("answer "), "{program}: {said}");
        let seen = run_of(folder, thread, calls);
        assert_eq!(seen["spent"]["usage"]["calls"], calls, "{program}: {seen}");
        assert!(seen["spent"]["cost"].as_u64().unwrap() > 0, "{program}: {seen}");
    }
    let steps = ask(folder, &["cost", "--by", "step"])[0].to_string();
    assert!(steps.contains("\"name_star\""), "{steps}");
    assert_eq!(booked(folder), billed(&models));
}

#[test]
fn a_budget_stops_the_official_clients_without_a_retry() {
    if !has_clients() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let models = simulator(folder);
    let gateway = gateway(folder, &models, &[("BUDGETS__RUN__USD", "'0.000001'")]);
    for program in ["openai/chat.py", "openai/chat.mjs", "anthropic/messages.py", "anthropic/messages.mjs"] {
        let thread = program.replace('/', "-");
        let (code, said) = run(through(&gateway, program, &[&thread]));
        assert_eq!(code, 3, "{program}: {said}");
        // In each provider's own words.
        let word = if program.starts_with("openai") { "budget_exceeded" } else { "billing_error" };
        assert!(said.contains(&format!("refused 402 {word}")), "{program}: {said}");
        let seen = run_of(folder, &thread, 1);
        assert_eq!((&seen["attempts"], &seen["spent"]["cost"]), (&1.into(), &0.into()), "{program}: {seen}");
    }
    assert_eq!(billed(&models), 0, "nothing was sent");
}

#[test]
fn steps_of_inngest_and_tasks_of_hatchet_are_runs_of_their_own_ids() {
    if !has_clients() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let models = simulator(folder);
    let gateway = gateway(folder, &models, &[]);
    let (code, said) = run(through(&gateway, "inngest/run.py", &[]));
    assert!(code == 0 && said.contains("ended COMPLETED 2"), "{said}");
    let mut hatchet = through(&gateway, "hatchet/run.py", &[]);
    hatchet.env("HATCHET_CLIENT_TOKEN", TOKEN).env("HATCHET_CLIENT_TLS_STRATEGY", "none");
    let (code, said) = run(hatchet);
    assert!(code == 0 && said.contains("ended {'star'"), "{said}");
    for (workflow, attempts) in [("name_things", 2), ("name_star", 1)] {
        let is_it = |run: &Value| run["workflow"] == workflow && run["spent"]["usage"]["calls"] == attempts;
        until(workflow, || ask(folder, &["ls"]).into_iter().find(is_it));
    }
    assert_eq!(booked(folder), billed(&models));
}

/// A token of nobody's, in the form that Hatchet's client reads addresses from: {"alg":"none"}, {"sub": "tenant", …}.
const TOKEN: &str = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ0ZW5hbnQiLCJzZXJ2ZXJfdXJsIjoiaHR0cDovLzEyNy4wLjAuMToxIiwiZ3JwY19icm9hZGNhc3RfYWRkcmVzcyI6IjEyNy4wLjAuMToxIn0.x";
