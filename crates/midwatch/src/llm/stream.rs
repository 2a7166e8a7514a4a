//! Reads a streamed answer, with a limit on silence.

use std::time::Duration;

use midwatch_providers::{SseParser, failed_event};
use midwatch_workflow::{Class, Failure, StepContext};
use serde_json::Value;
use tokio::time::timeout;

use super::bill::Bill;
use super::draft::Draft;
use super::endpoint::{Dialect, Endpoint};
use super::{anthropic, openai};
use crate::http::HttpResponse;

/// How long an answer may be silent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Silence {
    /// Until its first chunk: models think.
    pub(super) first: Duration,
    /// Between chunks.
    pub(super) between: Duration,
}

/// Takes the text as it comes.
pub(super) type OnText = dyn FnMut(&str) + Send;

/// Reads to the end of the stream. Whatever goes wrong, the bill knows what had come by then.
pub(super) async fn read(
    cx: &StepContext,
    endpoint: &Endpoint,
    response: &mut HttpResponse,
    silence: Silence,
    bill: &mut Bill,
    on_text: &mut OnText,
) -> Result<Draft, Failure> {
    let mut draft = Draft::default();
    let mut parser = SseParser::default();
    let mut limit = silence.first;
    loop {
        let Ok(chunk) = timeout(limit, response.chunk()).await else {
            let message = format!("{} was silent for {limit:?} in the middle of its answer", endpoint.target);
            return Err(Failure::new(Class::Stalled, message).ambiguous());
        };
        let Some(chunk) = chunk? else { break };
        limit = silence.between;
        cx.alive();
        let events = parser.push(&chunk).map_err(|error| {
            Failure::new(Class::Server, "answer cannot be read").source(error).ambiguous()
        })?;
        for event in events {
            // `[DONE]`, and comments of proxies.
            let Ok(event) = serde_json::from_str::<Value>(&event.data) else { continue };
            bill.observe(&event);
            if let Some(failure) = failed_event(endpoint.provider(), &event) {
                return Err(failure);
            }
            if let Some(text) = add(endpoint.dialect, &mut draft, &event) {
                on_text(text);
            }
        }
    }
    match draft.finish {
        Some(_) => Ok(draft),
        None => {
            let message = format!("{} broke off in the middle of its answer", endpoint.target);
            Err(Failure::new(Class::Connection, message).ambiguous())
        }
    }
}

fn add<'a>(dialect: Dialect, draft: &mut Draft, event: &'a Value) -> Option<&'a str> {
    match dialect {
        Dialect::OpenAi => openai::add_event(draft, event),
        Dialect::Anthropic => anthropic::add_event(draft, event),
    }
}
