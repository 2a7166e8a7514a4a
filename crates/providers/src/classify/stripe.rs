//! Stripe: <https://docs.stripe.com/api/errors>, <https://docs.stripe.com/error-codes> and
//! <https://docs.stripe.com/api/idempotent_requests>.

use midwatch_workflow::Class;
use serde_json::Value;

use super::Verdict;

pub(super) fn verdict(status: u16, body: &Value) -> Verdict {
    let error = &body["error"];
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let (kind, code) = (text(&error["type"]), text(&error["code"]));
    Verdict {
        class: class(status, kind.as_deref(), code.as_deref()),
        // The decline code says most: `insufficient_funds` rather than `card_declined`.
        code: text(&error["decline_code"]).or(code).or(kind),
        message: text(&error["message"]),
        retry_after: None,
    }
}

fn class(status: u16, kind: Option<&str>, code: Option<&str>) -> Option<Class> {
    Some(match (kind, code) {
        (_, Some("rate_limit")) => Class::RateLimited,
        // Another request works on the same object, or under the same key: it passes, and says nothing about capacity.
        (_, Some("lock_timeout" | "idempotency_key_in_use")) => Class::Unknown,
        (Some("idempotency_error"), _) if status == 409 => Class::Unknown,
        // The key was used with other parameters: a new key might do it twice, so a person must look at the code.
        (Some("idempotency_error"), _) => Class::InvalidRequest,
        // The card was declined: the same request gets the same answer.
        (Some("card_error"), _) => Class::InvalidRequest,
        (_, Some("api_key_expired" | "platform_api_key_expired")) => Class::Authentication,
        (_, Some("secret_key_required" | "testmode_charges_only" | "livemode_mismatch")) => Class::Permission,
        (_, Some("resource_missing")) => Class::NotFound,
        _ => return None,
    })
}
