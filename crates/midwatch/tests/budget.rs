//! Budgets before a model is asked: what would cross one is not sent.
#![allow(clippy::unwrap_used)]

use std::sync::OnceLock;

use midwatch::llm::Answer;
use midwatch::{
    Budget, Class, Context, Failure, Midwatch, Money, OnReached, RunError, StepContext, StepLlm, step,
    workflow,
};
use midwatch_simulator::{Cue, Reply, Simulator};

static URL: OnceLock<String> = OnceLock::new();

/// The longest answer that is asked for, in tokens; at $10 for a million, a cent.
const OUTPUT: u64 = 1_000;

#[step]
async fn ask(cx: StepContext, question: String) -> Result<Answer, Failure> {
    cx.llm("openai:gpt-4o").base_url(URL.get().unwrap()).user(question).max_tokens(OUTPUT).send().await
}

#[workflow]
async fn asks(cx: Context, question: String) -> Result<Answer, Failure> {
    cx.step(ask, &question).await
}

fn budget(usd: &str) -> Budget {
    Budget { on_reached: OnReached::Fail, ..Budget::usd(usd.parse::<Money>().unwrap()) }
}

#[tokio::test]
async fn a_call_that_might_cross_the_budget_is_not_sent_and_counted_tokens_decide() {
    let simulator =
        Simulator::builder().script([Cue::anywhere().reply(Reply::text("No."))]).start().await.unwrap();
    URL.set(simulator.openai_url()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let midwatch =
        Midwatch::embedded(folder.path().join("midwatch.db")).workflow(asks).step(ask).open().await.unwrap();

    let run = midwatch.start(asks, "Is it foggy?".to_owned()).budget(budget("0.01")).await.unwrap();
    let Err(RunError::Failed { failure, .. }) = run.result().await else { panic!("a cent is not enough") };
    assert_eq!((failure.class, failure.attempts), (Class::Budget, 1));
    // 12 characters are 3 tokens and 7 of framing: twice that, and the longest answer.
    if !cfg!(feature = "tokens") {
        assert!(failure.message.contains("$0.01005, 1020 tokens and $0.01 of $0.01 is left"), "{failure}");
    }
    assert_eq!(simulator.ledger().entries().len(), 0, "nothing was sent");

    // Prose of four thousand characters and more: by characters it may be 2,250 tokens, counted it is at most 1,100.
    let long = "The fog was thick over the harbour. ".repeat(125);
    let run = midwatch.start(asks, long).budget(budget("0.0135")).await.unwrap();
    let answer = run.result().await;
    match cfg!(feature = "tokens") {
        true => assert_eq!(answer.unwrap().text, "No."),
        false => {
            assert!(matches!(answer, Err(RunError::Failed { failure, .. }) if failure.class == Class::Budget))
        }
    }
    midwatch.shut_down().await;
    simulator.stop().await;
}
