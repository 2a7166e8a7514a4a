//! Who is called, and who may call.

use std::path::PathBuf;

use serde::Deserialize;

use super::budgets::Limit;

/// Who is called.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// Where its API is, up to what follows `/v1` in the client's path: `https://api.openai.com/v1`.
    pub url: String,
    /// What it speaks.
    #[serde(default)]
    pub dialect: Dialect,
    /// Who is paid, as prices and reports name it; its own name if nothing is said.
    pub provider: Option<String>,
    /// The variable that has the key.
    pub key_env: Option<String>,
    /// The file that has the key.
    pub key_file: Option<PathBuf>,
    /// Passes the client's own credentials on; the gateway has none then.
    #[serde(default)]
    pub pass_credentials: bool,
    /// What may be under way at once, of all its models together.
    pub concurrency: Option<u32>,
    /// How many calls a second it bears, of all its models together, where that is known.
    pub per_second: Option<f64>,
}

/// What an upstream speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// Chat completions, Responses, embeddings.
    #[default]
    OpenAi,
    /// Messages.
    Anthropic,
}

/// Who may call: a virtual key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The variable that has it.
    pub key_env: Option<String>,
    /// The file that has it.
    pub key_file: Option<PathBuf>,
    /// For whom its runs are; the key's own name if nothing is said.
    pub tenant: Option<String>,
    /// The workflow's name of its runs.
    pub workflow: Option<String>,
    /// The upstreams that it may call; all if empty.
    #[serde(default)]
    pub upstreams: Vec<String>,
    /// What it may spend in a day (UTC).
    #[serde(default)]
    pub day: Limit,
}
