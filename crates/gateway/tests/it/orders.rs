//! What people order from the command line or the console, and what becomes of a run's calls.

use std::sync::Arc;
use std::time::Duration;

use midwatch_gateway::now;
use midwatch_journal::Status;
use midwatch_journal::sqlite::SqliteJournal;
use midwatch_steer::{Cancel, Desk, Effect, Order, Outcome, Pause, RaiseBudget, Resume, deliver};
use midwatch_workflow::{EventKind, Money};
use serde_json::Value;

use crate::stage::{Stage, hello, start};

/// Orders as the command line does; gives the event that it became.
pub(crate) async fn order(stage: &Stage, name: &str, order: impl Order + Send + Sync + 'static) -> EventKind {
    let (run, db) = (Arc::new(stage.run(name)), stage.db());
    let summary = Arc::clone(&run);
    let outcome = tokio::task::spawn_blocking(move || {
        let journal = SqliteJournal::open_reader(&db).unwrap();
        let desk = Desk { journal: &journal, path: &db, patience: Duration::from_secs(20), clock: &now };
        let mut told = None;
        deliver::<midwatch_journal::Error>(&order, &[(*summary).clone()], &desk, |_, outcome| {
            told = Some(outcome.clone());
            Ok(())
        })
        .unwrap();
        told.unwrap()
    });
    let Outcome::Done(Effect::Event(number)) = outcome.await.unwrap() else { panic!("it is not done") };
    stage.events(&run)[usize::try_from(number).unwrap() - 1].kind.clone()
}

/// What a refusal says, once it is one that clients do not repeat by themselves, or after a while.
async fn refused(stage: &Stage, name: &str, status: u16, again: &str) -> String {
    let answer = stage.chat(name, &hello(false)).send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["x-should-retry"]),
        (status, &again.parse().unwrap())
    );
    let body: Value = answer.json().await.unwrap();
    format!("{}: {}", body["error"]["code"].as_str().unwrap(), body["error"]["message"].as_str().unwrap())
}

async fn status(stage: &Stage, name: &str) -> u16 {
    stage.chat(name, &hello(false)).send().await.unwrap().status().as_u16()
}

fn by() -> String {
    "ann".to_owned()
}

#[tokio::test]
async fn a_cancelled_run_takes_no_further_call_and_says_who_stopped_it() {
    let stage = start("").await;
    assert_eq!(status(&stage, "runaway").await, 200);
    let told = order(&stage, "runaway", Cancel { reason: "it loops".to_owned(), by: by() }).await;
    assert!(matches!(told, EventKind::CancelRequested { by, .. } if by == "ann"));
    let says = refused(&stage, "runaway", 403, "false").await;
    assert!(
        says.starts_with("run_cancelled: midwatch: run r_") && says.contains("cancelled by ann: it loops"),
        "{says}"
    );
    assert_eq!(stage.run("runaway").status, Status::Cancelled);
    let stage = stage.restart("").await;
    refused(&stage, "runaway", 403, "false").await;
    assert_eq!((stage.run("runaway").attempts, stage.bills().await.len()), (1, 1), "nothing more was sent");
    assert_eq!(status(&stage, "another").await, 200);
}

#[tokio::test]
async fn a_paused_run_holds_its_calls_back_and_lets_them_go_when_it_is_resumed() {
    let stage = start("[retry]\nheld = \"20s\"\n").await;
    assert_eq!(status(&stage, "held").await, 200);
    order(&stage, "held", Pause { reason: String::new(), by: by() }).await;
    assert_eq!(stage.run("held").status, Status::Paused);
    let held = status(&stage, "held");
    let resumed = async {
        assert_eq!(stage.bills().await.len(), 1, "it waits");
        order(&stage, "held", Resume { by: by() }).await
    };
    let (answered, told) = tokio::join!(held, resumed);
    assert!(answered == 200 && matches!(told, EventKind::Resumed { by } if by == "ann"));
}

#[tokio::test]
async fn a_pause_that_lasts_is_answered_honestly_and_outlives_the_gateway() {
    let settings = "[retry]\nheld = \"50ms\"\n";
    let stage = start(settings).await;
    assert_eq!(status(&stage, "held").await, 200);
    order(&stage, "held", Pause { reason: "the bank is down".to_owned(), by: by() }).await;
    let says = refused(&stage, "held", 503, "true").await;
    assert!(says.starts_with("run_paused: ") && says.contains("paused by ann: the bank is down"), "{says}");
    let stage = stage.restart(settings).await;
    refused(&stage, "held", 503, "true").await;
    order(&stage, "held", Resume { by: by() }).await;
    assert_eq!(status(&stage, "held").await, 200);
    assert_eq!(stage.bills().await.len(), 2);
}

#[tokio::test]
async fn a_raised_budget_lets_the_run_go_on_and_stays_raised() {
    let settings = "[budgets.run]\nusd = \"0.00001\"\n";
    let stage = start(settings).await;
    assert_eq!(refused(&stage, "poor", 402, "false").await.split(':').next(), Some("budget_exceeded"));
    let more = Money::from_cents(200);
    let told = order(&stage, "poor", RaiseBudget { usd: Some(more), tokens: None, by: by() }).await;
    assert_eq!(told, EventKind::BudgetRaised { usd: more, tokens: 0, by: by() });
    assert_eq!(status(&stage, "poor").await, 200);
    let stage = stage.restart(settings).await;
    assert_eq!(status(&stage, "poor").await, 200);
    refused(&stage, "other", 402, "false").await;
}
