//! The file of rules as TOML, and what is wrong with it, by line and key.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use toml::Spanned;

/// Something in the file that is not right. Values are not repeated: an address may be a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wrong {
    /// The line, from 1.
    pub line: usize,
    /// The key, if it is about one.
    pub key: Option<String>,
    /// Why it is not right, and what would be.
    pub why: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(f, "line {}: `{key}` {}", self.line, self.why),
            None => write!(f, "line {}: {}", self.line, self.why),
        }
    }
}

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) resolve_after: Option<Time>,
    #[serde(default)]
    pub(super) rule: Vec<Spanned<RuleEntry>>,
    #[serde(default)]
    pub(super) receiver: Vec<Spanned<ReceiverEntry>>,
}

/// A `[[rule]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleEntry {
    pub(super) kind: Spanned<String>,
    pub(super) name: Option<Spanned<String>>,
    pub(super) severity: Option<Spanned<String>>,
    pub(super) workflow: Option<String>,
    #[serde(rename = "for")]
    pub(super) after: Option<Time>,
    pub(super) times: Option<Spanned<f64>>,
    pub(super) share: Option<Spanned<f64>>,
    pub(super) limit: Option<Spanned<Time>>,
    pub(super) least_usd: Option<Spanned<f64>>,
}

/// A `[[receiver]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReceiverEntry {
    pub(super) kind: Spanned<String>,
    pub(super) name: Option<Spanned<String>>,
    pub(super) url: Option<Spanned<String>>,
    pub(super) url_env: Option<Spanned<String>>,
    pub(super) url_file: Option<Spanned<String>>,
    pub(super) command: Option<Spanned<Vec<String>>>,
    pub(super) rules: Option<Spanned<Vec<String>>>,
    pub(super) severity: Option<Spanned<String>>,
    pub(super) repeat: Option<Time>,
    pub(super) timeout: Option<Time>,
}

/// A duration as people write it.
pub(super) struct Time(pub(super) Duration);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parsed = humantime::parse_duration(&text);
        parsed
            .map(Time)
            .map_err(|_| serde::de::Error::custom("is no duration such as \"90s\", \"5m\" or \"1h 30m\""))
    }
}

/// Reads the file's form; what its values mean is looked at by the caller.
pub(super) fn read(text: &str) -> Result<File, Wrong> {
    toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let (line, key) = place(text, at);
        // The first line only: what follows repeats the file.
        let why = error.message().lines().next().unwrap_or("is no TOML").to_owned();
        Wrong { line, key, why }
    })
}

/// The line of a place in the text, and the key that stands at its beginning.
fn place(text: &str, at: usize) -> (usize, Option<String>) {
    let before = &text[..text.floor_char_boundary(at)];
    let line = before.matches('\n').count() + 1;
    let here = text.lines().nth(line - 1).unwrap_or_default();
    let key = here.split_once('=').map(|(key, _)| key.trim());
    let is_key = |key: &&str| {
        !key.is_empty() && key.chars().all(|char| char.is_ascii_alphanumeric() || "_-.".contains(char))
    };
    (line, key.filter(is_key).map(str::to_owned))
}

/// The line of a place in the text.
pub(super) fn line(text: &str, at: usize) -> usize {
    place(text, at).0
}
