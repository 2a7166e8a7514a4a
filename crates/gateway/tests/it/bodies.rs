//! What of requests and answers is in the journal: nothing, or as much as was asked for.

use midwatch_providers::SseParser;
use midwatch_simulator::{Cue, Fault, Reply};
use midwatch_workflow::{Ended, EventKind, Payload};
use serde_json::{Value, json};

use crate::stage::{Stage, hello, start};

#[tokio::test]
async fn bodies_are_in_the_journal_only_if_asked_for_and_then_without_what_is_to_be_hidden() {
    let mut body = hello(false);
    body["user"] = "ann@example.com".into();
    body["messages"][0]["content"] = "my key is sk-proj-abcdef0123456789, what is the time?".into();
    for (settings, is_kept) in [("", false), ("[bodies]\nkeep = true\nredact = [\"user\"]\n", true)] {
        let stage = start(settings).await;
        assert_eq!(stage.chat("kept", &body).send().await.unwrap().status(), 200);
        let events = serde_json::to_string(&stage.events(&stage.run("kept"))).unwrap();
        assert_eq!(events.contains("what is the time?"), is_kept, "{events}");
        assert_eq!(events.contains("finish_reason"), is_kept, "the answer");
        assert!(!events.contains("abcdef0123456789") && !events.contains("ann@example.com"), "{events}");
    }
}

/// What is kept of the answer of a run's last attempt: its output, or its last progress.
fn kept(stage: &Stage, run: &str) -> Option<String> {
    let events = stage.events(&stage.run(run));
    let answer = |payload: &Payload| Some(payload.read::<Value>().ok()?["answer"].as_str()?.to_owned());
    events.iter().rev().find_map(|event| match &event.kind {
        EventKind::AttemptEnded { result: Ended::Ok(output), .. } => answer(output),
        EventKind::Heartbeat { progress, .. } => answer(progress),
        _ => None,
    })
}

/// The texts of a stream's events, as a client of any dialect puts them together.
fn text(stream: &str) -> String {
    let events = SseParser::default().push(stream.as_bytes()).unwrap();
    let values = events.iter().filter_map(|event| serde_json::from_str::<Value>(&event.data).ok());
    let texts = values.filter_map(|value| {
        let places = [&value["choices"][0]["delta"]["content"], &value["delta"]["text"], &value["delta"]];
        places.into_iter().find_map(Value::as_str).map(str::to_owned)
    });
    texts.collect()
}

#[tokio::test]
async fn a_stream_is_kept_as_the_answer_in_one_piece_that_it_would_have_been() {
    let stage = start("[bodies]\nkeep = true\n").await;
    let hello_claude = json!({"model": "claude-sonnet-4-5", "max_tokens": 50, "stream": true,
        "messages": [{"role": "user", "content": "hello"}]});
    let hello_responses =
        json!({"model": "gpt-4o", "input": "hello", "max_output_tokens": 50, "stream": true});
    for (path, body, at) in [
        ("chat/completions", hello(true), "/choices/0/message/content"),
        ("messages", hello_claude, "/content/0/text"),
        ("responses", hello_responses, "/output/0/content/0/text"),
    ] {
        let run = path.replace('/', "-");
        let url = format!("{}/run/{run}/v1/{path}", stage.base);
        let stream = stage.client.post(url).json(&body).send().await.unwrap().text().await.unwrap();
        let answer: Value = serde_json::from_str(&kept(&stage, &run).unwrap()).unwrap();
        let (told, passed) = (answer.pointer(at).unwrap(), text(&stream));
        assert!(!passed.is_empty() && *told == passed.as_str(), "{path}: {answer} {passed}");
    }
    let plain = start("").await;
    plain.chat("plain", &hello(true)).send().await.unwrap().text().await.unwrap();
    assert_eq!(kept(&plain, "plain"), None);
}

#[tokio::test]
async fn of_a_stream_that_breaks_what_had_passed_is_kept_and_of_a_long_one_its_beginning() {
    let stage = start("[bodies]\nkeep = true\nchars_max = 60\n").await;
    let secret = "The key sk-proj-abcdef0123456789 is in the log of the middle watch, as ever.";
    let fault = Fault::CutStream { after_tokens: 3 };
    stage.simulator.script([
        Cue::anywhere().reply(Reply::text(secret)),
        Cue::anywhere(),
        Cue::anywhere().reply(Reply::text("one two three four five six")),
        Cue::anywhere().fault(fault),
    ]);
    stage.chat("long", &hello(true)).send().await.unwrap().text().await.unwrap();
    let long = kept(&stage, "long").unwrap();
    assert!(long.ends_with("… [cut]") && long.chars().count() == 67, "{long}");
    assert!(!serde_json::to_string(&stage.events(&stage.run("long"))).unwrap().contains("abcdef"), "{long}");
    assert!(stage.chat("broke", &hello(true)).send().await.unwrap().text().await.is_err());
    let broke = kept(&stage, "broke").unwrap();
    assert!(broke.contains("one two") && !broke.contains("six"), "{broke}");
}
