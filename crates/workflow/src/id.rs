//! Identifiers: newtypes, minted once and the same after every crash and on every engine.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use crate::Timestamp;

/// Identifies one run; its 16 bytes are a UUIDv7 and serve as the run's trace id as well.
///
/// Displayed, parsed and serialized as 32 lower-case hex digits, the form in which tracing backends show it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(Uuid);

impl RunId {
    /// Makes a run id from the time of its start and 10 bytes of randomness.
    pub fn new(at: Timestamp, random: [u8; 10]) -> Self {
        Self(uuid::Builder::from_unix_timestamp_millis(at.as_millis(), &random).into_uuid())
    }

    /// Derives a child's or a fork's id: the same parent and `salt` give the same id after every replay.
    pub fn derive(self, at: Timestamp, salt: &[u8]) -> Self {
        let mut seed = self.0.as_bytes().to_vec();
        seed.extend_from_slice(salt);
        let hash = xxh3_128(&seed).to_be_bytes();
        let mut random = [0; 10];
        random.copy_from_slice(&hash[..10]);
        Self::new(at, random)
    }

    /// Returns the 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// Rebuilds an id from its 16 bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The short form for people, `r_` and the last eight hex digits; commands take it wherever it is unambiguous.
    pub fn short(&self) -> String {
        format!("r_{}", &self.to_string()[24..])
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RunId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Uuid::try_parse(text).map(Self).map_err(|_| InvalidId::Run(text.chars().take(64).collect()))
    }
}

impl Serialize for RunId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut buffer = [0; 32];
        serializer.serialize_str(self.0.simple().encode_lower(&mut buffer))
    }
}

impl<'de> Deserialize<'de> for RunId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The user's own name for a run, e.g. `order-42`: 1 to 200 bytes without control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WorkflowId(String);

impl WorkflowId {
    /// The longest id, in bytes.
    pub const BYTES_MAX: usize = 200;

    /// Checks and takes a user's id.
    ///
    /// # Errors
    /// [`InvalidId::Workflow`] if it is empty, too long, or holds control characters.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidId> {
        let text = text.into();
        if text.is_empty() || text.len() > Self::BYTES_MAX || text.chars().any(char::is_control) {
            return Err(InvalidId::Workflow(text.chars().take(64).collect()));
        }
        Ok(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WorkflowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<RunId> for WorkflowId {
    fn from(run: RunId) -> Self {
        Self(run.to_string())
    }
}

impl TryFrom<String> for WorkflowId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        Self::new(text)
    }
}

impl From<WorkflowId> for String {
    fn from(id: WorkflowId) -> Self {
        id.0
    }
}

/// An id that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Not a UUID.
    #[error("`{0}` is not a run id: expected 32 hex digits")]
    Run(String),
    /// Empty, too long, or with control characters.
    #[error("`{0}` is not a workflow id: expected 1 to 200 bytes without control characters")]
    Workflow(String),
}

/// Numbers the operations that a run asks for, from 1, in the order in which its code asks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OpId(pub u32);

impl fmt::Display for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "op {}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_id_survives_text_and_json() {
        let run = RunId::new(Timestamp::from_micros(1_790_000_000_000_000), [7; 10]);
        assert_eq!(run.to_string().len(), 32);
        assert_eq!(run.to_string().parse(), Ok(run));
        let json = serde_json::to_string(&run).unwrap();
        assert_eq!(serde_json::from_str::<RunId>(&json).unwrap(), run);
    }

    #[test]
    fn a_derived_id_depends_on_parent_and_salt_alone() {
        let at = Timestamp::from_micros(1);
        let run = RunId::new(at, [1; 10]);
        assert_eq!(run.derive(at, b"a"), run.derive(at, b"a"));
        assert_ne!(run.derive(at, b"a"), run.derive(at, b"b"));
    }

    #[test]
    fn a_workflow_id_that_cannot_be_printed_is_refused() {
        for bad in ["", "a\nb", &"x".repeat(201)] {
            assert!(WorkflowId::new(bad).is_err(), "{bad:?}");
        }
    }
}
