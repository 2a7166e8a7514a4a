//! A step that calls a model with a client of its own, and is metered all the same: the engine's process has a gateway, and
//! `cx.llm_base_url(…)` is the attempt's own way through it.
//!
//! `cargo run --example any_client --features gateway` plays the model in this process, which fails now and then. With
//! `OPENAI_API_KEY` set it asks the real one.

#![allow(missing_docs, clippy::print_stdout)]

use std::env;

use midwatch::{
    Context, EmbeddedBuilder, Failure, GatewayOptions, Midwatch, StepContext, StepGateway, step, workflow,
};
use serde_json::{Value, json};

/// Any client that takes a base URL will do; with async-openai it is
/// `Client::with_config(OpenAIConfig::new().with_api_base(cx.llm_base_url("openai")?))`.
///
/// What the call costs is booked in this attempt, failed ones too. A call that might cross the budget is refused before it
/// is sent. `llm_failure` knows what the gateway saw behind a client's error: the class, and how long the provider asked to
/// wait; so the step's retries are as good as those of `cx.llm`.
#[step(timeout = "2m", attempts = 6, budget_usd = "0.05")]
pub async fn ask(cx: StepContext, question: String) -> Result<String, Failure> {
    let url = format!("{}/chat/completions", cx.llm_base_url("openai")?);
    let body = json!({"model": "gpt-4o-mini", "max_tokens": 300, "messages": [{"role": "user", "content": question}]});
    let answer = complete(&url, &body).await.map_err(|error| cx.llm_failure(error))?;
    Ok(answer["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned())
}

/// Knows nothing of midwatch.
async fn complete(url: &str, body: &Value) -> Result<Value, reqwest::Error> {
    let key = env::var("OPENAI_API_KEY").unwrap_or_default();
    let request = reqwest::Client::new().post(url).bearer_auth(key).json(body);
    request.send().await?.error_for_status()?.json().await
}

#[workflow(budget_usd = "0.20")]
pub async fn watch_talk(cx: Context, topics: Vec<String>) -> Result<Vec<String>, Failure> {
    let mut answers = Vec::new();
    for topic in topics {
        answers.push(cx.step(ask, &format!("In one sentence: what of {topic} at sea?")).await?);
    }
    Ok(answers)
}

pub fn register(builder: EmbeddedBuilder, upstream: Option<String>) -> EmbeddedBuilder {
    let options = GatewayOptions::default();
    let options = match upstream {
        Some(url) => options.upstream("openai", url),
        None => options,
    };
    builder.workflow(watch_talk).step(ask).gateway(options)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Without a key of your own, the model is played here.
    let simulator = midwatch_simulator::Simulator::builder().seed(7).start().await?;
    let upstream = env::var_os("OPENAI_API_KEY").is_none().then(|| simulator.openai_url());
    let path = env::var("MIDWATCH_DB").unwrap_or_else(|_| "midwatch.db".to_owned());
    let midwatch = register(Midwatch::embedded(path), upstream).open().await?;
    let topics = ["fog", "ice", "sleep"].map(str::to_owned).to_vec();
    let run = midwatch.start(watch_talk, topics).await?;
    for answer in run.result().await? {
        println!("{answer}");
    }
    println!("midwatch cost {}", run.id());
    midwatch.shut_down().await;
    simulator.stop().await;
    Ok(())
}
