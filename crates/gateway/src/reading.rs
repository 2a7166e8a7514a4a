//! What a stream says, read along with it: what it has used, whether it is complete, what went wrong.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use midwatch_providers::{Provider, SseParser, StreamMeter, failed_event};
use midwatch_workflow::Failure;
use serde_json::Value;

use crate::heard::Heard;

/// What was read of a stream.
pub(crate) struct Reading {
    provider: Provider,
    parser: SseParser,
    pub(crate) meter: Arc<Mutex<StreamMeter>>,
    /// The provider has said that this was all.
    pub(crate) is_complete: bool,
    /// What the provider calls the answer.
    pub(crate) response_id: Option<String>,
    /// What the provider says went wrong.
    pub(crate) failure: Option<Failure>,
    /// The answer, if it is to be kept.
    heard: Option<Heard>,
}

impl Reading {
    pub(crate) fn new(provider: Provider, meter: StreamMeter, heard: Option<Heard>) -> Self {
        Self {
            provider,
            parser: SseParser::default(),
            meter: Arc::new(Mutex::new(meter)),
            is_complete: false,
            response_id: None,
            failure: None,
            heard,
        }
    }

    /// Takes what has come; says whether there was nothing in it but usage.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> bool {
        let mut is_usage_alone = false;
        // An event beyond every limit is passed on, and what it says is not counted.
        for event in self.parser.push(bytes).unwrap_or_default() {
            if event.data == "[DONE]" {
                self.is_complete = true;
                continue;
            }
            let Ok(value) = serde_json::from_str::<Value>(&event.data) else { continue };
            self.take(&value);
            is_usage_alone |=
                value["usage"].is_object() && value["choices"].as_array().is_some_and(Vec::is_empty);
        }
        is_usage_alone
    }

    fn take(&mut self, event: &Value) {
        lock(&self.meter).observe_value(event);
        if let Some(heard) = &mut self.heard {
            heard.hear(event);
        }
        if self.response_id.is_none() {
            let ids = [&event["id"], &event["response"]["id"], &event["message"]["id"]];
            self.response_id = ids.into_iter().find_map(Value::as_str).map(str::to_owned);
        }
        let kind = event["type"].as_str().unwrap_or_default();
        let ends = ["message_stop", "response.completed", "response.incomplete", "response.failed"];
        self.is_complete |= ends.contains(&kind);
        if self.failure.is_none() {
            self.failure = failed_event(self.provider, event);
        }
    }

    /// The answer as far as it has come, once, if it is to be kept.
    pub(crate) fn answer(&mut self) -> Option<String> {
        self.heard.take().and_then(Heard::answer)
    }

    /// The output tokens so far.
    pub(crate) fn output_tokens(&self) -> u64 {
        lock(&self.meter).report().0.usage.output
    }
}

/// No foreign code runs under the lock, so a poisoned one still holds a whole meter.
pub(crate) fn lock(meter: &Mutex<StreamMeter>) -> MutexGuard<'_, StreamMeter> {
    meter.lock().unwrap_or_else(PoisonError::into_inner)
}
