//! `midwatch why`.

use std::time::Duration;

use midwatch_engine_conformance::server::{Authority, Inside, TemporalServer};
use midwatch_workflow::{Class, DelayReason, Failure};

use crate::journal::{Story, booking, checkout, research, written};
use crate::midwatch::{Ran, command, midwatch, ran, run};

#[test]
fn the_first_line_is_the_answer() {
    let folder = written(&[checkout(), booking(), research()]);
    for (run, first) in [
        ("order-42", "HEALTHY  r_01010101 checkout order-42 · 4.02s (n=0: too few to compare)"),
        ("trip-7", "FAILED  r_02020202 booking trip-7 · 1.50s (n=0: too few to compare)"),
        ("paper-9", "PARKED  r_03030303 research paper-9 · 9m57s (n=0: too few to compare)"),
    ] {
        let Ran { code, stdout, stderr } = midwatch(folder.path(), &format!("why {run}"));
        assert_eq!((code, stderr.as_str()), (0, ""));
        assert_eq!(stdout.lines().next(), Some(first), "{stdout}");
        let is_narrow = |line: &str| line.chars().count() <= 100;
        assert!(stdout.lines().all(is_narrow), "{stdout}");
    }
}

#[test]
fn the_commands_of_an_answer_work_when_pasted() {
    let folder = written(&[checkout(), booking(), research(), waits_long()]);
    for asked in ["order-42", "trip-7", "paper-9", "call-1"] {
        let answer = midwatch(folder.path(), &format!("why {asked} --json")).stdout;
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        for next in answer["next"].as_array().unwrap() {
            let command = next["command"].as_str().unwrap();
            let arguments: Vec<&str> = command.strip_prefix("midwatch ").unwrap().split(' ').collect();
            let ran = run(folder.path(), &arguments);
            assert_eq!(ran.code, 0, "{command}: {}", ran.all());
        }
    }
}

#[test]
fn a_run_that_is_only_watched_takes_no_order_and_its_answer_names_who_carries_it_out() {
    let watched = |n, id: &str| {
        let mut story = Story::with(n, "agent", id, |start| start.worker = "recorder: ingest pid 7".into());
        let call = story.attempt_with("call_llm", 1, |attempt| attempt.target = Some("openai:gpt-4o".into()));
        (story, call)
    };
    let (open, _) = watched(1, "open-1");
    let (mut failed, call) = watched(2, "failed-1");
    let failure = Failure::new(Class::InvalidRequest, "no such tool").status(400);
    failed.after(300).fails(call, failure.clone());
    failed.gives_up("call_llm", 1, midwatch_workflow::GiveUp::Class);
    failed.ends_failed(failure, 0);
    let folder = written(&[open, failed]);
    for asked in ["open-1", "failed-1"] {
        let told = midwatch(folder.path(), &format!("why {asked}")).stdout;
        assert!(told.contains("outside: the agent that sends its traces carries it out"), "{told}");
        let answer = midwatch(folder.path(), &format!("why {asked} --json")).stdout;
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["carried_out_by"], "the agent that sends its traces");
        for next in answer["next"].as_array().unwrap() {
            let command = next["command"].as_str().unwrap();
            let arguments: Vec<&str> = command.strip_prefix("midwatch ").unwrap().split(' ').collect();
            assert!(["show", "doctor", "why"].contains(&arguments[0]), "{command}");
            assert_eq!(run(folder.path(), &arguments).code, 0, "{command}");
        }
        for order in ["cancel", "pause", "retry", "resume"] {
            let refused = midwatch(folder.path(), &format!("{order} {asked}"));
            assert_eq!(refused.code, 5, "{order}: {}", refused.all());
            assert!(refused.stderr.contains("is only watched"), "{order}: {}", refused.all());
        }
        let shown = midwatch(folder.path(), &format!("show {asked}")).stdout;
        assert!(shown.contains("watched   written down by ingest pid 7"), "{shown}");
    }
    assert_eq!(crate::journal::letters(folder.path()).len(), 0);
}

#[test]
fn the_json_has_what_programs_need() {
    let folder = written(&[waits_long()]);
    let answer = midwatch(folder.path(), "why call-1 --json").stdout;
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((&answer["verdict"], &answer["cause"]), (&"stuck".into(), &"process_lost".into()));
    for field in ["evidence", "excluded", "affected", "safe_to_retry", "next", "headline", "time", "tries"] {
        assert!(!answer[field].is_null(), "{field}");
    }
    assert_eq!(answer["safe_to_retry"]["verdict"], "yes");
    assert!(answer["safe_to_retry"]["key"].as_str().unwrap().ends_with(":call_llm"));
}

#[test]
fn the_worst_is_found_and_all_that_fail_are_told() {
    let folder = written(&[checkout(), booking(), research(), waits_long()]);
    let worst = midwatch(folder.path(), "why --worst").stdout;
    assert!(worst.starts_with("STUCK  r_04040404"), "{worst}");
    let all = midwatch(folder.path(), "why --all-failing --json").stdout;
    let mut verdicts: Vec<String> = all
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["verdict"].as_str().unwrap().to_owned()
        })
        .collect();
    verdicts.sort();
    assert_eq!(verdicts, ["failed", "parked", "stuck"]);
}

