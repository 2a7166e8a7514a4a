//! What a program asks with, and errors in a form that it can read.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::error::Trouble;

/// The parameters of an address.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Refused))]
pub(super) struct Asked<T>(pub(super) T);

/// The body of a request: an object. What it brings of JSON keeps its text, to the last digit.
pub(super) struct Given<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Given<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        if !is_json(request.headers()) {
            return Err(bad("send JSON, with the header content-type: application/json").into());
        }
        let body = Bytes::from_request(request, state).await?;
        let given = serde_json::from_slice::<&RawValue>(&body).and_then(of_object);
        given.map(Self).map_err(|error| bad(&error.to_string()).into())
    }
}

/// Reads an object within another one.
pub(super) fn object<'de, T: DeserializeOwned, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    of_object(&Box::<RawValue>::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// Reads an object; to serde a list of its fields in order would be as good.
fn of_object<T: DeserializeOwned>(raw: &RawValue) -> Result<T, serde_json::Error> {
    if !raw.get().starts_with('{') {
        return Err(serde_json::Error::custom("expected an object"));
    }
    serde_json::from_str(raw.get())
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

/// Why there is no answer, as JSON.
pub(super) struct Refused(Trouble);

impl From<Trouble> for Refused {
    fn from(trouble: Trouble) -> Self {
        Self(trouble)
    }
}

impl From<QueryRejection> for Refused {
    fn from(rejection: QueryRejection) -> Self {
        Self(Trouble::Bad(rejection.body_text()))
    }
}

impl From<BytesRejection> for Refused {
    fn from(rejection: BytesRejection) -> Self {
        Self(Trouble::Bad(rejection.body_text()))
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        self.0.json()
    }
}

pub(super) fn bad(what: &str) -> Trouble {
    Trouble::Bad(what.to_owned())
}

/// A number as the description has it: no larger than 63 bits.
pub(super) fn whole(number: Option<u64>) -> Result<u64, Trouble> {
    whole_if(number).map(Option::unwrap_or_default)
}

pub(super) fn whole_if(number: Option<u64>) -> Result<Option<u64>, Trouble> {
    match number {
        Some(number) if i64::try_from(number).is_err() => Err(bad(&format!("{number} is more than 63 bits"))),
        number => Ok(number),
    }
}

/// The most runs, or events, of one answer.
pub(super) const LIMIT_MAX: u64 = 1_000;

pub(super) fn limit(asked: Option<u64>, usual: u64) -> Result<usize, Trouble> {
    match asked.unwrap_or(usual) {
        limit @ 1..=LIMIT_MAX => Ok(usize::try_from(limit).unwrap_or(1)),
        _ => Err(bad(&format!("limit is a number from 1 to {LIMIT_MAX}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    struct Asked {
        a: Box<RawValue>,
    }

    fn read(text: &str) -> Result<Asked, serde_json::Error> {
        serde_json::from_str::<&RawValue>(text).and_then(of_object)
    }

    #[test]
    fn an_object_is_read_with_its_own_text_and_a_list_is_none() {
        let asked = read(r#" {"a": {"z":1.50,"b":12345678901234567890123} } "#).unwrap();
        assert_eq!(asked.a.get(), r#"{"z":1.50,"b":12345678901234567890123}"#);
        for wrong in ["[1]", "7", "", r#"{"a":1,"c":2}"#, r#"{"a":1"#] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
