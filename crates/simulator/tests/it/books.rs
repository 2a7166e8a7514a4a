//! The ledger against what clients saw.

use midwatch_simulator::{Cue, Entry, Fault, Faults, Latency, Simulator, Summary};
use serde_json::json;

use crate::client::{Client, SETTLE, chat_body, chat_stream_body, got, plain};

#[tokio::test]
async fn the_ledger_is_the_same_over_http() {
    let simulator = plain().await;
    let client = Client::to(&simulator);
    simulator.script([Cue::anywhere().fault(Fault::Overloaded)]);
    client.message().await;
    let request = client.post("/v1/chat/completions", &chat_body());
    let request = request
        .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        .header("idempotency-key", "w:r:s")
        .header("x-midwatch-run", "r");
    got(request).await;
    let summary: Summary = serde_json::from_value(got(client.get("/_ledger")).await.body).unwrap();
    assert_eq!(summary, simulator.ledger().summary());
    assert_eq!((summary.requests, summary.by_status["200"], summary.by_status["529"]), (2, 1, 1));
    let entries: Vec<Entry> =
        serde_json::from_value(got(client.get("/_ledger/entries?from=2")).await.body).unwrap();
    assert_eq!(entries, simulator.ledger().entries()[1..]);
    let entry = &entries[0];
    assert_eq!((entry.number, entry.key.as_deref()), (2, Some("w:r:s")));
    assert!(entry.traceparent.as_deref().unwrap().ends_with("-01"));
    assert_eq!(entry.midwatch, [("x-midwatch-run".to_owned(), "r".to_owned())]);
    simulator.stop().await;
}

#[tokio::test]
async fn totals_stay_exact_when_entries_are_dropped() {
    let mut builder = Simulator::builder();
    builder.config().ledger_entries_max = 5;
    let simulator = builder.start().await.unwrap();
    let client = Client::to(&simulator);
    let mut output = 0;
    for n in 0..12 {
        let body = json!({"model": "m", "messages": [{"role": "user", "content": format!("{n}")}]});
        let answer = got(client.post("/v1/chat/completions", &body)).await.body;
        output += answer["usage"]["completion_tokens"].as_u64().unwrap();
    }
    let books = simulator.ledger().summary();
    assert_eq!((books.requests, books.entries_dropped, books.billed.output), (12, 7, output));
    let numbers: Vec<u64> = simulator.ledger().entries().iter().map(|entry| entry.number).collect();
    assert_eq!(numbers, [8, 9, 10, 11, 12]);
    simulator.stop().await;
}

/// The bill is the sum of its entries, and no request is left open, whatever clients and faults did.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_books_add_up_under_faults_and_clients_that_leave() {
    let faults = Faults {
        rate_limited: 0.05,
        server_error_after: 0.1,
        reset: 0.05,
        reset_after: 0.05,
        hang_after: 0.05,
        cut_stream: 0.2,
        error_event: 0.1,
        hang_ms: 20,
        ..Faults::default()
    };
    let latency = Latency { min_ms: 0, max_ms: 30, token_ms: 0 };
    let simulator = Simulator::builder().seed(3).faults(faults).latency(latency).start().await.unwrap();
    let client = Client::to(&simulator);
    let (mut seen, mut calls) = (0, Vec::new());
    for n in 0..400_u64 {
        let stream = n % 2 == 0;
        let body = if stream { chat_stream_body() } else { chat_body() };
        let request = client.post("/v1/chat/completions", &body).header("idempotency-key", format!("{n}"));
        // Every seventh client gives up early.
        let patience = std::time::Duration::from_millis(if n % 7 == 0 { 15 } else { 60_000 });
        calls.push(tokio::spawn(async move {
            let text = request.timeout(patience).send().await.ok()?.text().await.ok()?;
            let usage = text.lines().rev().find(|line| line.contains("completion_tokens\""))?;
            let usage = usage.strip_prefix("data: ").unwrap_or(usage);
            let body: serde_json::Value = serde_json::from_str(usage).ok()?;
            body["usage"]["completion_tokens"].as_u64()
        }));
    }
    for call in calls {
        seen += call.await.unwrap().unwrap_or(0);
    }
    assert!(simulator.ledger().settled(SETTLE).await);
    let (books, entries) = (simulator.ledger().summary(), simulator.ledger().entries());
    // Who gave up before it was connected never sent its request.
    assert!((342..=400).contains(&books.requests), "{} requests", books.requests);
    assert_eq!((books.open, entries.len() as u64), (0, books.requests));
    let sum = |of: fn(&Entry) -> u64| entries.iter().map(of).sum::<u64>();
    assert_eq!(books.billed.output, sum(|entry| entry.billed.output));
    assert_eq!(books.billed.output - books.unreported.output, sum(|entry| entry.reported.output));
    assert!(seen <= sum(|entry| entry.reported.output), "clients saw more than was told");
    let struck: u64 = books.by_fault.values().sum();
    assert!((80..320).contains(&struck), "{struck} faults");
    simulator.stop().await;
}
