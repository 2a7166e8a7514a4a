//! Rate limits, outages, the script over HTTP, starting and stopping.

use std::time::Duration;

use midwatch_simulator::{Config, Outage, OutageWindow, Simulator, serve, serve_on_thread};
use serde_json::json;

use crate::client::{Client, got, plain};

#[tokio::test]
async fn beyond_the_burst_each_provider_answers_429_with_its_wait() {
    let simulator = Simulator::builder().rate_limit(0.5, 2).start().await.unwrap();
    let client = Client::to(&simulator);
    let (mut chat, mut message) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        chat.push(client.chat().await);
        message.push(client.message().await);
    }
    assert_eq!(chat.iter().map(|got| got.status).collect::<Vec<_>>(), [200, 200, 429]);
    assert_eq!(message.iter().map(|got| got.status).collect::<Vec<_>>(), [200, 200, 429]);
    assert_eq!(chat[0].header("x-ratelimit-limit-requests"), Some("2"));
    assert_eq!(chat[1].header("x-ratelimit-remaining-requests"), Some("0"));
    let told: u64 = chat[2].header("retry-after-ms").unwrap().parse().unwrap();
    assert!((1..=2000).contains(&told), "{told}");
    assert_eq!(message[2].header("retry-after"), Some("2"));
    assert!(message[2].header("anthropic-ratelimit-requests-reset").unwrap().ends_with('Z'));
    assert_eq!(simulator.ledger().summary().by_fault["rate_limit"], 2);
    simulator.stop().await;
}

#[tokio::test]
async fn an_outage_answers_503_or_resets_until_it_is_over() {
    let simulator = plain().await;
    let client = Client::to(&simulator);
    simulator.outage(Outage::Unavailable, None);
    assert_eq!(client.chat().await.status, 503);
    simulator.outage(Outage::Refused, Some(Duration::from_secs(3600)));
    assert!(client.post("/v1/messages", &json!({})).send().await.is_err());
    simulator.restore();
    assert_eq!(client.chat().await.status, 200);
    assert_eq!(simulator.ledger().summary().by_fault["outage"], 2);
    simulator.stop().await;
}

#[tokio::test]
async fn a_planned_outage_begins_by_itself() {
    let window = OutageWindow { from_ms: 0, to_ms: 3_600_000, outage: Outage::Unavailable };
    let simulator = Simulator::builder().outage(window).start().await.unwrap();
    assert_eq!(Client::to(&simulator).chat().await.status, 503);
    simulator.stop().await;
}

#[tokio::test]
async fn script_and_switch_work_over_http() {
    let simulator = plain().await;
    let client = Client::to(&simulator);
    let cues = json!([{"fault": {"kind": "overloaded"}, "times": 1}, {"fault": {"kind": "unauthorized"}}]);
    assert_eq!(got(client.post("/_script", &cues)).await.status, 204);
    assert_eq!(client.message().await.status, 529);
    got(client.delete("/_script")).await;
    assert_eq!(client.message().await.status, 200);
    assert_eq!(got(client.post("/_outage", &json!({"outage": "unavailable"}))).await.status, 204);
    assert_eq!(client.message().await.status, 503);
    got(client.delete("/_outage")).await;
    assert_eq!(client.message().await.status, 200);
    simulator.stop().await;
}

#[tokio::test]
async fn the_port_is_free_after_stop_even_while_a_request_hangs() {
    let simulator = plain().await;
    let port = simulator.address().port();
    let client = Client::to(&simulator);
    let cues = json!([{"fault": {"kind": "hang"}}]);
    got(client.post("/_script", &cues)).await;
    let hung = tokio::spawn(client.post("/v1/messages", &json!({})).send());
    while simulator.ledger().summary().by_status.is_empty() {
        tokio::task::yield_now().await;
    }
    simulator.stop().await;
    assert!(hung.await.unwrap().is_err());
    let again = serve(Config { port, ..Config::default() }).await.unwrap();
    assert_eq!(again.address().port(), port);
    again.stop().await;
}

#[tokio::test]
async fn a_configuration_that_cannot_work_is_refused_at_the_start() {
    let mut builder = Simulator::builder();
    builder.config().answers.tokens_min = 0;
    let error = builder.start().await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}

#[test]
fn it_runs_on_a_thread_of_its_own_and_frees_the_port_when_it_stops() {
    let simulator = Simulator::builder().start_on_thread().unwrap();
    let port = simulator.address().port();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!(runtime.block_on(Client::to(&simulator).chat()).status, 200);
    assert_eq!(simulator.ledger().summary().requests, 1);
    simulator.stop_blocking();
    let again = serve_on_thread(Config { port, ..Config::default() }).unwrap();
    runtime.block_on(again.stop());
}

#[tokio::test]
async fn a_path_that_nobody_plays_is_named_in_the_answer() {
    let simulator = plain().await;
    let missed = got(Client::to(&simulator).post("/v1/v1/messages", &json!({}))).await;
    assert_eq!(missed.status, 404);
    assert!(missed.body["error"]["message"].as_str().unwrap().contains("/v1/v1/messages"));
    simulator.stop().await;
}
