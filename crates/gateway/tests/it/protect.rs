//! One place retries: what is waited for, what is not tried again, and what clients are told.

use std::time::{Duration, Instant};

use midwatch_journal::Board;
use midwatch_simulator::{Cue, Fault, RetryAfter};
use midwatch_workflow::{Class, EventKind};

use crate::stage::{Stage, billed, hello, start, tokens};

const PROTECT: &str = "mode = \"protect\"\n";

#[tokio::test]
async fn a_rate_limit_is_waited_for_and_the_client_never_hears_of_it() {
    let stage = start(PROTECT).await;
    stage
        .simulator
        .script([Cue::anywhere().fault(Fault::RateLimited { retry_after: RetryAfter::Seconds(1.0) })]);
    let begun = Instant::now();
    let answer = stage.chat("limited", &hello(false)).send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["x-midwatch-attempts"]),
        (200, &"2".parse().unwrap())
    );
    assert!(begun.elapsed() >= Duration::from_secs(1), "a Retry-After is never undercut");
    let attempts: Vec<(u32, u32)> = stage.attempts("limited").iter().map(|a| (a.nth, a.attempt)).collect();
    assert_eq!(attempts, [(1, 1), (1, 2)]);
    let run = stage.run("limited");
    assert!(
        stage.events(&run).iter().any(|event| matches!(event.kind, EventKind::TimerFired { .. })),
        "the wait is on record"
    );
}

#[tokio::test]
async fn what_no_retry_cures_is_sent_once_and_clients_are_told_not_to_either() {
    let stage = start(PROTECT).await;
    for fault in [Fault::QuotaExhausted, Fault::ContextOverflow, Fault::ContentFiltered, Fault::Unauthorized]
    {
        stage.simulator.script([Cue::anywhere().fault(fault)]);
        let answer = stage.chat(fault.name(), &hello(false)).send().await.unwrap();
        assert!(answer.status().is_client_error(), "{}", fault.name());
        assert_eq!(answer.headers()["x-should-retry"], "false", "{}", fault.name());
        assert_eq!(stage.attempts(fault.name()).len(), 1, "{}", fault.name());
    }
}

#[tokio::test]
async fn a_failure_that_stays_is_tried_as_often_as_is_set_and_all_of_it_is_booked() {
    let stage = start("mode = \"protect\"\n[retry]\nattempts = 2\n").await;
    stage.simulator.script([Cue::anywhere().fault(Fault::ServerErrorAfter).times(5)]);
    let answer = stage.chat("down", &hello(false)).send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["x-should-retry"]),
        (500, &"false".parse().unwrap())
    );
    let bills = stage.bills().await;
    assert_eq!(bills.len(), 2, "two attempts and no more");
    let booked: u64 = stage.attempts("down").iter().map(|attempt| tokens(&attempt.charges)).sum();
    assert_eq!(booked, billed(&bills));
    let told = answer.headers()["x-midwatch-tokens"].to_str().unwrap().parse::<u64>().unwrap();
    assert_eq!(told, booked, "the client is told what all attempts took");
}

#[tokio::test]
async fn a_stream_that_fails_before_its_first_chunk_is_tried_again() {
    let stage = start("mode = \"protect\"\n[timeouts]\nstall = \"300ms\"\n").await;
    stage.simulator.script([Cue::anywhere().fault(Fault::ResetAfter)]);
    let text = stage.chat("again", &hello(true)).send().await.unwrap().text().await.unwrap();
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    let attempts = stage.attempts("again");
    assert_eq!(attempts.len(), 2);
    assert_eq!(attempts[0].failure.as_ref().unwrap().class, Class::Connection);
    // The first was billed, and nobody here knows how much: its bound is booked.
    let booked: u64 = attempts.iter().map(|attempt| tokens(&attempt.charges)).sum();
    assert!(booked >= billed(&stage.bills().await));
}

#[tokio::test]
async fn while_an_upstream_cools_down_nobody_calls_it_and_whoever_waits_too_long_is_told_how_long() {
    let stage = start("mode = \"protect\"\n[retry]\nattempts = 1\nheld = \"200ms\"\n").await;
    stage
        .simulator
        .script([Cue::anywhere().fault(Fault::RateLimited { retry_after: RetryAfter::Seconds(30.0) })]);
    assert_eq!(stage.chat("first", &hello(false)).send().await.unwrap().status(), 429);
    let answer = stage.chat("second", &hello(false)).send().await.unwrap();
    let wait: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((20..=34).contains(&wait), "{wait}");
    assert!(answer.text().await.unwrap().contains("cooling_down"));
    assert_eq!(stage.bills().await.len(), 1, "the second call was not sent");
}

#[tokio::test]
async fn a_closed_gate_is_seen_by_other_processes_and_holds_after_a_restart() {
    let settings = "mode = \"protect\"\n[retry]\nattempts = 1\nheld = \"50ms\"\n";
    let stage = start(settings).await;
    let after = RetryAfter::Seconds(120.0);
    stage
        .simulator
        .script([Cue::anywhere().model("gpt-4o-mini").fault(Fault::RateLimited { retry_after: after })]);
    let ask = async |stage: &Stage, run: &str| {
        stage.chat(run, &hello(false)).send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask(&stage, "first").await, 429);
    // What `show`, `why` and the console read; the target is that of the run's attempts.
    let target = stage.run("first").target.unwrap();
    assert_eq!(target, "openai:gpt-4o-mini");
    let closed = async {
        loop {
            let board = Board::read(&stage.db()).unwrap();
            let gate = board.as_ref().and_then(|board| board.gate(&target));
            if gate.is_some_and(|gate| gate.state.closed.is_some()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), closed).await.unwrap();
    let mut other = hello(false);
    other["model"] = "gpt-4o".into();
    let answer = stage.chat("other", &other).send().await.unwrap();
    assert_eq!(answer.status(), 200, "another model has limits of its own");
    let stage = stage.restart(settings).await;
    assert_eq!(ask(&stage, "second").await, 429);
    assert_eq!(stage.bills().await.len(), 2, "the gate that was known kept it back");
}
