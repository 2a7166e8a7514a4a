//! A span's attributes, looked up by any of several names: every convention has its own, and its older ones.

use std::collections::HashMap;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;

/// The longest name or id that is taken from an attribute, in bytes.
const NAME_BYTES_MAX: usize = 512;
/// The longest JSON that is looked into, in bytes.
const JSON_BYTES_MAX: usize = 64 << 10;

/// Attributes by name.
#[derive(Default)]
pub(crate) struct Attributes<'s>(HashMap<&'s str, &'s Value>);

impl<'s> Attributes<'s> {
    /// Those that have a value.
    pub(crate) fn of(list: &'s [KeyValue]) -> Self {
        let value = |item: &'s KeyValue| item.value.as_ref()?.value.as_ref();
        Self(list.iter().filter_map(|item| Some((item.key.as_str(), value(item)?))).collect())
    }

    /// The first text among these, without space around it; `None` if it is empty or too long for a name.
    pub(crate) fn name(&self, names: &[&str]) -> Option<&'s str> {
        names.iter().find_map(|name| {
            let text = self.text(name)?.trim();
            (!text.is_empty() && text.len() <= NAME_BYTES_MAX).then_some(text)
        })
    }

    /// A text of any length.
    pub(crate) fn text(&self, name: &str) -> Option<&'s str> {
        match self.0.get(name)? {
            Value::StringValue(text) => Some(text),
            _ => None,
        }
    }

    /// The first count among these; numbers come as numbers, and from some senders as text.
    pub(crate) fn count(&self, names: &[&str]) -> Option<u64> {
        names.iter().find_map(|name| match self.0.get(name)? {
            Value::IntValue(number) => u64::try_from(*number).ok(),
            Value::DoubleValue(number) if (0.0..9e15).contains(number) => {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Checked to be in range.
                Some(*number as u64)
            }
            Value::StringValue(text) => text.trim().parse().ok(),
            _ => None,
        })
    }

    /// The first amount among these.
    pub(crate) fn amount(&self, names: &[&str]) -> Option<f64> {
        names.iter().find_map(|name| match self.0.get(name)? {
            Value::DoubleValue(number) => Some(*number),
            #[allow(clippy::cast_precision_loss)] // An amount of money.
            Value::IntValue(number) => Some(*number as f64),
            Value::StringValue(text) => text.trim().parse().ok(),
            _ => None,
        })
    }

    /// Whether any of these is there.
    pub(crate) fn has(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.0.contains_key(name))
    }

    /// A text that is a JSON object.
    pub(crate) fn json(&self, name: &str) -> Option<serde_json::Value> {
        let text = self.text(name).filter(|text| text.len() <= JSON_BYTES_MAX)?;
        serde_json::from_str(text).ok().filter(serde_json::Value::is_object)
    }
}

/// What tests put into attributes.
#[cfg(test)]
pub(crate) enum Said {
    Text(String),
    Whole(i64),
    Number(f64),
}

#[cfg(test)]
impl From<String> for Said {
    fn from(text: String) -> Self {
        Said::Text(text)
    }
}

#[cfg(test)]
impl From<i64> for Said {
    fn from(number: i64) -> Self {
        Said::Whole(number)
    }
}

#[cfg(test)]
impl From<f64> for Said {
    fn from(number: f64) -> Self {
        Said::Number(number)
    }
}

/// An attribute, for tests.
#[cfg(test)]
pub(crate) fn attribute(name: &str, value: impl Into<Said>) -> KeyValue {
    let value = match value.into() {
        Said::Text(text) => Value::StringValue(text),
        Said::Whole(number) => Value::IntValue(number),
        Said::Number(number) => Value::DoubleValue(number),
    };
    let value = opentelemetry_proto::tonic::common::v1::AnyValue { value: Some(value) };
    KeyValue { key: name.to_owned(), value: Some(value), ..KeyValue::default() }
}
