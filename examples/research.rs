//! A research agent: a model that calls a tool until it has an answer, a person who approves it, and then it is published.
//!
//! `cargo run --example research` plays the model in this process. With `OPENAI_API_KEY` set it asks the real one;
//! `MODEL=anthropic:claude-haiku-4-5` and `ANTHROPIC_API_KEY` ask that one.

#![allow(missing_docs, clippy::print_stdout)]

use std::env;
use std::sync::OnceLock;
use std::time::Duration;

use midwatch::llm::{Answer, Message, Tool};
use midwatch::{
    Approval, Class, Context, EmbeddedBuilder, Failure, Midwatch, Money, QueueOptions, StepContext, StepHttp,
    StepLlm, step, workflow,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// What somebody wants to know, and which model is to answer, e.g. `openai:gpt-4o-mini`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Question {
    pub id: String,
    pub text: String,
    pub model: String,
}

/// The answer, where it was published if a person agreed, and what it cost.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Article {
    pub text: String,
    pub published: Option<String>,
    pub cost: Money,
}

/// So many rounds of tools, and then there must be an answer: an agent without a limit is a bill without one.
const ROUNDS_MAX: usize = 8;

/// One call of the model. `cx.llm` streams the answer, so that silence is noticed, and books what it cost on the attempt,
/// whether it succeeds, fails half-way, or dies with the process.
#[step(timeout = "2m", heartbeat = "15s", queue = "llm")]
pub async fn think(cx: StepContext, (model, chat): (String, Vec<Message>)) -> Result<Answer, Failure> {
    let mut call = cx.llm(&model).messages(chat).tool(search_tool()).max_tokens(600);
    if let Some(url) = &apis().llm {
        call = call.base_url(url);
    }
    // The longest silence before the first word, and between two.
    call.first_chunk_limit(Duration::from_secs(10)).stall_limit(Duration::from_secs(5)).send().await
}

fn search_tool() -> Tool {
    Tool {
        name: "search".to_owned(),
        description: "Searches the ship's library and returns what it says.".to_owned(),
        parameters: json!({"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}),
    }
}

/// A tool that takes its time. It says how far it is: silence for longer than `heartbeat` ends the attempt, and the next
/// one goes on after the last page that was said to be done.
#[step(timeout = "5m", heartbeat = "10s")]
pub async fn search(cx: StepContext, query: String) -> Result<String, Failure> {
    let mut found: Vec<String> = cx.progress()?.unwrap_or_default();
    for (number, page) in LIBRARY.iter().enumerate().skip(found.len()) {
        // This stands for reading a page of your own sources.
        tokio::time::sleep(Duration::from_millis(15)).await;
        found.push(format!("page {number} on {query}: {page}"));
        cx.heartbeat(&found)?;
    }
    Ok(found.join("\n"))
}

const LIBRARY: [&str; 4] = [
    "The middle watch runs from midnight to four.",
    "A light that is seen early is a light that is high.",
    "Who writes the log writes it before the watch is over.",
    "Fog moves; the chart does not.",
];

#[step(timeout = "10s", target = "press")]
pub async fn publish(cx: StepContext, (id, text): (String, String)) -> Result<String, Failure> {
    let body = json!({"reference": id, "text": text});
    let url = format!("{}/v1/effects/publish", apis().press);
    let made: serde_json::Value = cx.http().post(url).json(&body).send().await?.json().await?;
    Ok(made["id"].as_str().unwrap_or_default().to_owned())
}

/// The agent's loop is a plain loop. Killed at any point, it goes on with the answers that it had: no question is asked,
/// and paid for, twice. Beyond its budget the run is parked until somebody raises it.
#[workflow(timeout = "2d", budget_usd = "0.50")]
pub async fn research(cx: Context, question: Question) -> Result<Article, Failure> {
    let mut chat =
        vec![Message::system("You answer captains. Search the library first."), Message::user(question.text)];
    let mut cost = Money::ZERO;
    let text = loop {
        cx.set_status(format!("thinking, {} messages", chat.len()));
        let answer =
            cx.step(think, &(question.model.clone(), chat.clone())).target(question.model.clone()).await?;
        cost += answer.cost.unwrap_or_default();
        if answer.tool_calls.is_empty() {
            break answer.text;
        }
        if chat.iter().filter(|message| matches!(message, Message::Assistant { .. })).count() == ROUNDS_MAX {
            return Err(Failure::new(
                Class::InvalidRequest,
                format!("no answer after {ROUNDS_MAX} rounds of tools"),
            ));
        }
        // All tools that it asks for at once; `join_all` drops none half-way if one fails.
        let query =
            |arguments: &serde_json::Value| arguments["query"].as_str().unwrap_or_default().to_owned();
        let searches = answer.tool_calls.iter().map(|call| cx.step(search, &query(&call.arguments)));
        let results = cx.join_all(searches).await?;
        chat.push(answer.message());
        chat.extend(answer.tool_calls.iter().zip(results).map(|(call, result)| Message::tool(call, result)));
    };

    cx.set_status("waits for an editor");
    let approval = cx.approval("publish").within(Duration::from_secs(24 * 3600)).await?;
    if !approval.approved {
        cx.set_status(format!("turned down by {}", approval.by));
        return Ok(Article { text, published: None, cost });
    }
    let published = cx.step(publish, &(question.id, text.clone())).await?;
    cx.set_status("published");
    Ok(Article { text, published: Some(published), cost })
}

/// Everything that the engine may have to call.
pub fn register(builder: EmbeddedBuilder) -> EmbeddedBuilder {
    builder.workflow(research).step(think).step(search).step(publish)
}

/// Where the APIs are.
pub struct Apis {
    /// Instead of the provider's own address and `…_BASE_URL`.
    pub llm: Option<String>,
    pub press: String,
}

pub static APIS: OnceLock<Apis> = OnceLock::new();

fn apis() -> &'static Apis {
    let press = || env::var("PRESS_URL").unwrap_or_else(|_| "http://127.0.0.1:8080".to_owned());
    APIS.get_or_init(|| Apis { llm: None, press: press() })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Without a model and a press of your own, they are played here.
    let simulator = midwatch_simulator::Simulator::builder().start().await?;
    let is_real = ["OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY"]
        .iter()
        .any(|name| env::var_os(name).is_some());
    let press = env::var("PRESS_URL").unwrap_or_else(|_| simulator.payments_url());
    let _ = APIS.set(Apis { llm: (!is_real).then(|| simulator.openai_url()), press });

    let path = env::var("MIDWATCH_DB").unwrap_or_else(|_| "midwatch.db".to_owned());
    let builder = register(Midwatch::embedded(path)).queue("llm", QueueOptions::concurrency(8));
    let midwatch = builder.open().await?;
    let question = Question {
        id: "question-1".to_owned(),
        text: "When does the middle watch end?".to_owned(),
        model: env::var("MODEL").unwrap_or_else(|_| "openai:gpt-4o-mini".to_owned()),
    };
    let run = midwatch.start(research, question).id("question-1").await?;
    if run.is_new() {
        // From any other process: midwatch signal question-1 publish '{"approved": true, "by": "ann"}'
        let approval = Approval { approved: true, by: "main".to_owned(), note: String::new() };
        run.signal("publish", &approval).await?;
    }
    let article = run.result().await?;
    println!("run {}, {}, published as {:?}:\n{}", run.id(), article.cost, article.published, article.text);
    midwatch.shut_down().await;
    simulator.stop().await;
    Ok(())
}
