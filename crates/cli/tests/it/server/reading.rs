//! Commands that look say the same through a server as beside the file.

use std::sync::mpsc::channel;
use std::time::Duration;

use midwatch_journal::{Append, Fold, Journal};
use midwatch_workflow::{Class, DelayReason, EventKind, Failure, RunId};

use super::place::{Console, Elsewhere};
use crate::journal::{START, Story, approval, booking, checkout, failed, open, research, written};
use crate::midwatch::{midwatch, run};

/// A run of everything that a journal may hold, with payloads that only their own text tells exactly.
fn stories() -> Vec<Story> {
    let mut exact = Story::begin(7, "exact", "exact-1");
    let op = exact.attempt("count", 1);
    exact.after(200).ok(op, r#"{"z":1.50,"a":12345678901234567890123,"A":"é\u0000"}"#);
    exact.completes(r#"{"b":[1e2,0.10]}"#);
    let mut late = Story::begin(8, "caller", "call-1");
    let call = late.attempt_with("call_llm", 1, |attempt| attempt.target = Some("openai:gpt-4o".into()));
    let busy = Failure::new(Class::RateLimited, "slow down").status(429).retry_after(Duration::from_secs(60));
    late.after(300).fails(call, busy);
    late.retries("call_llm", 2, 60_000, DelayReason::RetryAfter);
    vec![checkout(), booking(), research(), approval(5, "claim-5"), failed(6, "order-46"), exact, late]
}

const READ: [&str; 46] = [
    "ls",
    "ls --json",
    "ls --status failed,parked",
    "ls --workflow checkout --order oldest",
    "ls --order costliest --limit 2",
    "ls --order stalest --json",
    "ls --tenant acme",
    "ls --text order --since 1h",
    "ls --text nothing-like-it",
    "show order-42",
    "show order-42 --json",
    "show order-42 --events",
    "show order-42 --events --json",
    "show trip-7",
    "show paper-9",
    "show claim-5",
    "show r_07070707 --json",
    "show exact-1 --events",
    "show exact-1 --events --json",
    "show call-1",
    "why order-42",
    "why order-42 --json",
    "why trip-7",
    "why paper-9 --json",
    "why claim-5",
    "why order-46",
    "why call-1",
    "why call-1 --json",
    "why --worst",
    "why --worst --json",
    "why --all-failing",
    "why --all-failing --json",
    "cost",
    "cost --json",
    "cost --by step",
    "cost --by target --csv",
    "cost --by day --json",
    "stalls",
    "stalls --json",
    "stalls --limit 2h",
    "trace order-42",
    "trace trip-7 --json",
    "tail order-42",
    "tail order-42 --from-start --json",
    "tail trip-7 --exit-status",
    "tail exact-1 --json",
];

#[test]
fn every_command_that_looks_says_the_same_through_a_server_to_the_byte() {
    let folder = written(&stories());
    let console = Console::start(folder.path());
    let elsewhere = Elsewhere::new();
    for asked in READ {
        let arguments: Vec<&str> = asked.split(' ').collect();
        let (here, there) = (run(folder.path(), &arguments), elsewhere.run(&console.url, &arguments));
        assert_eq!(there.all(), here.all(), "{asked}");
        assert!(!here.stdout.is_empty(), "{asked}: {}", here.all());
    }
}

#[test]
fn the_commands_of_an_answer_name_the_server_and_work_when_pasted() {
    let folder = written(&stories());
    let console = Console::start(folder.path());
    let elsewhere = Elsewhere::new();
    for name in ["order-42", "trip-7", "paper-9", "claim-5", "order-46", "call-1"] {
        let answer = run(elsewhere.folder(), &["why", name, "--json", "--server", &console.url]).stdout;
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        for next in answer["next"].as_array().unwrap() {
            let command = next["command"].as_str().unwrap();
            assert!(command.ends_with(&format!(" --server {}", console.url)), "{command}");
            let arguments: Vec<&str> = command.strip_prefix("midwatch ").unwrap().split(' ').collect();
            if arguments[0] != "tail" {
                let ran = run(elsewhere.folder(), &arguments);
                assert_eq!(ran.code, 0, "{command}: {}", ran.all());
            }
        }
    }
}

#[test]
fn lists_and_runs_longer_than_a_page_come_whole() {
    let mut long = Story::begin(1, "long", "long-1");
    for _ in 0..600u32 {
        let op = long.attempt("note", 1);
        long.after(10).ok(op, "\"short\"");
    }
    long.completes("null");
    let folder = written(&[]);
    let journal = open(folder.path());
    let mut appends = Vec::new();
    for (n, part) in long.events.chunks(400).enumerate() {
        let summary = (n == 0).then(|| Fold::of(&long.events).map(|fold| Box::new(fold.summary))).flatten();
        appends.push(Append::new(long.run, n as u64 * 400 + 1, part, summary).unwrap());
    }
    // All alike but for their ids, so that every page ends within what is alike.
    for n in 0..1_100u32 {
        let mut story = approval(9, "same");
        let mut random = [9; 10];
        random[2..6].copy_from_slice(&n.to_be_bytes());
        story.run = RunId::new(START, random);
        let EventKind::RunStarted(start) = &mut story.events[0].kind else { panic!("a start") };
        start.run = story.run;
        start.workflow_id = story.run.into();
        let summary = Fold::of(&story.events).map(|fold| Box::new(fold.summary));
        appends.push(Append::new(story.run, 1, &story.events, summary).unwrap());
    }
    let (done, told) = channel();
    let count = appends.len();
    for append in appends {
        let done = done.clone();
        journal.append(append, Box::new(move |result| done.send(result).unwrap()));
    }
    told.iter().take(count).for_each(|result| assert!(result.is_ok(), "{result:?}"));
    journal.close().unwrap();
    let console = Console::start(folder.path());
    let elsewhere = Elsewhere::new();
    for asked in [
        "ls --limit 100000 --json",
        "ls --limit 1050 --json --order stalest",
        "show long-1 --events --json",
        "tail long-1",
    ] {
        let arguments: Vec<&str> = asked.split(' ').collect();
        let (here, there) = (run(folder.path(), &arguments), elsewhere.run(&console.url, &arguments));
        assert_eq!(here.code, 0, "{asked}: {}", here.stderr);
        assert!(
            there.all() == here.all(),
            "{asked}: {} bytes there, {} here",
            there.stdout.len(),
            here.stdout.len()
        );
    }
    let lines = |asked: &str| midwatch(folder.path(), asked).stdout.lines().count();
    assert_eq!((lines("ls --limit 100000 --json"), lines("show long-1 --events --json")), (1_101, 1_202));
}

#[test]
fn what_is_hidden_on_the_page_is_hidden_to_the_command() {
    let mut story = Story::begin(1, "login", "login-1");
    let op = story.attempt("sign_in", 1);
    story.after(10).ok(op, r#"{"password":"correct horse","user":"ann"}"#);
    story.completes(r#""use sk-proj-abcdef0123456789""#);
    let folder = written(&[story]);
    let console = Console::start(folder.path());
    let there = Elsewhere::new().run(&console.url, &["show", "login-1", "--events", "--json"]);
    assert!(!there.stdout.contains("correct horse") && !there.stdout.contains("abcdef"), "{}", there.all());
    assert!(
        there.stdout.contains(r#""password":"[hidden]""#) && there.stdout.contains("ann"),
        "{}",
        there.all()
    );
}

#[test]
fn all_runs_are_followed_from_now_on_through_a_server() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;

    use crate::midwatch::command;

    let folder = written(&[checkout()]);
    let console = Console::start(folder.path());
    let elsewhere = Elsewhere::new();
    let mut tail = command(elsewhere.folder());
    tail.args(["tail", "--json", "--server", &console.url]).stdout(Stdio::piped());
    let mut tail = tail.spawn().unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let journal = open(folder.path());
    // It may begin to look only after some of these: each is a run of its own, and one is surely later.
    let (stop, stopped) = channel::<()>();
    let writing = std::thread::spawn(move || {
        for n in 10..=250u8 {
            let story = approval(n, &format!("claim-{n}"));
            crate::journal::write(&journal, story.run, 1, &story.events, &story.events);
            if stopped.recv_timeout(Duration::from_millis(100)).is_ok() {
                break;
            }
        }
    });
    let first: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(first["number"], 1);
    assert_eq!(first["event"]["run_started"]["workflow"], "approval");
    stop.send(()).unwrap();
    tail.kill().unwrap();
    tail.wait().unwrap();
    writing.join().unwrap();
}

#[test]
fn a_run_is_followed_on_when_the_server_comes_back() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;

    use crate::midwatch::command;

    let mut story = approval(1, "claim-1");
    let folder = written(&[]);
    let journal = open(folder.path());
    crate::journal::write(&journal, story.run, 1, &story.events, &story.events);
    let console = Console::start(folder.path());
    let (url, listen) = (console.url.clone(), console.url.trim_start_matches("http://").to_owned());
    let elsewhere = Elsewhere::new();
    let mut tail = command(elsewhere.folder());
    tail.args(["tail", "claim-1", "--json", "--server", &url]).stdout(Stdio::piped());
    let mut tail = tail.spawn().unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(
        lines.next().unwrap().contains("run_started") && lines.next().unwrap().contains("signal_awaited")
    );
    drop(console);
    story.after(10).completes("1");
    crate::journal::write(&journal, story.run, 3, &story.events[2..], &story.events);
    let _console = Console::with(folder.path(), |serve| {
        serve.args(["--listen", &listen]);
    });
    assert!(lines.next().unwrap().contains("run_ended"));
    assert!(tail.wait().unwrap().success());
}

#[test]
fn a_run_that_is_not_there_is_not_there_in_the_servers_name() {
    let folder = written(&[checkout(), approval(5, "twin"), {
        let mut other = approval(6, "twin");
        let EventKind::RunStarted(start) = &mut other.events[0].kind else { panic!("a start") };
        start.workflow = "other".to_owned();
        other
    }]);
    let console = Console::start(folder.path());
    let elsewhere = Elsewhere::new();
    let ran = elsewhere.run(&console.url, &["why", "order-1"]);
    assert_eq!(ran.code, 3, "{}", ran.all());
    assert!(ran.stderr.contains(&format!("there is no run `order-1` in {}", console.url)), "{}", ran.all());
    let (here, there) =
        (midwatch(folder.path(), "show twin"), elsewhere.run(&console.url, &["show", "twin"]));
    assert_eq!((there.code, there.all()), (2, here.all()));
}
