//! What is refused before it is sent, and that nobody gets past it together.

use futures_util::future::join_all;
use midwatch_simulator::{Cue, Reply};
use midwatch_workflow::{Class, EventKind, Money};
use serde_json::{Value, json};

use crate::stage::{CLIENT_KEY, Stage, hello, start};

/// What the provider bills at the prices of `gpt-4o`: $2.50 and $10 for a million.
async fn invoice(stage: &Stage) -> Money {
    let entries = stage.bills().await;
    let picos = entries.iter().map(|entry| entry.billed.input * 2_500_000 + entry.billed.output * 10_000_000);
    Money::from_picos(picos.sum())
}

#[tokio::test]
async fn five_hundred_calls_at_once_do_not_spend_more_than_their_dollar() {
    let stage = start("[budgets.run]\nusd = \"1.00\"\n").await;
    // Each costs about a cent, so a hundred of them fit in.
    stage.simulator.script([Cue::anywhere().reply(Reply::text("fog ".repeat(900))).always()]);
    let mut body = hello(false);
    (body["model"], body["max_tokens"]) = ("gpt-4o".into(), 1_000.into());
    let ask = async |_: usize| {
        let answer = stage.chat("dollar", &body).send().await.unwrap();
        (
            answer.status().as_u16(),
            answer.headers().get("x-should-retry").cloned(),
            answer.text().await.unwrap(),
        )
    };
    let answers = join_all((0..500).map(ask)).await;
    let count = |status| answers.iter().filter(|(s, ..)| *s == status).count();
    assert!(
        count(200) > 50 && count(402) > 50 && count(200) + count(402) + count(429) == 500,
        "{}",
        count(200)
    );
    let refused = answers.iter().find(|(status, ..)| *status == 402).unwrap();
    assert_eq!(refused.1.as_ref().unwrap(), "false");
    let body: Value = serde_json::from_str(&refused.2).unwrap();
    assert_eq!(body["error"]["code"], "budget_exceeded");
    let limit = Money::from_cents(100);
    let (invoice, booked) = (invoice(&stage).await, stage.run("dollar").spent.cost);
    assert!(invoice <= limit && invoice > Money::from_cents(50), "{invoice}");
    assert_eq!(invoice, booked);
    assert!(
        stage.attempts("dollar").iter().any(|a| a.failure.as_ref().is_some_and(|f| f.class == Class::Budget))
    );
}

#[tokio::test]
async fn a_keys_day_outlives_the_gateway() {
    let settings = "[keys.team-a]\nkey_env = \"CLIENT\"\nday = { tokens = 300 }\n";
    let ask = async |stage: &Stage| {
        let request = stage.chat("r", &hello(false)).bearer_auth(CLIENT_KEY);
        request.send().await.unwrap().status().as_u16()
    };
    let stage = start(settings).await;
    assert_eq!(ask(&stage).await, 200);
    let stage = stage.restart(settings).await;
    let mut answers = Vec::new();
    for _ in 0..8 {
        answers.push(ask(&stage).await);
    }
    assert_eq!((answers[0], answers[7]), (200, 402), "{answers:?}");
    let run = stage.run("team-a/r");
    assert!(run.spent.usage.tokens() <= 300, "{}", run.spent.usage.tokens());
}

#[tokio::test]
async fn a_model_without_a_price_does_not_slip_past_a_budget_in_dollars() {
    let stage = start("[budgets.day]\nusd = \"1.00\"\n").await;
    let mut body = hello(false);
    body["model"] = "no-such-model".into();
    let answer = stage.chat("unpriced", &body).send().await.unwrap();
    assert_eq!(answer.status(), 402);
    assert!(answer.text().await.unwrap().contains("no price is known"));
    assert!(stage.bills().await.is_empty());
}

#[tokio::test]
async fn a_client_may_want_less_for_its_run_than_is_set_and_not_more() {
    let stage = start("[budgets.run]\nusd = \"0.01\"\n").await;
    let ask = async |run: &str, usd: &str| {
        let request = stage.chat(run, &hello(false)).header("x-midwatch-run-budget-usd", usd);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask("less", "0.00000001").await, 402);
    assert_eq!(ask("more", "100").await, 200);
}

#[tokio::test]
async fn where_a_budget_is_tight_counted_tokens_decide_and_are_the_bound_on_record() {
    let stage = start("[budgets.run]\nusd = \"0.0135\"\n").await;
    // By characters it may be 2,250 tokens, counted it is at most 1,100.
    let content = "The fog was thick over the harbour. ".repeat(125);
    let body =
        json!({"model": "gpt-4o", "max_tokens": 1_000, "messages": [{"role": "user", "content": content}]});
    let answer = stage.chat("tight", &body).send().await.unwrap();
    if cfg!(feature = "tokens") {
        assert_eq!(answer.status(), 200);
        let events = stage.events(&stage.run("tight"));
        let bound = events.iter().find_map(|event| match &event.kind {
            EventKind::Heartbeat { charges, .. } => Some(charges[0].clone()),
            _ => None,
        });
        assert!(bound.unwrap().cost.unwrap() < Money::from_picos(13_500_000_000));
    } else {
        assert_eq!((answer.status().as_u16(), stage.bills().await.len()), (402, 0));
    }
}
