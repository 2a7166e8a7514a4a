//! The language models' request and response forms, chosen by endpoint.

use axum::body::Bytes;
use serde_json::Value;

use crate::completion::{Completion, Prompt};
use crate::endpoint::Endpoint;
use crate::stream::Transcript;
use crate::trouble::Trouble;
use crate::{anthropic, openai};

/// A request to a language model, understood.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ask {
    pub(crate) prompt: Prompt,
    pub(crate) stream: bool,
    /// Whether a stream is to end with its usage.
    pub(crate) include_usage: bool,
    /// Inputs to embed, and how many numbers each becomes.
    pub(crate) embed: Option<(usize, usize)>,
}

/// Understands a request.
pub(crate) fn read(endpoint: Endpoint, body: &Value) -> Result<Ask, Trouble> {
    match endpoint {
        Endpoint::Messages => anthropic::read(body),
        Endpoint::Responses => openai::responses::read(body),
        Endpoint::Embeddings => openai::embeddings::read(body),
        _ => openai::chat::read(body),
    }
}

/// The answer in one piece.
pub(crate) fn whole(endpoint: Endpoint, ask: &Ask, done: &Completion) -> Value {
    match endpoint {
        Endpoint::Messages => anthropic::whole(ask, done),
        Endpoint::Responses => openai::responses::whole(ask, done),
        Endpoint::Embeddings => openai::embeddings::whole(ask, done),
        _ => openai::chat::whole(ask, done),
    }
}

/// The answer as a stream.
pub(crate) fn transcript(endpoint: Endpoint, ask: &Ask, done: &Completion) -> Transcript {
    match endpoint {
        Endpoint::Messages => anthropic::stream::transcript(ask, done),
        Endpoint::Responses => openai::responses::transcript(ask, done),
        _ => openai::chat::transcript(ask, done),
    }
}

/// The usage field.
pub(crate) fn usage(endpoint: Endpoint, done: &Completion) -> Value {
    match endpoint {
        Endpoint::Messages => anthropic::usage(&done.tokens),
        Endpoint::Responses => openai::responses::usage(&done.tokens),
        Endpoint::Embeddings => openai::embeddings::usage(&done.tokens),
        _ => openai::chat::usage(&done.tokens),
    }
}

/// Puts server-sent events into one chunk.
pub(crate) fn chunk(events: impl IntoIterator<Item = String>) -> Bytes {
    Bytes::from(events.into_iter().collect::<String>())
}

/// The characters of all strings in a value, keys and roles not counted.
pub(crate) fn chars(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.chars().count() as u64,
        Value::Array(items) => items.iter().map(chars).sum(),
        Value::Object(members) => {
            members.iter().filter(|(name, _)| *name != "role" && *name != "type").map(|(_, v)| chars(v)).sum()
        }
        _ => 0,
    }
}

/// The request without the fields that only say how the answer is delivered.
pub(crate) fn essence(body: &Value) -> Value {
    let mut essence = body.clone();
    if let Some(members) = essence.as_object_mut() {
        for delivery in ["stream", "stream_options", "metadata", "user", "store"] {
            members.remove(delivery);
        }
    }
    essence
}
