//! Inputs and outputs as the journal keeps them: JSON text, checked once and shared.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Class, Failure};

/// A JSON value in its text form; cloning shares the text.
#[derive(Clone)]
pub struct Payload(Arc<RawValue>);

impl Payload {
    /// The largest payload that the engines accept, in bytes of JSON: larger data belongs into an object store.
    pub const BYTES_MAX: usize = 4 << 20;

    /// Serializes a value.
    ///
    /// # Errors
    /// Class `invalid_request` if the value has no JSON form or is larger than [`Payload::BYTES_MAX`].
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, Failure> {
        let raw = serde_json::value::to_raw_value(value)
            .map_err(|e| Failure::new(Class::InvalidRequest, "value has no JSON form").source(e))?;
        let bytes = raw.get().len();
        if bytes > Self::BYTES_MAX {
            let message = format!("payload of {bytes} bytes is over the limit of {} bytes", Self::BYTES_MAX);
            return Err(Failure::new(Class::InvalidRequest, message));
        }
        Ok(Self(raw.into()))
    }

    /// Takes JSON text.
    ///
    /// # Errors
    /// If the text is not one JSON value.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str::<Box<RawValue>>(text).map(|raw| Self(raw.into()))
    }

    /// The JSON `null`.
    pub fn null() -> Self {
        Self(RawValue::NULL.to_owned().into())
    }

    /// Reads the value.
    ///
    /// # Errors
    /// Class `bug`: the code's type is not that of the recorded value.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_str(self.0.get()).map_err(|e| {
            let message = format!("recorded value is not a {}", std::any::type_name::<T>());
            Failure::new(Class::Bug, message).source(e)
        })
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Payload {}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Payload {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(|raw| Self(raw.into()))
    }
}
