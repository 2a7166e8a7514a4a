//! What passes, and that it is booked to the token whatever becomes of it.

use std::time::Duration;

use futures_util::StreamExt as _;
use midwatch_inspect::{CostQuery, Inspector, cost};
use midwatch_journal::sqlite::SqliteJournal;
use midwatch_observe::cost::By;
use midwatch_observe::why::{Owner, Verdict};
use midwatch_simulator::{Cue, Fault, RetryAfter};
use midwatch_workflow::{Certainty, Class};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::stage::{billed, hello, start, tokens};

#[tokio::test]
async fn every_endpoint_is_answered_as_by_its_provider_and_booked_to_the_token() {
    let stage = start("").await;
    let direct = stage.simulator.openai_url();
    for (path, body) in [
        ("chat/completions", hello(false)),
        ("responses", json!({"model": "gpt-4o", "input": "hello", "max_output_tokens": 50})),
        ("embeddings", json!({"model": "text-embedding-3-small", "input": ["hello", "world"]})),
        (
            "messages",
            json!({"model": "claude-sonnet-4-5", "max_tokens": 50,
            "messages": [{"role": "user", "content": "hello"}]}),
        ),
    ] {
        let run = path.replace('/', "-");
        let ask = |base: String| stage.client.post(format!("{base}/{path}")).json(&body).send();
        let answer = ask(format!("{}/run/{run}/v1", stage.base)).await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        let headers = answer.headers().clone();
        let passed: Value = answer.json().await.unwrap();
        let plain: Value = ask(direct.clone()).await.unwrap().json().await.unwrap();
        assert_eq!(passed, plain, "{path}");
        let attempt = stage.attempt(&run);
        let bill = stage.bills().await;
        assert_eq!(tokens(&attempt.charges), billed(&bill[bill.len() - 1..]), "{path}");
        assert_eq!(attempt.charges[0].certainty, Certainty::Exact);
        let cost = attempt.charges[0].cost.unwrap().to_string();
        assert_eq!(headers["x-midwatch-cost-usd"].to_str().unwrap(), cost.trim_start_matches('$'), "{path}");
        assert_eq!(headers["x-midwatch-run"].to_str().unwrap(), stage.run(&run).run.to_string());
    }
}

#[tokio::test]
async fn a_stream_passes_and_usage_that_was_not_asked_for_is_taken_out_again() {
    let stage = start("").await;
    let plain = stage.chat("plain", &hello(true)).send().await.unwrap().text().await.unwrap();
    let mut asking = hello(true);
    asking["stream_options"] = json!({"include_usage": true});
    let asked = stage.chat("asked", &asking).send().await.unwrap().text().await.unwrap();
    assert!(plain.ends_with("data: [DONE]\n\n") && !plain.contains("prompt_tokens"), "{plain}");
    assert!(asked.contains("prompt_tokens"), "{asked}");
    for (text, run) in [(plain, "plain"), (asked, "asked")] {
        let attempt = stage.attempt(run);
        assert_eq!(attempt.charges[0].certainty, Certainty::Exact, "{text}");
    }
    let booked: u64 = ["plain", "asked"].iter().map(|run| tokens(&stage.attempt(run).charges)).sum();
    assert_eq!(booked, billed(&stage.bills().await));
}

