//! What of a request matters: its key, and the fingerprint by which another request under the same key is told apart.

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method};
use xxhash_rust::xxh3::Xxh3;

use super::refusal::Refusal;

/// The header that carries the key, as in the IETF draft "The Idempotency-Key HTTP Header Field" and at Stripe.
const KEY: &str = "idempotency-key";

/// The longest key, in bytes; Stripe's limit.
const KEY_BYTES_MAX: usize = 255;

/// The key of a request that has one and whose method is not safe by itself.
pub(super) fn key(method: &Method, headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    if method.is_safe() {
        return Ok(None);
    }
    let mut keys = headers.get_all(KEY).into_iter();
    let Some(key) = keys.next() else { return Ok(None) };
    // The draft makes the value a structured string, in quotes; senders usually leave them out.
    let key = key.to_str().unwrap_or_default().trim().trim_matches('"');
    if keys.next().is_some() || key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(Refusal::BadKey);
    }
    Ok(Some(key.to_owned()))
}

/// Tells requests apart by method, path, query and body.
pub(super) fn fingerprint(parts: &Parts, body: &Bytes) -> [u8; 16] {
    let mut hash = Xxh3::new();
    for part in [parts.method.as_str(), parts.uri.path(), parts.uri.query().unwrap_or_default()] {
        hash.update(part.as_bytes());
        hash.update(&[0]);
    }
    hash.update(body);
    hash.digest128().to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str) -> Result<Option<String>, Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(KEY, value.parse().unwrap());
        key(&Method::POST, &headers)
    }

    #[test]
    fn a_key_is_taken_with_or_without_quotes_and_refused_if_empty_or_long() {
        assert_eq!(of("order-42:charge").unwrap().as_deref(), Some("order-42:charge"));
        assert_eq!(of("\"order-42\"").unwrap().as_deref(), Some("order-42"));
        assert!(of("\"\"").is_err());
        assert!(of(&"x".repeat(256)).is_err());
    }

    #[test]
    fn a_safe_method_needs_no_key() {
        let mut headers = HeaderMap::new();
        headers.insert(KEY, "k".parse().unwrap());
        assert!(matches!(key(&Method::GET, &headers), Ok(None)));
    }
}
