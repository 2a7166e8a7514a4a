//! `midwatch mcp`, asked by a client of the protocol over the real stdin and stdout of the real command.

use std::path::Path;

use rmcp::model::CallToolRequestParams;
use rmcp::service::RunningService;
use rmcp::transport::TokioChildProcess;
use rmcp::{RoleClient, ServiceExt as _};
use serde_json::{Value, json};

use crate::journal::{booking, checkout, research, written};
use crate::midwatch::midwatch;

struct Client(RunningService<RoleClient, ()>);

impl Client {
    async fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_midwatch"));
        command.current_dir(folder).arg("mcp").args(arguments).env_remove("MIDWATCH_DB");
        Self(().serve(TokioChildProcess::new(command).unwrap()).await.unwrap())
    }

    async fn tools(&self) -> Vec<String> {
        let tools = self.0.list_all_tools().await.unwrap();
        tools.iter().map(|tool| tool.name.to_string()).collect()
    }

    /// The answer, and whether it is one.
    async fn call(&self, tool: &'static str, arguments: Value) -> (Value, bool) {
        let arguments = arguments.as_object().unwrap().clone();
        let asked = CallToolRequestParams::new(tool).with_arguments(arguments);
        let answer = self.0.call_tool(asked).await.unwrap();
        (answer.structured_content.unwrap(), answer.is_error != Some(true))
    }

    async fn ask(&self, tool: &'static str, arguments: Value) -> Value {
        let (answer, is_answer) = self.call(tool, arguments).await;
        assert!(is_answer, "{answer}");
        answer
    }
}

const LOOKING: [&str; 6] = ["cost", "list_runs", "needs_attention", "show_run", "stalls", "why"];
const ACTING: [&str; 5] = ["cancel_run", "pause_run", "resume_run", "retry_run", "signal_run"];

#[tokio::test]
async fn without_leave_to_act_only_tools_that_look_are_there() {
    let folder = written(&[checkout()]);
    let client = Client::start(folder.path(), &[]).await;
    assert_eq!(client.tools().await, LOOKING);
    let tools = client.0.list_all_tools().await.unwrap();
    for tool in tools {
        let annotations = tool.annotations.unwrap();
        assert_eq!(annotations.read_only_hint, Some(true), "{}", tool.name);
        assert!(tool.description.unwrap().len() > 40, "{}", tool.name);
        assert_eq!(tool.input_schema["type"], "object", "{}", tool.name);
    }
    let asked = CallToolRequestParams::new("cancel_run")
        .with_arguments(json!({"run": "order-42", "reason": "no"}).as_object().unwrap().clone());
    client.0.call_tool(asked).await.unwrap_err();
    client.0.cancel().await.unwrap();
}

#[tokio::test]
async fn an_agent_finds_what_is_the_matter() {
    let folder = written(&[checkout(), booking(), research()]);
    let client = Client::start(folder.path(), &[]).await;
    let listed = client.ask("list_runs", json!({"status": ["parked"]})).await;
    assert_eq!(listed["runs"].as_array().unwrap().len(), 1);
    assert_eq!(listed["runs"][0]["workflow_id"], "paper-9");
    let pressing = client.ask("needs_attention", json!({})).await;
    assert_eq!(
        (&pressing["runs"][0]["verdict"], &pressing["runs"][0]["workflow_id"]),
        (&"parked".into(), &"paper-9".into())
    );
    let why = client.ask("why", json!({"run": "trip-7"})).await;
    assert_eq!(why["verdict"], "failed");
    let shell = midwatch(folder.path(), "why trip-7 --json").stdout;
    let shell: Value = serde_json::from_str(&shell).unwrap();
    assert_eq!(
        (&why["cause"], &why["evidence"]),
        (&shell["cause"], &shell["evidence"]),
        "as the command says"
    );
    let shown = client.ask("show_run", json!({"run": "order-42", "limit": 2})).await;
    assert_eq!(shown["entries"].as_array().unwrap().len(), 2);
    assert!(!shown.to_string().contains("\"input\""), "no payloads: {shown}");
    let cost = client.ask("cost", json!({"by": "model"})).await;
    assert_eq!(cost["by"], "model");
    let stalls = client.ask("stalls", json!({})).await;
    assert_eq!(stalls["owner"], "nobody");
    let (trouble, is_answer) = client.call("why", json!({"run": "nowhere"})).await;
    assert!(!is_answer && trouble["error"].as_str().unwrap().contains("nowhere"), "{trouble}");
    let (trouble, is_answer) = client.call("cost", json!({"by": "moon"})).await;
    assert!(!is_answer && trouble["instead"].as_str().unwrap().contains("tenant"), "{trouble}");
    client.0.cancel().await.unwrap();
}

#[tokio::test]
async fn an_agent_that_may_acts_under_its_name_and_is_told_what_came_of_it() {
    let folder = written(&[checkout(), research()]);
    let client = Client::start(folder.path(), &["--allow-actions", "--by", "night-agent"]).await;
    let mut all: Vec<&str> = LOOKING.into_iter().chain(ACTING).collect();
    all.sort_unstable();
    assert_eq!(client.tools().await, all);
    // No process owns the journal, so the letter waits.
    let told = client.ask("cancel_run", json!({"run": "paper-9", "reason": "too dear"})).await;
    assert_eq!(told["outcome"], "queued", "{told}");
    let told = client.ask("resume_run", json!({"run": "order-42"})).await;
    assert!(["already", "refused"].contains(&told["outcome"].as_str().unwrap()), "{told}");
    let journal =
        midwatch_journal::sqlite::SqliteJournal::open_reader(folder.path().join("midwatch.db")).unwrap();
    let letters = midwatch_journal::Journal::letters(&journal, &[], 10).unwrap();
    assert_eq!(letters.len(), 1);
    let expected = midwatch_workflow::Message::Cancel { reason: "too dear".into(), by: "night-agent".into() };
    assert_eq!(letters[0].message, expected);
    client.0.cancel().await.unwrap();
}
