//! What strangers and slow ones get, and that no secret leaves.

use std::time::Duration;

use midwatch_simulator::{Cue, Fault};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::stage::{CLIENT_KEY, Stage, UPSTREAM_KEY, hello, start};

async fn raw(stage: &Stage, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(stage.base.trim_start_matches("http://")).await.unwrap();
    // A refusal may come, and the connection go, before all is written.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await.expect("an end");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn no_credential_is_in_the_journal_in_an_answer_or_at_the_wrong_end() {
    let stage = start("[keys.team-a]\nkey_env = \"CLIENT\"\n").await;
    let mut answers = String::new();
    for fault in [None, Some(Fault::Unauthorized), Some(Fault::ResetAfter)] {
        stage.simulator.script(fault.map(|fault| Cue::anywhere().fault(fault)));
        let request = stage.chat("r", &hello(false)).bearer_auth(CLIENT_KEY).header("idempotency-key", "k");
        let answer = request.header("cookie", "session=secret").send().await.unwrap();
        answers.push_str(&format!("{:?}", answer.headers()));
        answers.push_str(&answer.text().await.unwrap());
    }
    stage.runs();
    for entry in std::fs::read_dir(stage.db().parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        answers.push_str(&String::from_utf8_lossy(&std::fs::read(&path).unwrap()));
    }
    for secret in [UPSTREAM_KEY, CLIENT_KEY, "session=secret"] {
        assert!(!answers.contains(secret), "{secret} is out");
    }
}

#[tokio::test]
async fn what_is_too_large_or_too_slow_is_refused_and_holds_nobody_up() {
    let stage = start(
        "[limits]\nbody_bytes = 2000\nhead_bytes = 8192\nhead_time = \"300ms\"\nbody_time = \"300ms\"\n",
    )
    .await;
    let mut large = hello(false);
    large["messages"][0]["content"] = "x".repeat(3_000).into();
    assert_eq!(stage.chat("large", &large).send().await.unwrap().status(), 413);
    let head = format!("GET /v1/models HTTP/1.1\r\nhost: h\r\nx: {}\r\n\r\n", "y".repeat(20_000));
    assert!(raw(&stage, head.as_bytes()).await.starts_with("HTTP/1.1 431"));
    let slow_head = raw(&stage, b"POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\n").await;
    assert!(slow_head.is_empty() || slow_head.starts_with("HTTP/1.1 408"), "{slow_head}");
    let slow_body = raw(
        &stage,
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\ncontent-length: 900\r\nconnection: close\r\n\r\n{",
    )
    .await;
    assert!(slow_body.starts_with("HTTP/1.1 408"), "{slow_body}");
    assert_eq!(stage.chat("small", &hello(false)).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_request_that_two_could_read_differently_reaches_the_upstream_as_one_or_not_at_all() {
    let stage = start("").await;
    let body = hello(false).to_string();
    let hidden = "POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n{}";
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for head in [
        format!("content-length: {}\r\ntransfer-encoding: chunked\r\n", chunked.len() + hidden.len()),
        format!("transfer-encoding: chunked\r\ncontent-length: {}\r\n", 4),
        "transfer-encoding: identity, chunked\r\ntransfer-encoding: chunked\r\n".to_owned(),
        "content-length: 5\r\ncontent-length: 900\r\n".to_owned(),
        "transfer-encoding: chunked\r\ntransfer-encoding: xchunked\r\n".to_owned(),
        " content-length: 5\r\n".to_owned(),
    ] {
        let before = stage.bills().await.len();
        let request = format!(
            "POST /run/smuggle/v1/chat/completions HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{head}\r\n{chunked}{hidden}"
        );
        let answer = raw(&stage, request.as_bytes()).await;
        let reached = stage.bills().await.len() - before;
        let answers = answer.matches("HTTP/1.1 ").count();
        assert!(reached <= 1 && answers <= 1, "{head}: {reached} calls, {answer}");
        assert!(answers == 0 || answer.starts_with("HTTP/1.1 200") == (reached == 1), "{head}: {answer}");
    }
}

#[tokio::test]
async fn paths_that_lead_elsewhere_lead_nowhere() {
    let stage = start("").await;
    for path in ["/v1/../_ledger", "/v1/%2e%2e/_ledger", "/_ledger", "/up/nobody/v1/chat/completions"] {
        let answer = raw(
            &stage,
            format!("POST {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
                .as_bytes(),
        )
        .await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn told_to_stop_it_lets_calls_end_and_takes_no_new_ones() {
    let stage = start("").await;
    stage.simulator.script([Cue::anywhere().fault(Fault::SlowTokens { token_ms: 10 })]);
    let answer = stage.chat("last", &hello(true)).send().await.unwrap();
    let reading = tokio::spawn(answer.text());
    let stage = stage.restart("").await;
    assert!(reading.await.unwrap().unwrap().ends_with("data: [DONE]\n\n"));
    assert!(stage.attempt("last").failure.is_none());
}
