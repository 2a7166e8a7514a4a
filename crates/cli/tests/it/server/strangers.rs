//! Nobody there, somebody else there, no token, the wrong one: each is told, with what to do.

use std::io::{Read, Write};
use std::net::TcpListener;

use super::place::{Console, Elsewhere};
use crate::journal::{checkout, written};
use crate::midwatch::{Ran, midwatch, run};

const TOKEN: &str = "correct-horse-battery-staple";

#[test]
fn without_the_token_or_with_another_one_nothing_is_shown_and_the_token_never_is() {
    let folder = written(&[checkout()]);
    let console = Console::with(folder.path(), |serve| {
        serve.env("MIDWATCH_TOKEN", TOKEN);
    });
    let elsewhere = Elsewhere::new();
    let file = elsewhere.folder().join("token");
    std::fs::write(&file, format!("{TOKEN}\nand a note\n")).unwrap();
    let with = |token: &str| {
        elsewhere.with(&console.url, &["ls"], |asked| {
            asked.env("MIDWATCH_TOKEN", token);
        })
    };
    let refused = |ran: &Ran, says: &str| {
        assert_eq!((ran.code, ran.stdout.as_str()), (4, ""), "{}", ran.all());
        assert!(ran.stderr.contains("[MW0304]") && ran.stderr.contains(says), "{}", ran.all());
        assert!(ran.stderr.contains("--token-file"), "{}", ran.all());
    };
    refused(&elsewhere.run(&console.url, &["ls"]), "wants a token");
    let wrong = with("wrong-horse-battery-staple");
    refused(&wrong, "does not take this token");
    assert!(!wrong.all().contains("horse"), "{}", wrong.all());
    let unsendable = with("correct-horse\u{1}");
    assert_eq!(unsendable.code, 4, "{}", unsendable.all());
    assert!(!unsendable.all().contains("horse"), "{}", unsendable.all());
    assert!(with(TOKEN).stdout.contains("order-42"));
    let named = elsewhere.run(&console.url, &["ls", "--token-file", "token"]);
    assert!(named.stdout.contains("order-42"), "{}", named.all());
    let answer = elsewhere.run(&console.url, &["why", "order-42", "--json", "--token-file", "token"]).stdout;
    assert!(answer.contains("midwatch show r_01010101 --token-file token\""), "{answer}");
    let missing = elsewhere.run(&console.url, &["ls", "--token-file", "none"]);
    assert_eq!(missing.code, 1, "{}", missing.all());
    let errors = elsewhere.with(&console.url, &["why", "nobody", "--json"], |asked| {
        asked.env("MIDWATCH_TOKEN", TOKEN);
    });
    assert!(errors.code == 3 && !errors.all().contains(TOKEN), "{}", errors.all());
    let order = elsewhere.with(&console.url, &["cancel", "order-42"], |asked| {
        asked.env("MIDWATCH_TOKEN", TOKEN);
    });
    assert_eq!(order.code, 5, "an ended run takes no order: {}", order.all());
}

#[test]
fn nobody_there_is_told_and_what_to_do() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ran = Elsewhere::new().run(&format!("http://{free}"), &["ls", "--json"]);
    assert_eq!(ran.code, 4, "{}", ran.all());
    let error: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!(error["error"]["code"], "MW0301", "{}", ran.all());
    assert!(error["error"]["hints"][0].as_str().unwrap().contains("midwatch serve"), "{}", ran.all());
}

