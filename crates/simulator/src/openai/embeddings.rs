//! `POST /v1/embeddings`.

use serde_json::{Value, json};

use super::model;
use crate::completion::{Completion, Prompt};
use crate::dialect::{Ask, chars, essence};
use crate::draw::{mix, unit};
use crate::ledger::Tokens;
use crate::trouble::Trouble;

/// Numbers of a vector when the request does not say; fewer than the real models' to keep answers small.
const DIMENSIONS: usize = 64;
const DIMENSIONS_MAX: u64 = 4096;
/// OpenAI takes at most so many inputs at once.
const INPUTS_MAX: usize = 2048;

pub(crate) fn read(body: &Value) -> Result<Ask, Trouble> {
    let model = model(body)?;
    let inputs = match &body["input"] {
        Value::String(_) => 1,
        // An array of numbers is one input that is already tokens.
        Value::Array(items) if items.first().is_some_and(Value::is_number) => 1,
        Value::Array(items) if (1..=INPUTS_MAX).contains(&items.len()) => items.len(),
        _ => {
            return Err(Trouble::invalid(
                "input must be text or an array of at most 2048 inputs",
                Some("input"),
            ));
        }
    };
    let dimensions = body["dimensions"].as_u64().map_or(DIMENSIONS, |n| n.clamp(1, DIMENSIONS_MAX) as usize);
    let characters = chars(&body["input"]) + 4 * numbers(&body["input"]);
    let prompt = Prompt { model, essence: essence(body), chars: characters, ..Prompt::default() };
    Ok(Ask { prompt, embed: Some((inputs, dimensions)), ..Ask::default() })
}

fn numbers(value: &Value) -> u64 {
    match value {
        Value::Array(items) => items.iter().map(numbers).sum(),
        Value::Number(_) => 1,
        _ => 0,
    }
}

pub(crate) fn usage(tokens: &Tokens) -> Value {
    json!({"prompt_tokens": tokens.input, "total_tokens": tokens.input})
}

pub(crate) fn whole(ask: &Ask, done: &Completion) -> Value {
    let (inputs, dimensions) = ask.embed.unwrap_or((1, DIMENSIONS));
    let data: Vec<Value> = (0..inputs)
        .map(|n| json!({"object": "embedding", "index": n, "embedding": vector(mix(done.draw, n as u64), dimensions)}))
        .collect();
    json!({"object": "list", "data": data, "model": ask.prompt.model, "usage": usage(&done.tokens)})
}

/// A vector of length one.
fn vector(draw: u64, dimensions: usize) -> Vec<f64> {
    let raw: Vec<f64> = (0..dimensions).map(|n| unit(mix(draw, n as u64)) - 0.5).collect();
    let length = raw.iter().map(|x| x * x).sum::<f64>().sqrt();
    raw.iter().map(|x| x / length).collect()
}
