//! Repeats get the same answer and cost nothing.

use futures_util::future::join_all;
use midwatch_simulator::{Cue, Fault};
use serde_json::Value;

use crate::stage::{Stage, hello, start};

async fn keyed(stage: &Stage, key: &str, body: &Value) -> (u16, bool, String) {
    let answer = stage.chat("r", body).header("idempotency-key", key).send().await.unwrap();
    let is_replayed = answer.headers().contains_key("idempotent-replayed");
    (answer.status().as_u16(), is_replayed, answer.text().await.unwrap())
}

#[tokio::test]
async fn a_repeat_gets_the_same_answer_whole_or_as_a_stream_also_from_another_process() {
    let mut stage = start("").await;
    for (calls, body) in [(1, hello(false)), (2, hello(true))] {
        let key = format!("key-{calls}");
        let first = keyed(&stage, &key, &body).await;
        assert_eq!((first.0, first.1), (200, false));
        let again = keyed(&stage, &key, &body).await;
        assert_eq!((again.0, again.1, &again.2), (200, true, &first.2));
        stage = stage.restart("").await;
        let after = keyed(&stage, &key, &body).await;
        assert_eq!((after.1, &after.2), (true, &first.2));
        assert_eq!(stage.bills().await.len(), calls, "paid once");
    }
}

#[tokio::test]
async fn two_at_once_share_one_call() {
    let stage = start("").await;
    for stream in [false, true] {
        stage.simulator.script([Cue::anywhere().fault(Fault::SlowTokens { token_ms: 5 })]);
        let key = format!("shared-{stream}");
        let body = hello(stream);
        let answers = join_all((0..8).map(|_| keyed(&stage, &key, &body))).await;
        assert!(answers.iter().all(|answer| *answer == answers[0] && answer.0 == 200), "{answers:?}");
    }
    assert_eq!(stage.bills().await.len(), 2);
    assert_eq!(stage.run("r").attempts, 2);
}

#[tokio::test]
async fn a_key_stands_for_one_request_and_a_failure_that_may_pass_is_not_kept() {
    let stage = start("").await;
    stage.simulator.script([Cue::anywhere().fault(Fault::Overloaded)]);
    let body = hello(false);
    assert_eq!(keyed(&stage, "k", &body).await.0, 503);
    assert_eq!(keyed(&stage, "k", &body).await.0, 200);
    let mut other = body.clone();
    other["max_tokens"] = 5.into();
    let refused = keyed(&stage, "k", &other).await;
    assert_eq!(refused.0, 422);
    assert!(refused.2.contains("other_request"));
    stage.simulator.script([Cue::anywhere().fault(Fault::CutStream { after_tokens: 3 })]);
    let broken =
        stage.chat("r", &hello(true)).header("idempotency-key", "s").send().await.unwrap().text().await;
    assert!(broken.is_err());
    assert!(!keyed(&stage, "s", &hello(true)).await.1, "a broken stream is no answer");
}

#[tokio::test]
async fn without_a_key_run_step_and_body_can_be_one() {
    let stage = start("[dedup]\nby = \"derived\"\n").await;
    for (run, calls) in [("a", 1), ("a", 1), ("b", 2)] {
        assert_eq!(stage.chat(run, &hello(false)).send().await.unwrap().status(), 200);
        assert_eq!(stage.bills().await.len(), calls, "{run}");
    }
}
