//! What is said to a model and by it, in one form for all providers.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One message of a conversation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Message {
    /// Instructions.
    System {
        /// The text.
        text: String,
    },
    /// The user's words.
    User {
        /// The text.
        text: String,
    },
    /// The model's words and the tools that it wants called.
    Assistant {
        /// The text; may be empty beside tool calls.
        text: String,
        /// The calls.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<ToolCall>,
    },
    /// What a tool gave.
    Tool {
        /// The id of the call.
        call_id: String,
        /// The result, as text or JSON.
        result: String,
    },
}

impl Message {
    /// Instructions.
    pub fn system(text: impl Into<String>) -> Self {
        Message::System { text: text.into() }
    }

    /// The user's words.
    pub fn user(text: impl Into<String>) -> Self {
        Message::User { text: text.into() }
    }

    /// The answer to a tool call.
    pub fn tool(call: &ToolCall, result: impl Into<String>) -> Self {
        Message::Tool { call_id: call.id.clone(), result: result.into() }
    }
}

/// A tool that the model may ask for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The JSON schema of its arguments, an object.
    pub parameters: Value,
}

/// A tool that the model wants called.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ToolCall {
    /// The id by which the result refers to the call.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// Its arguments. A string if they are no JSON, because the model erred or the answer was cut for its length.
    pub arguments: Value,
}