#[tokio::test]
async fn who_reads_trailers_is_told_what_a_stream_cost() {
    let stage = start("").await;
    let (address, body) = (stage.base.trim_start_matches("http://").to_owned(), hello(true).to_string());
    for (te, is_told) in [("te: trailers\r\n", true), ("", false)] {
        let run = if is_told { "told" } else { "untold" };
        let request = format!(
            "POST /run/{run}/v1/chat/completions HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{te}\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (_, after) = answer.rsplit_once("\r\n0\r\n").unwrap();
        let charge = stage.attempt(run).charges[0].clone();
        let cost = charge.cost.unwrap().to_string();
        let told = format!("x-midwatch-cost-usd: {}", cost.trim_start_matches('$'));
        assert_eq!(after.contains(&told), is_told, "{answer}");
        assert_eq!(after.contains(&format!("x-midwatch-tokens: {}", charge.usage.tokens())), is_told);
    }
}

#[tokio::test]
async fn the_first_chunk_of_a_stream_comes_before_the_last_one_is_made() {
    let stage = start("").await;
    stage.simulator.script([Cue::anywhere().fault(Fault::SlowTokens { token_ms: 50 })]);
    let answer = stage.chat("slow", &hello(true)).send().await.unwrap();
    let mut chunks = answer.bytes_stream();
    chunks.next().await.unwrap().unwrap();
    assert_eq!(stage.simulator.ledger().summary().open, 1, "the provider is still at it");
}

#[tokio::test]
async fn failures_pass_as_they_are_and_what_they_cost_is_booked() {
    let stage = start("").await;
    for (fault, status, class) in [
        (Fault::RateLimited { retry_after: RetryAfter::Seconds(2.0) }, 429, Class::RateLimited),
        (Fault::QuotaExhausted, 429, Class::QuotaExhausted),
        (Fault::ServerErrorAfter, 500, Class::Server),
        (Fault::ContextOverflow, 400, Class::ContextOverflow),
        (Fault::ResetAfter, 502, Class::Connection),
    ] {
        let run = fault.name();
        stage.simulator.script([Cue::anywhere().fault(fault).times(2)]);
        let direct = stage.client.post(format!("{}/chat/completions", stage.simulator.openai_url()));
        let direct = direct.json(&hello(false)).send().await.ok();
        let answer = stage.chat(run, &hello(false)).send().await.unwrap();
        assert_eq!(answer.status(), status, "{run}");
        for name in ["retry-after", "x-should-retry"] {
            let said = direct.as_ref().and_then(|direct| direct.headers().get(name));
            assert_eq!(answer.headers().get(name), said, "{run}: observed, and nothing added");
        }
        let attempt = stage.attempt(run);
        assert_eq!(attempt.failure.unwrap().class, class, "{run}");
        let bill = stage.bills().await;
        let billed = billed(&bill[bill.len() - 1..]);
        match class {
            Class::Connection => {
                assert_eq!(attempt.charges[0].certainty, Certainty::Bound);
                assert!((1..=tokens(&attempt.charges)).contains(&billed), "{run}: {billed}");
            }
            _ => assert_eq!(tokens(&attempt.charges), billed, "{run}"),
        }
    }
    let journal = SqliteJournal::open_reader(stage.db()).unwrap();
    let query = CostQuery { runs_max: 100, looked_at_max: 100, ..CostQuery::default() };
    let (report, _) = cost(&journal, &query, By::Step).unwrap();
    assert!(report.total.wasted.as_picos() > 0);
    let owner = Owner::Process { name: "process 1".to_owned(), since: None };
    let run = stage.run("quota_exhausted");
    let why = Inspector::new(&journal, midwatch_gateway::now(), owner).why(run.run).unwrap();
    assert_ne!(why.verdict, Verdict::Stuck, "{}", why.headline);
}

#[tokio::test]
async fn a_stream_that_breaks_breaks_for_the_client_too_and_is_booked_by_what_passed() {
    let stage = start("").await;
    stage.simulator.script([Cue::anywhere().fault(Fault::CutStream { after_tokens: 9 })]);
    let answer = stage.chat("cut", &hello(true)).send().await.unwrap();
    assert!(answer.text().await.is_err(), "a broken stream is no whole one");
    let attempt = stage.attempt("cut");
    assert_eq!(attempt.failure.as_ref().unwrap().class, Class::Connection);
    assert_eq!(attempt.charges[0].certainty, Certainty::Estimated);
    assert_eq!(tokens(&attempt.charges), billed(&stage.bills().await));
}

#[tokio::test]
async fn a_client_that_goes_away_is_booked_and_leaves_nothing_open() {
    let stage = start("").await;
    stage.simulator.script([Cue::anywhere().fault(Fault::SlowTokens { token_ms: 20 })]);
    let answer = stage.chat("gone", &hello(true)).send().await.unwrap();
    let mut chunks = answer.bytes_stream();
    for _ in 0..5 {
        chunks.next().await.unwrap().unwrap();
    }
    drop(chunks);
    stage.ended("gone", 1).await;
    let attempt = stage.attempt("gone");
    assert_eq!(attempt.failure.as_ref().unwrap().class, Class::Cancelled);
    assert_eq!(attempt.charges[0].certainty, Certainty::Estimated);

    // Before the answer: a call in one piece is carried out to its end, and booked for what it is.
    stage.simulator.script([Cue::anywhere().fault(Fault::SlowTokens { token_ms: 20 })]);
    let asked = stage.chat("left", &hello(false)).timeout(Duration::from_millis(200)).send().await;
    assert!(asked.is_err());
    stage.ended("left", 1).await;
    let attempt = stage.attempt("left");
    assert!(attempt.failure.is_none());
    let bill = stage.bills().await;
    assert_eq!(tokens(&attempt.charges), billed(&bill[1..]));
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_cut_said_and_booked() {
    let stage = start("[timeouts]\nstall = \"300ms\"\n").await;
    stage.simulator.script([Cue::anywhere().fault(Fault::StallStream { after_tokens: 5, ms: 600_000 })]);
    let text = stage.chat("silent", &hello(true)).send().await.unwrap().text().await.unwrap();
    let last = text.trim_end().rsplit("data: ").next().unwrap();
    let error: Value = serde_json::from_str(last).unwrap();
    assert_eq!(error["error"]["code"], "stalled", "{text}");
    let attempt = stage.attempt("silent");
    assert_eq!(attempt.failure.as_ref().unwrap().class, Class::Stalled);
    assert_eq!(tokens(&attempt.charges), billed(&stage.bills().await));
}

#[tokio::test]
async fn an_upstream_that_hangs_is_given_up_and_booked_with_its_bound() {
    let stage = start("[timeouts]\nfirst_byte = \"300ms\"\n").await;
    stage.simulator.script([Cue::anywhere().fault(Fault::HangAfter { ms: 600_000 })]);
    let answer = stage.chat("hung", &hello(false)).send().await.unwrap();
    assert_eq!(answer.status(), 504);
    let attempt = stage.attempt("hung");
    assert_eq!(attempt.failure.as_ref().unwrap().class, Class::Timeout);
    assert_eq!(attempt.charges[0].certainty, Certainty::Bound);
}

#[tokio::test]
async fn what_costs_nothing_passes_unbooked_and_what_is_unknown_is_booked_without_a_price() {
    let stage = start("").await;
    let models = stage.client.get(format!("{}/v1/models", stage.base)).send().await.unwrap();
    assert_eq!(models.status(), 404, "the simulator has none, and says so");
    assert!(stage.runs().is_empty());
    let image =
        stage.client.post(format!("{}/run/image/v1/images", stage.base)).body("…").send().await.unwrap();
    assert_eq!(image.status(), 404);
    assert_eq!(stage.attempt("image").failure.unwrap().class, Class::NotFound);
}

#[tokio::test]
async fn a_client_that_leaves_when_it_has_read_the_answers_end_has_had_a_whole_answer() {
    let upstream = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", upstream.local_addr().unwrap());
    // Says that this was all, and keeps the connection open.
    let lingers = tokio::spawn(async move {
        let (mut stream, _) = upstream.accept().await.unwrap();
        let mut request = vec![0; 64 << 10];
        let _ = stream.read(&mut request).await.unwrap();
        let text = json!({"id": "1", "choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]});
        let usage = json!({"id": "1", "choices": [], "usage": {"prompt_tokens": 8, "completion_tokens": 1, "total_tokens": 9}});
        let events = format!("data: {text}\n\ndata: {usage}\n\ndata: [DONE]\n\n");
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        let answer = format!("{head}{:x}\r\n{events}\r\n", events.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
        let _ = stream.read(&mut request).await;
    });
    let stage = start(&format!("[upstreams.odd]\nurl = \"{url}\"\n")).await;
    let url = format!("{}/run/lingers/up/odd/v1/chat/completions", stage.base);
    let mut answer = stage.client.post(url).json(&hello(true)).send().await.unwrap();
    let mut text = Vec::new();
    while !text.ends_with(b"[DONE]\n\n") {
        text.extend_from_slice(&answer.chunk().await.unwrap().unwrap());
    }
    drop(answer);
    stage.ended("lingers", 1).await;
    let attempt = stage.attempt("lingers");
    assert!(attempt.failure.is_none(), "{attempt:?}");
    assert_eq!((attempt.charges[0].certainty, tokens(&attempt.charges)), (Certainty::Exact, 9));
    lingers.await.unwrap();
}
