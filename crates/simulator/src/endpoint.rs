//! The parties that are played, and the doors each of them has.

use serde::{Deserialize, Serialize};

/// A party that is played; rate limits and error shapes belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// OpenAI.
    Openai,
    /// Anthropic.
    Anthropic,
    /// The Stripe-like payment API and the generic effects.
    Payments,
}

/// One thing that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// `POST /v1/chat/completions`.
    ChatCompletions,
    /// `POST /v1/responses`.
    Responses,
    /// `POST /v1/embeddings`.
    Embeddings,
    /// `POST /v1/messages`.
    Messages,
    /// `/v1/charges`.
    Charges,
    /// `/v1/refunds`.
    Refunds,
    /// `/v1/effects/{kind}`.
    Effects,
}

impl Endpoint {
    /// Whose endpoint it is.
    pub fn provider(self) -> Provider {
        match self {
            Endpoint::ChatCompletions | Endpoint::Responses | Endpoint::Embeddings => Provider::Openai,
            Endpoint::Messages => Provider::Anthropic,
            Endpoint::Charges | Endpoint::Refunds | Endpoint::Effects => Provider::Payments,
        }
    }
}
