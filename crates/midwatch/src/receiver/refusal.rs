//! Why a request is not carried out, and what its sender is told.

use bytes::Bytes;
use http::{Response, StatusCode, header};

/// Why a request is not carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    /// The key is empty, too long, or there are several.
    BadKey,
    /// The body is over the limit.
    TooLarge,
    /// The body broke off.
    BrokenBody,
    /// The first request under the key is under way.
    InProgress,
    /// The key stands for another request.
    OtherRequest,
    /// The process died during the first request.
    Unknown,
    /// It was carried out, but its answer was too large to keep.
    NotKept,
    /// The store failed.
    Store,
}

impl Refusal {
    pub(super) fn response<B: From<Bytes>>(self) -> Response<B> {
        let (status, code, message) = match self {
            Refusal::BadKey => {
                (StatusCode::BAD_REQUEST, "bad_key", "expected one Idempotency-Key of 1 to 255 bytes")
            }
            Refusal::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the body is over the limit"),
            Refusal::BrokenBody => (StatusCode::BAD_REQUEST, "broken_body", "the body broke off"),
            Refusal::InProgress => {
                (StatusCode::CONFLICT, "in_progress", "a request with this key is under way: try again later")
            }
            Refusal::OtherRequest => {
                (StatusCode::UNPROCESSABLE_ENTITY, "other_request", "this key was used for another request")
            }
            Refusal::Unknown => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "unknown_outcome",
                "the process died during the first request with this key: whether it had its effect is not known",
            ),
            Refusal::NotKept => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "answer_not_kept",
                "the first request with this key was carried out, but its answer was too large to keep",
            ),
            Refusal::Store => {
                (StatusCode::SERVICE_UNAVAILABLE, "store", "the store of receipts failed: nothing was done")
            }
        };
        let body = format!(r#"{{"error":{{"type":"idempotency","code":"{code}","message":"{message}"}}}}"#);
        let mut response = Response::new(B::from(Bytes::from(body)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        if matches!(self, Refusal::InProgress | Refusal::Store) {
            headers.insert(header::RETRY_AFTER, http::HeaderValue::from_static("1"));
        }
        // What stands for the first request's end is said to be one, so that senders do not rotate the key and go on.
        if matches!(self, Refusal::Unknown | Refusal::NotKept) {
            headers.insert(super::layer::REPLAYED, http::HeaderValue::from_static("true"));
        }
        response
    }
}