#[test]
fn stalls_are_listed_with_their_cause_and_costs_add_up() {
    let folder = written(&[checkout(), research(), waits_long()]);
    let stalls = midwatch(folder.path(), "stalls --json").stdout;
    let stall: serde_json::Value = serde_json::from_str(stalls.trim()).unwrap();
    assert_eq!((&stall["kind"], &stall["cause"]), (&"overdue".into(), &"process_lost".into()));
    let cost = midwatch(folder.path(), "cost --by target --csv").stdout;
    assert_eq!(cost.lines().nth(1), Some("openai:gpt-4o,1,2,18000,0,920,0.51,0.00,0"));
    let cost = midwatch(folder.path(), "cost --by step").stdout;
    assert!(cost.contains("100% of the cost"), "{cost}");
    let drawn = midwatch(folder.path(), "cost --svg cost.svg");
    assert_eq!(drawn.code, 0, "{}", drawn.all());
    assert!(std::fs::read_to_string(folder.path().join("cost.svg")).unwrap().starts_with("<svg"));
}

#[test]
fn a_temporal_server_that_is_named_adds_what_it_knows() {
    let Some(server) = TemporalServer::start(&[]) else { return };
    let (folder, address) = (written(&[waits_long()]), server.address());
    let why = || {
        let answer = midwatch(folder.path(), &format!("why call-1 --json --temporal {address}"));
        let answer: serde_json::Value = serde_json::from_str(&answer.stdout).expect("an answer");
        (answer["headline"].as_str().unwrap().to_owned(), answer["evidence"].to_string())
    };
    let (_, evidence) = why();
    assert!(evidence.contains("was not asked") && evidence.contains("not found"), "{evidence}");

    let start =
        ["workflow", "start", "--workflow-id", "caller/call-1", "--type", "caller", "--task-queue", "night"];
    server.tell("default", &start);
    let (headline, evidence) = why();
    assert!(headline.starts_with("no worker asks for tasks of queue `night` at Temporal"), "{headline}");
    assert!(evidence.contains(&headline), "{evidence}");

    server.tell("default", &["workflow", "terminate", "--workflow-id", "caller/call-1"]);
    assert!(why().1.contains("Temporal has ended `caller/call-1`"));

    drop(server);
    let (headline, evidence) = why();
    assert!(evidence.contains(&format!("Temporal at {address} was not asked")), "{evidence}");
    // What the journal says is told all the same.
    assert!(headline.starts_with("no process carries it out"), "{headline}");
}

#[test]
fn a_temporal_server_is_asked_over_tls_as_temporals_own_settings_say() {
    let Some(server) = TemporalServer::start(&[]) else { return };
    let start =
        ["workflow", "start", "--workflow-id", "caller/call-1", "--type", "caller", "--task-queue", "night"];
    server.tell("default", &start);
    let folder = written(&[waits_long()]);
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let file = |name: &str| folder.path().join(name);
    ours.write(&file("ours.pem"));
    other.write(&file("other.pem"));
    ours.write_client(&file("client.pem"), &file("client.key"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let front = |clients| runtime.block_on(ours.end_tls(server.socket(), Inside::Grpc, clients));
    let (open, known_only) = (front(None), front(Some(&ours)));
    let evidence = |address: &str, environment: &[(&str, &str)]| {
        let mut asked = command(folder.path());
        let asked = asked.args(["why", "call-1", "--json", "--temporal", address]);
        let asked = ran(asked.envs(environment.iter().copied()));
        let answer: serde_json::Value = serde_json::from_str(&asked.stdout).expect("an answer");
        answer["evidence"].to_string()
    };
    const CA: &str = "TEMPORAL_TLS_SERVER_CA_CERT_PATH";
    let client =
        [("TEMPORAL_TLS_CLIENT_CERT_PATH", "client.pem"), ("TEMPORAL_TLS_CLIENT_KEY_PATH", "client.key")];
    let answered = "no worker asks for tasks of queue `night` at Temporal";
    let (url, plain) = (format!("https://{open}"), open.to_string());
    let private = format!("https://{known_only}");
    for (address, environment, says) in [
        (&url, &[(CA, "ours.pem")][..], answered),
        // An authority that is named says that the way is private.
        (&plain, &[(CA, "ours.pem")], answered),
        (
            &url,
            &[(CA, "other.pem")],
            "its certificate is not trusted (UnknownIssuer): TEMPORAL_TLS_SERVER_CA_",
        ),
        (&url, &[], "its certificate is not trusted (UnknownIssuer): TEMPORAL_TLS_SERVER_CA_"),
        (&url, &[(CA, "gone.pem")], "TEMPORAL_TLS_SERVER_CA_CERT_PATH names gone.pem, which cannot be read"),
        (&private, &[(CA, "ours.pem")], "as where a server asks who we are: TEMPORAL_TLS_CLIENT_CERT_PATH"),
        (&private, &[(CA, "ours.pem"), client[0], client[1]], answered),
    ] {
        let evidence = evidence(address, environment);
        assert!(evidence.contains(says), "{environment:?}: {says} in {evidence}");
        assert_eq!(says != answered, evidence.contains("was not asked"), "{evidence}");
    }
}

/// A run that waits to try again; the wait is over, and no process is there to do it.
fn waits_long() -> Story {
    let mut story = Story::begin(4, "caller", "call-1");
    let call = story.attempt_with("call_llm", 1, |attempt| attempt.target = Some("openai:gpt-4o".into()));
    let busy = Failure::new(Class::RateLimited, "slow down").status(429).retry_after(Duration::from_secs(60));
    story.after(300).fails(call, busy);
    story.retries("call_llm", 2, 60_000, DelayReason::RetryAfter);
    story
}
