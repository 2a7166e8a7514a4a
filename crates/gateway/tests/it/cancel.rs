//! A run that is cancelled takes its calls under way with it, wherever they are, and a paused one does not.

use std::time::Duration;

use futures_util::StreamExt as _;
use midwatch_journal::Status;
use midwatch_simulator::{Cue, Fault, Reply, RetryAfter};
use midwatch_steer::{Cancel, Pause};
use midwatch_workflow::{Certainty, Class};
use serde_json::{Value, json};

use crate::orders::order;
use crate::stage::{Stage, billed, hello, start, tokens};

const PROTECT: &str = "mode = \"protect\"\n";
/// Longer than any test: what waits so long ends because somebody ends it.
const FOREVER_MS: u64 = 600_000;

async fn cancel(stage: &Stage, name: &str) {
    order(stage, name, Cancel { reason: "it loops".to_owned(), by: "ann".to_owned() }).await;
}

/// Waits until the provider has a call.
async fn is_at_work(stage: &Stage) {
    while stage.simulator.ledger().summary().requests == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// An answer of a hundred tokens, each of which takes so long.
fn slow(token_ms: u64) -> [Cue; 2] {
    [
        Cue::anywhere().reply(Reply::text("bell ".repeat(100))),
        Cue::anywhere().fault(Fault::SlowTokens { token_ms }),
    ]
}

/// What a refusal says, once it is one that clients do not repeat by themselves.
async fn refused(answer: reqwest::Response) -> String {
    let (status, again) = (answer.status().as_u16(), answer.headers()["x-should-retry"].clone());
    assert_eq!((status, again), (403, "false".parse().unwrap()));
    answer.text().await.unwrap()
}

fn says_who(text: &str) {
    assert!(text.contains("run_cancelled") && text.contains("cancelled by ann: it loops"), "{text}");
}

#[tokio::test]
async fn a_stream_under_way_is_cut_with_an_error_event_of_its_dialect_and_booked_by_what_passed() {
    let stage = start("").await;
    let mut asking = hello(true);
    asking["stream_options"] = json!({"include_usage": true});
    let message = json!({"model": "claude-sonnet-4-5", "max_tokens": 50, "stream": true,
        "messages": [{"role": "user", "content": "hello"}]});
    let silence = Cue::anywhere().fault(Fault::StallStream { after_tokens: 0, ms: FOREVER_MS });
    for (run, path, body, cues) in [
        ("plain", "chat/completions", hello(true), slow(500)),
        ("usage", "chat/completions", asking, slow(500)),
        ("claude", "messages", message, slow(500)),
        ("silent", "chat/completions", hello(true), [Cue::anywhere().reply(Reply::default()), silence]),
    ] {
        stage.simulator.script(cues);
        let url = format!("{}/run/{run}/v1/{path}", stage.base);
        let answer = stage.client.post(url).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        cancel(&stage, run).await;
        let text = answer.text().await.unwrap();
        let last = text.trim_end().rsplit("\n\n").next().unwrap();
        says_who(last);
        let error: Value = serde_json::from_str(last.rsplit("data: ").next().unwrap()).unwrap();
        assert_eq!(last.starts_with("event: error\n"), path == "messages", "{last}");
        assert!(error["error"]["message"].is_string(), "{error}");

        let bill = stage.bills().await.pop().unwrap();
        assert!(bill.client_gone || run == "silent", "the provider's connection is dropped: {bill:?}");
        let attempt = stage.attempt(run);
        assert_eq!(attempt.failure.as_ref().unwrap().class, Class::Cancelled);
        assert!(attempt.failure.unwrap().message.contains("cancelled by ann"));
        assert_eq!(attempt.charges[0].certainty, Certainty::Estimated);
        // A token may be on its way.
        let (booked, billed) = (tokens(&attempt.charges), billed(&[bill]));
        assert!(booked > 0 && (booked..=booked + 1).contains(&billed), "{run}: {booked} {billed}");
        assert_eq!(stage.run(run).status, Status::Cancelled);
    }
}

#[tokio::test]
async fn a_call_that_waits_for_its_answer_is_refused_and_booked_with_its_bound() {
    for settings in ["", PROTECT] {
        let stage = start(settings).await;
        stage.simulator.script(slow(30));
        let call = stage.chat("hung", &hello(false)).header("idempotency-key", "one").send();
        let (answer, ()) = tokio::join!(call, async {
            is_at_work(&stage).await;
            cancel(&stage, "hung").await;
        });
        let answer = answer.unwrap();
        assert_eq!(answer.headers()["x-midwatch-attempts"], "1");
        says_who(&refused(answer).await);
        let bills = stage.bills().await;
        let attempt = stage.attempt("hung");
        assert_eq!(attempt.failure.unwrap().class, Class::Cancelled);
        assert_eq!(attempt.charges[0].certainty, Certainty::Bound);
        assert!(bills[0].client_gone, "the provider's connection was dropped: {bills:?}");
        assert!((1..=tokens(&attempt.charges)).contains(&billed(&bills)));
        assert_eq!(stage.run("hung").status, Status::Cancelled);
        let again = stage.chat("other", &hello(false)).header("idempotency-key", "one").send().await.unwrap();
        assert_eq!(again.status(), 200, "the refusal is not the answer of the call with this key");
    }
}

#[tokio::test]
async fn a_stream_of_which_nothing_has_passed_yet_is_refused_and_not_tried_again() {
    let stage = start(PROTECT).await;
    stage.simulator.script([Cue::anywhere().fault(Fault::StallStream { after_tokens: 0, ms: FOREVER_MS })]);
    let (answer, ()) = tokio::join!(stage.chat("begun", &hello(true)).send(), async {
        is_at_work(&stage).await;
        cancel(&stage, "begun").await;
    });
    let answer = answer.unwrap();
    // The first event of a stream may have come before its silence: then it is cut in the middle.
    match answer.status().as_u16() {
        200 => says_who(&answer.text().await.unwrap()),
        _ => says_who(&refused(answer).await),
    }
    assert_eq!(stage.bills().await.len(), 1);
    assert_eq!(stage.attempt("begun").failure.unwrap().class, Class::Cancelled);
}

#[tokio::test]
async fn a_call_that_waits_for_its_turn_is_refused_and_never_sent() {
    let stage = start("mode = \"protect\"\n[retry]\nheld = \"60s\"\n").await;
    let limited = Fault::RateLimited { retry_after: RetryAfter::Seconds(40.0) };
    stage.simulator.script([Cue::anywhere().fault(limited)]);
    // The first waits before its next attempt, the second at the gate that the first has closed.
    let (first, second, ()) = tokio::join!(
        stage.chat("waits", &hello(false)).send(),
        async {
            while stage.simulator.ledger().summary().requests == 0 || stage.attempts("waits").is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            stage.chat("waits", &json!({"model": "gpt-4o-mini", "messages": []})).send().await
        },
        async {
            while stage.runs().iter().all(|run| run.attempts < 2) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            cancel(&stage, "waits").await;
        }
    );
    for answer in [first.unwrap(), second.unwrap()] {
        says_who(&refused(answer).await);
    }
    assert_eq!(stage.bills().await.len(), 1);
    let attempts = stage.attempts("waits");
    assert_eq!(attempts.len(), 2, "{attempts:?}");
    assert_eq!(attempts[1].failure.as_ref().unwrap().class, Class::Cancelled);
    assert!(attempts[1].charges.is_empty());
    assert_eq!(stage.run("waits").status, Status::Cancelled);
}

#[tokio::test]
async fn a_pause_lets_calls_under_way_end() {
    let stage = start("").await;
    stage.simulator.script([Cue::anywhere().fault(Fault::SlowTokens { token_ms: 20 })]);
    let answer = stage.chat("paused", &hello(true)).send().await.unwrap();
    let mut chunks = answer.bytes_stream();
    let mut text = chunks.next().await.unwrap().unwrap().to_vec();
    order(&stage, "paused", Pause { reason: String::new(), by: "ann".to_owned() }).await;
    while let Some(chunk) = chunks.next().await {
        text.extend_from_slice(&chunk.unwrap());
    }
    assert!(text.ends_with(b"data: [DONE]\n\n"));
    assert!(stage.attempt("paused").failure.is_none());
}
