//! An answer while it is coming in.

use midwatch_workflow::{Class, Failure};
use serde_json::Value;

use super::answer::{Answer, Finish};
use super::message::ToolCall;

/// The most tool calls in one answer.
const CALLS_MAX: usize = 1024;

/// What has come so far.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) text: String,
    pub(super) finish: Option<Finish>,
    pub(super) model: Option<String>,
    /// By the provider's index, which for Anthropic counts texts too.
    calls: Vec<(u64, DraftCall)>,
}

#[derive(Debug, Default)]
pub(super) struct DraftCall {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) arguments: String,
}

impl Draft {
    /// The call at an index, made if there is none; `None` if there are too many.
    pub(super) fn call(&mut self, index: u64) -> Option<&mut DraftCall> {
        if !self.calls.iter().any(|(at, _)| *at == index) && self.calls.len() < CALLS_MAX {
            self.calls.push((index, DraftCall::default()));
        }
        self.call_if(index)
    }

    /// The call at an index, if one began there.
    pub(super) fn call_if(&mut self, index: u64) -> Option<&mut DraftCall> {
        self.calls.iter_mut().find(|(at, _)| *at == index).map(|(_, call)| call)
    }

    /// Makes the answer, unless the provider withheld it.
    pub(super) fn finish(self, model: &str) -> Result<Answer, Failure> {
        let finish = self.finish.unwrap_or_default();
        if finish == Finish::Refused && self.text.is_empty() && self.calls.is_empty() {
            return Err(Failure::new(Class::ContentFiltered, format!("{model} withheld its answer")));
        }
        let tool_calls = self.calls.into_iter().map(|(_, call)| ToolCall {
            arguments: arguments(call.arguments),
            id: call.id,
            name: call.name,
        });
        Ok(Answer {
            text: self.text,
            tool_calls: tool_calls.collect(),
            finish,
            model: self.model.unwrap_or_else(|| model.to_owned()),
            usage: Default::default(),
            cost: None,
            certainty: Default::default(),
        })
    }
}

fn arguments(text: String) -> Value {
    match text.trim() {
        "" => Value::Object(Default::default()),
        json => serde_json::from_str(json).unwrap_or(Value::String(text)),
    }
}