#[test]
fn what_is_no_midwatch_server_or_one_of_another_version_is_told_apart() {
    let older = r#"{"error":{"status":404,"message":"there is nothing at /api/v1/journal"}}"#;
    let newer = r#"{"midwatch":"7.0.0","api":2}"#;
    let next = r#"{"midwatch":"7.0.0","api":2,"is_read_only":false,"now":1,"position":1}"#;
    for (status, head, body, code, says) in [
        ("200 OK", "content-type: text/html", "<h1>hello</h1>", "MW0302", "does not answer in JSON"),
        ("404 Not Found", "content-type: text/html", "no such page", "MW0302", "HTTP 404 no such page"),
        ("200 OK", "content-type: application/json", "[]", "MW0302", "it answers otherwise"),
        ("302 Found", "location: https://login.example/", "", "MW0302", "it sends to https://login.example/"),
        ("502 Bad Gateway", "content-type: text/html", "", "MW0306", "HTTP 502"),
        ("404 Not Found", "content-type: application/json", older, "MW0303", "another version"),
        ("200 OK", "content-type: application/json", newer, "MW0303", "midwatch 7.0.0"),
        ("200 OK", "content-type: application/json", next, "MW0303", "version 2 of the JSON interface"),
    ] {
        let ran = Elsewhere::new().run(&stranger(status, head, body), &["ls"]);
        assert_eq!(ran.code, 4, "{status}: {}", ran.all());
        assert!(ran.stderr.contains(code) && ran.stderr.contains(says), "{status} {body}: {}", ran.all());
    }
}

#[test]
fn a_name_that_the_console_does_not_answer_to_is_told_in_its_own_words() {
    let folder = written(&[checkout()]);
    let console = Console::start(folder.path());
    // What begins with a dot-less name resolves to this machine, and is none of the console's.
    let url = console.url.replace("127.0.0.1", "midwatch.localhost");
    let ran = Elsewhere::new().run(&url, &["ls"]);
    assert_eq!(ran.code, 4, "{}", ran.all());
    let is_told = ran.stderr.contains("[MW0305]") && ran.stderr.contains("--host NAME");
    // Not every machine resolves such names.
    assert!(is_told || ran.stderr.contains("[MW0301]"), "{}", ran.all());
}

#[test]
fn what_is_typed_comes_before_the_environment_and_both_at_once_are_too_much() {
    let folder = written(&[checkout()]);
    let console = Console::start(folder.path());
    let elsewhere = Elsewhere::new();
    let db = folder.path().join("midwatch.db");
    let db = db.to_str().unwrap();
    let by_file = elsewhere.run("http://127.0.0.1:1", &["ls", "--db", db]);
    assert!(by_file.stdout.contains("order-42"), "{}", by_file.all());
    let by_server = elsewhere.with(&console.url, &["ls"], |asked| {
        asked.env("MIDWATCH_DB", "nowhere.db");
    });
    assert!(by_server.stdout.contains("order-42"), "{}", by_server.all());
    let both = run(elsewhere.folder(), &["ls", "--db", db, "--server", &console.url]);
    assert_eq!(both.code, 2, "{}", both.all());
    let secret = run(elsewhere.folder(), &["ls", "--server", "https://ann:hunter2@watch.example"]);
    assert_eq!(secret.code, 2, "{}", secret.all());
    assert!(!secret.all().contains("hunter2") && secret.stderr.contains("--token-file"), "{}", secret.all());
}

#[test]
fn commands_that_need_the_file_say_so() {
    let elsewhere = Elsewhere::new();
    for asked in ["serve", "watch", "mcp", "alerts", "ingest", "trace --follow", "gateway"] {
        let ran = elsewhere.run("http://127.0.0.1:1", &asked.split(' ').collect::<Vec<_>>());
        assert_eq!(ran.code, 2, "{asked}: {}", ran.all());
        assert!(ran.stderr.contains("works on the journal's file"), "{asked}: {}", ran.all());
    }
    assert_eq!(elsewhere.run("http://127.0.0.1:1", &["version"]).code, 0);
    assert_eq!(midwatch(elsewhere.folder(), "ls").code, 4, "without a server the file is looked for");
}

/// Answers whoever comes first like this, and gives its address.
fn stranger(status: &str, head: &str, body: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let length = body.len();
    let answer =
        format!("HTTP/1.1 {status}\r\n{head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = [0; 4096];
        assert!(stream.read(&mut asked).unwrap() > 0);
        stream.write_all(answer.as_bytes()).unwrap();
    });
    url
}
