//! What a program asks with, and errors in a form that it can read.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::Trouble;

/// The parameters of an address.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Refused))]
pub(super) struct Asked<T>(pub(super) T);

/// The body of a request: an object.
pub(super) struct Given<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Given<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        // Read as an object first: to serde a list of its fields in order would be as good.
        let Json(object) = Json::<Map<String, Value>>::from_request(request, state).await?;
        let given = serde_json::from_value(Value::Object(object));
        given.map(Self).map_err(|error| Refused(Trouble::Bad(error.to_string())))
    }
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

impl From<JsonRejection> for Refused {
    fn from(rejection: JsonRejection) -> Self {
        Self(Trouble::Bad(rejection.body_text()))
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        self.0.json()
    }
}
