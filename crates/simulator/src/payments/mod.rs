//! A payment API in Stripe's form, and any other effect (a booking, a reservation) under the same rules.
//!
//! Shapes after <https://docs.stripe.com/api/charges>, <https://docs.stripe.com/api/refunds> and
//! <https://docs.stripe.com/api/idempotent_requests>.

mod form;

pub(crate) use form::parse as parse_form;

use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::endpoint::Endpoint;
use crate::ledger::{Effect, NewEffect, Refusal, Undo};
use crate::openai::CREATED;
use crate::trouble::Trouble;

/// What a request wants done.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) effect: NewEffect,
    /// The card will be declined: an answer like any other, kept and replayed, but nothing is done.
    pub(crate) declined: bool,
}

/// Understands a request; `kind` is the last part of a generic effect's path.
pub(crate) fn read(
    endpoint: Endpoint,
    kind: &str,
    body: &Value,
    key: Option<&str>,
) -> Result<Wanted, Trouble> {
    let metadata = &body["metadata"];
    let text = |value: &Value| match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let mut effect = NewEffect {
        prefix: "fx",
        kind: kind.to_owned(),
        key: key.map(Into::into),
        reference: [&body["reference"], &metadata["reference"], &metadata["order_id"]]
            .into_iter()
            .find_map(text),
        run: [&body["run"], &metadata["run"]].into_iter().find_map(text),
        amount: amount(&body["amount"])?,
        currency: text(&body["currency"]),
        undo: None,
        data: body.clone(),
    };
    match endpoint {
        Endpoint::Charges => {
            effect.prefix = "ch";
            if effect.amount.is_none() {
                return Err(Trouble::invalid("Missing required param: amount.", Some("amount")));
            }
            if effect.currency.is_none() {
                return Err(Trouble::invalid("Missing required param: currency.", Some("currency")));
            }
        }
        Endpoint::Refunds => {
            effect.prefix = "re";
            let charge = text(&body["charge"]);
            effect.undo = Some(match (charge, text(&body["charge_key"])) {
                (Some(id), _) => Undo::Id(id),
                (None, Some(key)) => Undo::Key(key),
                (None, None) => {
                    return Err(Trouble::invalid("Missing required param: charge.", Some("charge")));
                }
            });
        }
        _ => {
            effect.undo =
                text(&body["undoes"]).map(Undo::Id).or_else(|| text(&body["undoes_key"]).map(Undo::Key));
        }
    }
    let declined = text(&body["source"]).is_some_and(|source| source == "tok_chargeDeclined");
    Ok(Wanted { effect, declined })
}

