//! An order as it travels to a console, which judges and sends it there: an action and the fields that it reads.

use midwatch_workflow::{Money, Payload};
use serde::Serialize;

/// An order in the form in which a console's JSON interface takes it.
#[derive(Serialize, Default, Debug)]
pub struct Request<'o> {
    /// The action, which stands in the address.
    #[serde(skip)]
    pub action: &'static str,
    /// Why; of a cancellation and a pause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'o str>,
    /// A signal's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'o str>,
    /// What a signal brings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<&'o Payload>,
    /// The sender's id for a signal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'o str>,
    /// The step that waits for an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<&'o str>,
    /// `retry`, `done` or `fail`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<&'static str>,
    /// What a step that was done by hand would have given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<&'o Payload>,
    /// By how many dollars a budget is raised.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "dollars")]
    pub usd: Option<Money>,
    /// By how many tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// The step before which a fork leaves its parent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_step: Option<&'o str>,
    /// The event after which it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_event: Option<u64>,
    /// Whether a fork has idempotency keys of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_keys: Option<bool>,
    /// Whether a retry ends a wait between two attempts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now: Option<bool>,
    /// How long the effect is waited for, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
}

impl Request<'_> {
    /// An action without any field.
    pub(crate) fn new(action: &'static str) -> Self {
        Self { action, ..Self::default() }
    }
}

#[allow(clippy::ref_option)] // serde's signature
fn dollars<S: serde::Serializer>(usd: &Option<Money>, serializer: S) -> Result<S::Ok, S::Error> {
    usd.map(|usd| usd.to_string().trim_start_matches('$').to_owned()).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Order, RaiseBudget, Signal};

    #[test]
    fn what_an_order_does_not_read_is_left_out_and_what_it_brings_stays_as_it_was_written() {
        let payload = Payload::from_json(r#"{"z":1.50,"a":12345678901234567890123}"#).unwrap();
        let signal = Signal { name: "paid".to_owned(), payload, id: None };
        let sent = serde_json::to_string(&signal.request()).unwrap();
        assert_eq!(sent, r#"{"name":"paid","payload":{"z":1.50,"a":12345678901234567890123}}"#);
        let budget =
            RaiseBudget { usd: Some("0.000135".parse().unwrap()), tokens: None, by: "ann".to_owned() };
        assert_eq!(serde_json::to_string(&budget.request()).unwrap(), r#"{"usd":"0.000135"}"#);
    }
}
