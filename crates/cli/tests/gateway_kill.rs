//! `midwatch gateway` killed at work: nothing that it called for is missing in the books, and a repeat gets its answer.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use midwatch::http::reqwest::Client;
use midwatch_books::{balance, billed, booked};
use midwatch_journal::sqlite::SqliteJournal;
use midwatch_journal::{Journal, RunQuery, Status};
use midwatch_simulator::{Config, Cue, Fault, FaultPlan, Faults, Reply, Simulator, serve};
use midwatch_workflow::Money;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;

struct Gateway {
    child: Child,
    base: String,
}

impl Gateway {
    fn start(db: &Path, simulator: &Simulator, listen: &str) -> Self {
        let url = simulator.openai_url();
        let mut command = Command::new(env!("CARGO_BIN_EXE_midwatch"));
        command.args(["gateway", "--json", "--listen", listen, "--db"]).arg(db);
        command.args(["--upstream", &format!("openai={url}")]).stdout(Stdio::piped());
        for (name, value) in [("FIRST_BYTE", "2s"), ("STALL", "1s")] {
            command.env(format!("MIDWATCH_GATEWAY_TIMEOUTS__{name}"), value);
        }
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("it says {line:?}"));
        Self { child, base: said["listening"].as_str().unwrap().to_owned() }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Kills it and starts the next one at the same address.
    fn replace(&mut self, db: &Path, simulator: &Simulator) {
        self.kill();
        *self = Self::start(db, simulator, self.base.clone().trim_start_matches("http://"));
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ask(number: u64) -> Value {
    let content = format!("question {number}: what is in the log?");
    json!({"model": "gpt-4o-mini", "max_tokens": 150, "stream": number.is_multiple_of(2),
        "messages": [{"role": "user", "content": content}]})
}

fn client() -> Client {
    // Another test of this process may have chosen the same already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    midwatch::http::reqwest::Client::new()
}

fn faults() -> Faults {
    Faults {
        server_error_after: 0.05,
        reset_after: 0.05,
        cut_stream: 0.08,
        overloaded: 0.05,
        ..Faults::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_books_balance_through_kills_at_work() {
    let folder = TempDir::new().unwrap();
    let db = folder.path().join("gateway.db");
    let faults = FaultPlan { llm: faults(), ..FaultPlan::default() };
    let simulator = serve(Config { seed: 7, faults, ..Config::default() }).await.unwrap();
    let mut gateway = Gateway::start(&db, &simulator, "127.0.0.1:0");
    let client = client();
    for round in 0..4 {
        let mut calls = JoinSet::new();
        for number in 0..40 {
            let url = format!("{}/run/thread-{}/v1/chat/completions", gateway.base, number % 5);
            let request = client.post(url).json(&ask(round * 40 + number));
            calls.spawn(async move {
                // What becomes of it is for the books to say.
                if let Ok(answer) = request.send().await {
                    drop(answer.bytes().await);
                }
            });
        }
        for _ in 0..20 {
            calls.join_next().await;
        }
        // Twenty have ended, the others are under way.
        gateway.replace(&db, &simulator);
        while calls.join_next().await.is_some() {}
    }
    assert!(simulator.ledger().settled(Duration::from_secs(30)).await);
    gateway.kill();
    // The next one takes up what the last one left.
    Gateway::start(&db, &simulator, "127.0.0.1:0").kill();
    let journal = SqliteJournal::open_reader(&db).unwrap();
    let mut ours = HashMap::new();
    for run in journal.runs(&RunQuery::default()).unwrap() {
        ours.extend(booked(run.run, &journal.events(run.run, 0).unwrap()));
    }
    // Prices are compared elsewhere: here every token costs what it was booked at.
    let ours: HashMap<_, _> = ours
        .into_iter()
        .map(|(span, mut booked)| {
            booked.charges.iter_mut().for_each(|charge| charge.cost = Some(Money::ZERO));
            (span, booked)
        })
        .collect();
    let balance = balance(&ours, &billed(&simulator.ledger().entries(), |_| Money::ZERO));
    assert_eq!(balance.disagreements, [""; 0]);
    assert!(balance.billed.tokens > 1_000 && balance.booked.tokens > 1_000, "{balance:?}");
    assert!(balance.unknown.tokens >= balance.billed_unknown.tokens, "{balance:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_answered_before_the_kill_is_answered_the_same_after_it() {
    let folder = TempDir::new().unwrap();
    let db = folder.path().join("gateway.db");
    let simulator = serve(Config::default()).await.unwrap();
    let mut gateway = Gateway::start(&db, &simulator, "127.0.0.1:0");
    let client = client();
    let call = async |base: &str, number: u64| {
        let url = format!("{base}/run/thread/v1/chat/completions");
        let request = client.post(url).json(&ask(number)).header("idempotency-key", format!("key-{number}"));
        let answer = request.send().await.unwrap();
        let is_replayed = answer.headers().contains_key("idempotent-replayed");
        (is_replayed, answer.text().await.unwrap())
    };
    let first = [call(&gateway.base, 1).await, call(&gateway.base, 2).await];
    gateway.replace(&db, &simulator);
    for (number, (was_replayed, text)) in (1..).zip(first) {
        assert_eq!((false, call(&gateway.base, number).await), (was_replayed, (true, text)));
    }
    assert_eq!(simulator.ledger().summary().requests, 2, "each was paid once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_with_a_key_that_the_kill_cut_is_made_again_once_and_both_are_in_the_books() {
    let folder = TempDir::new().unwrap();
    let db = folder.path().join("gateway.db");
    let simulator = serve(Config::default()).await.unwrap();
    simulator.script([Cue::anywhere().fault(Fault::SlowTokens { token_ms: 50 })]);
    let mut gateway = Gateway::start(&db, &simulator, "127.0.0.1:0");
    let client = client();
    let call = async |base: &str| {
        let url = format!("{base}/run/thread/v1/chat/completions");
        client.post(url).json(&ask(2)).header("idempotency-key", "key-2").send().await.unwrap()
    };
    let mut cut = call(&gateway.base).await;
    assert!(cut.chunk().await.unwrap().is_some(), "it is in the middle of it");
    gateway.replace(&db, &simulator);
    while let Ok(Some(_)) = cut.chunk().await {}
    let again = call(&gateway.base).await;
    assert!(
        !again.headers().contains_key("idempotent-replayed"),
        "nobody knows how the first would have gone on"
    );
    let whole = again.text().await.unwrap();
    assert!(whole.ends_with("data: [DONE]\n\n"), "{whole}");
    let repeat = call(&gateway.base).await;
    assert_eq!(repeat.headers()["idempotent-replayed"], "true");
    assert_eq!(repeat.text().await.unwrap(), whole);
    assert!(simulator.ledger().settled(Duration::from_secs(30)).await);
    assert_eq!(simulator.ledger().summary().requests, 2);
    gateway.kill();
    Gateway::start(&db, &simulator, "127.0.0.1:0").kill();
    let journal = SqliteJournal::open_reader(&db).unwrap();
    let run = journal.runs(&RunQuery::default()).unwrap().remove(0).run;
    let ours = booked(run, &journal.events(run, 0).unwrap());
    let balance = balance(&ours, &billed(&simulator.ledger().entries(), entry_price));
    assert_eq!(balance.disagreements, [""; 0]);
    assert_eq!((balance.unknown.attempts, balance.booked.attempts), (1, 1), "{balance:?}");
}

/// At the prices of `gpt-4o-mini`.
fn entry_price(entry: &midwatch_simulator::Entry) -> Money {
    Money::from_picos(entry.billed.input * 150_000 + entry.billed.output * 600_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_cancelled_from_the_command_line_and_its_stream_under_way_with_it() {
    let folder = TempDir::new().unwrap();
    let db = folder.path().join("gateway.db");
    let simulator = serve(Config::default()).await.unwrap();
    let gateway = Gateway::start(&db, &simulator, "127.0.0.1:0");
    let client = client();
    let call = async |number| {
        let url = format!("{}/run/runaway/v1/chat/completions", gateway.base);
        client.post(url).json(&ask(number)).send().await.unwrap()
    };
    assert_eq!(call(1).await.status(), 200);
    // Takes half a minute, if nobody stops it.
    let long = Cue::anywhere().reply(Reply::text("bell ".repeat(100)));
    simulator.script([long, Cue::anywhere().fault(Fault::SlowTokens { token_ms: 300 })]);
    let stream = call(2).await;
    let midwatch = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_midwatch"));
        let output = command.args(arguments).arg("--db").arg(&db).output().unwrap();
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    };
    // Lists trail by up to a second.
    let mut said = String::new();
    for _ in 0..100 {
        said = midwatch(&["cancel", "runaway", "--by", "ann", "--reason", "it loops"]);
        if said.contains("cancelled (event ") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(said.contains("cancelled (event "), "{said}");
    let text = stream.text().await.unwrap();
    assert!(text.contains("run_cancelled") && text.contains("cancelled by ann: it loops"), "{text}");
    assert!(simulator.ledger().settled(Duration::from_secs(30)).await);
    assert!(simulator.ledger().entries()[1].client_gone, "the provider's connection was dropped");
    let refused = call(1).await;
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["x-should-retry"]),
        (403, &"false".parse().unwrap())
    );
    assert!(refused.text().await.unwrap().contains("cancelled by ann: it loops"));
    let shown = midwatch(&["show", "runaway"]);
    assert!(shown.contains("cancelled by ann: it loops"), "{shown}");
    assert_eq!(simulator.ledger().summary().requests, 2);
}

#[test]
fn told_to_stop_it_ends_its_runs_and_says_so() {
    let folder = TempDir::new().unwrap();
    let db = folder.path().join("gateway.db");
    let simulator = midwatch_simulator::serve_on_thread(Config::default()).unwrap();
    let mut gateway = Gateway::start(&db, &simulator, "127.0.0.1:0");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let status = runtime.block_on(async {
        let url = format!("{}/run/thread/v1/chat/completions", gateway.base);
        client().post(url).json(&ask(1)).send().await.unwrap().status()
    });
    assert_eq!(status, 200);
    let pid = rustix::process::Pid::from_child(&gateway.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(gateway.child.wait().unwrap().code(), Some(0));
    let run = SqliteJournal::open_reader(&db).unwrap().runs(&RunQuery::default()).unwrap().remove(0);
    assert_eq!((run.status, run.workflow_id.as_str()), (Status::Completed, "thread"));
}

#[test]
fn a_configuration_that_cannot_be_used_is_said_before_anything_is_opened() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("gateway.toml");
    let check = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_midwatch"));
        command.args(["gateway", "--check", "--db", "no/such/folder/db", "--config"]).arg(&file);
        let output = command.env("KEY", "sk-secret-0123456789").output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let good = "[upstreams.o]\nurl = \"http://127.0.0.1:9/v1\"\nkey_env = \"KEY\"\n";
    assert_eq!(check(good).0, Some(0));
    let (code, said) = check(&good.replace("KEY", "NO_SUCH_KEY"));
    assert_eq!(code, Some(2));
    assert!(said.contains("upstreams.o") && said.contains("NO_SUCH_KEY"), "{said}");
    let (code, said) = check(&format!("listen = \"0.0.0.0:1\"\n{good}"));
    assert_eq!(code, Some(2));
    assert!(said.contains("needs a key"), "{said}");
}