fn amount(value: &Value) -> Result<Option<i64>, Trouble> {
    let amount = match value {
        Value::Null => return Ok(None),
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    match amount {
        Some(amount) if amount > 0 => Ok(Some(amount)),
        _ => Err(Trouble::invalid("amount must be a whole number above zero", Some("amount"))),
    }
}

/// How an effect is shown.
pub(crate) fn view(effect: &Effect) -> Value {
    let created = CREATED;
    let metadata = match &effect.data["metadata"] {
        Value::Object(members) => members.clone(),
        _ => Map::new(),
    };
    match effect.id.split('_').next() {
        Some("ch") => json!({
            "id": effect.id, "object": "charge", "amount": effect.amount, "amount_captured": effect.amount,
            "amount_refunded": effect.amount_undone, "captured": true, "created": created,
            "currency": effect.currency, "description": effect.data["description"], "livemode": false,
            "metadata": metadata, "paid": true, "refunded": effect.undone_by.is_some(), "status": "succeeded",
        }),
        Some("re") => json!({
            "id": effect.id, "object": "refund", "amount": effect.amount, "charge": effect.undoes,
            "created": created, "currency": effect.currency, "metadata": metadata,
            "reason": effect.data["reason"], "status": "succeeded",
        }),
        _ => json!({
            "id": effect.id, "object": "effect", "kind": effect.kind, "key": effect.key,
            "reference": effect.reference, "run": effect.run, "undoes": effect.undoes,
            "undone_by": effect.undone_by, "amount": effect.amount, "currency": effect.currency,
            "created": created, "data": effect.data, "status": "done",
        }),
    }
}

/// Status and body of an error.
pub(crate) fn error(trouble: &Trouble) -> (u16, Value) {
    let (status, kind, code, message) = match trouble {
        Trouble::RateLimited(_) => {
            (429, "invalid_request_error", Some("rate_limit"), "Too many requests.".into())
        }
        Trouble::QuotaExhausted => (
            402,
            "invalid_request_error",
            Some("account_limit_reached"),
            "The account has reached its limit.".into(),
        ),
        Trouble::Overloaded | Trouble::Unavailable(_) => {
            (503, "api_error", None, "The service is unavailable.".into())
        }
        Trouble::Server => (500, "api_error", None, "Something went wrong on the API's side.".into()),
        Trouble::Unauthorized => (401, "invalid_request_error", None, "Invalid API key provided.".into()),
        Trouble::Forbidden => (403, "invalid_request_error", None, "The key lacks the permission.".into()),
        Trouble::NotFound { what } => {
            (404, "invalid_request_error", Some("resource_missing"), format!("No such object: {what}"))
        }
        Trouble::Invalid { message, .. } => (400, "invalid_request_error", None, message.clone()),
        Trouble::ContextOverflow { .. } | Trouble::ContentFiltered => {
            (400, "invalid_request_error", None, "The request is not accepted.".into())
        }
    };
    let mut error = json!({"type": kind, "message": message});
    if let Some(code) = code {
        error["code"] = json!(code);
    }
    if let Trouble::Invalid { param: Some(param), .. } = trouble {
        error["param"] = json!(param);
    }
    (status, json!({"error": error}))
}

/// The answer to an effect that was not done.
pub(crate) fn refused(refusal: &Refusal) -> Answer {
    let (status, kind, code, message) = match refusal {
        Refusal::NothingToUndo => (
            404,
            "invalid_request_error",
            "resource_missing",
            "There is nothing of this id to undo.".to_owned(),
        ),
        Refusal::AlreadyUndone => (
            400,
            "invalid_request_error",
            "charge_already_refunded",
            "It has been undone already.".to_owned(),
        ),
        Refusal::TooMuch { left } => {
            (400, "invalid_request_error", "amount_too_large", format!("Only {left} is left to undo."))
        }
        Refusal::Barred => (
            409,
            "invalid_request_error",
            "cancelled",
            "This key was cancelled before it took effect.".to_owned(),
        ),
        Refusal::Full => {
            (507, "api_error", "simulator_full", "The simulator can remember no more effects.".to_owned())
        }
    };
    Answer::json(status, &json!({"error": {"type": kind, "code": code, "message": message}}))
}

/// The answer to a declined card.
pub(crate) fn declined() -> Answer {
    Answer::json(
        402,
        &json!({"error": {"type": "card_error", "code": "card_declined", "decline_code": "generic_decline",
            "message": "Your card was declined."}}),
    )
}

/// The answer to a key whose first request is still under way.
pub(crate) fn in_flight() -> Answer {
    Answer::json(
        409,
        &json!({"error": {"type": "idempotency_error", "code": "idempotency_key_in_use",
            "message": "Another request with this idempotency key is still in progress."}}),
    )
    .header("stripe-should-retry", "true")
}

/// The answer to a key that was used with other parameters.
pub(crate) fn changed() -> Answer {
    Answer::json(
        400,
        &json!({"error": {"type": "idempotency_error",
            "message": "This idempotency key was first used with other parameters."}}),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_and_run_are_found_in_the_body_or_in_its_metadata() {
        let body = json!({"amount": "5", "currency": "usd", "metadata": {"order_id": 42, "run": "r1"}});
        let wanted = read(Endpoint::Charges, "charge", &body, None).unwrap();
        assert_eq!(wanted.effect.reference.as_deref(), Some("42"));
        assert_eq!(wanted.effect.run.as_deref(), Some("r1"));
        assert_eq!(wanted.effect.amount, Some(5));
    }

    #[test]
    fn what_a_charge_or_refund_lacks_is_named() {
        let cases = [
            (Endpoint::Charges, json!({"currency": "usd"}), "amount"),
            (Endpoint::Charges, json!({"amount": 1}), "currency"),
            (Endpoint::Charges, json!({"amount": -1, "currency": "usd"}), "amount"),
            (Endpoint::Refunds, json!({}), "charge"),
        ];
        for (endpoint, body, name) in cases {
            match read(endpoint, "x", &body, None) {
                Err(Trouble::Invalid { param, .. }) => assert_eq!(param, Some(name)),
                other => panic!("{other:?}"),
            }
        }
    }
}
