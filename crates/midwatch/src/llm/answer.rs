//! What a model answered, and what it cost.

use midwatch_workflow::{Certainty, Charge, Class, Failure, Money, Usage};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::message::{Message, ToolCall};

/// A whole answer. It is data, so a step can give it as its output.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// The text; may be empty beside tool calls.
    pub text: String,
    /// The tools that the model wants called.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// Why it ends where it ends.
    pub finish: Finish,
    /// The model that answered, as the provider names it.
    pub model: String,
    /// What it used; it is booked already.
    pub usage: Usage,
    /// What it cost, if a price is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Money>,
    /// How well the usage is known.
    #[serde(default)]
    pub certainty: Certainty,
}

/// Why an answer ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// It is complete.
    #[default]
    Stop,
    /// The limit of output tokens was reached.
    Length,
    /// The model waits for its tools.
    ToolCalls,
    /// The model, or the provider's filter, declines; there may be some text.
    Refused,
    /// For a reason that only this provider has.
    Other,
}

impl Answer {
    /// The answer as a message, to go on with the conversation.
    pub fn message(&self) -> Message {
        Message::Assistant { text: self.text.clone(), tool_calls: self.tool_calls.clone() }
    }

    /// Reads the text as JSON; a fence of three backticks around it is taken off.
    ///
    /// # Errors
    /// Class `unknown`, which is retried: models err, and asked again may not.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let text = self.text.trim();
        let inner = text.strip_prefix("```").and_then(|rest| rest.strip_suffix("```"));
        let json = inner.map_or(text, |inner| inner.strip_prefix("json").unwrap_or(inner));
        serde_json::from_str(json).map_err(|error| {
            Failure::new(Class::Unknown, format!("{} answered no JSON of the wanted form", self.model))
                .source(error)
        })
    }

    pub(super) fn charged(self, charge: &Charge) -> Self {
        Self { usage: charge.usage, cost: charge.cost, certainty: charge.certainty, ..self }
    }
}
