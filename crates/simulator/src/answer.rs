//! Responses as values, before they become HTTP.

use std::time::{Duration, SystemTime};

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::Value;

use crate::endpoint::Provider;
use crate::fault::RetryAfter;
use crate::limit::Verdict;

/// A response: status, headers, and a body in one piece.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        let body = Bytes::from(body.to_string());
        Answer { status, headers: vec![("content-type", "application/json".into())], body }
    }

    /// The head of a stream of server-sent events.
    pub(crate) fn events() -> Self {
        let headers = vec![
            ("content-type", "text/event-stream; charset=utf-8".into()),
            ("cache-control", "no-cache".into()),
        ];
        Answer { status: 200, headers, body: Bytes::new() }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn headers(mut self, more: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        self.headers.extend(more);
        self
    }

    /// The HTTP response, with another body if there is one.
    pub(crate) fn into_response(self, other: Option<Body>) -> Response<Body> {
        let mut response = Response::new(other.unwrap_or_else(|| Body::from(self.body)));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::try_from(value) {
                response.headers_mut().append(HeaderName::from_static(name), value);
            }
        }
        response
    }
}

/// The headers that tell a client to wait.
pub(crate) fn wait_headers(
    provider: Provider,
    retry_after: RetryAfter,
    wall: SystemTime,
) -> Vec<(&'static str, String)> {
    match retry_after {
        RetryAfter::Untold => Vec::new(),
        RetryAfter::Seconds(s) => vec![("retry-after", s.to_string())],
        RetryAfter::Millis(ms) => {
            vec![("retry-after-ms", ms.to_string()), ("retry-after", ms.div_ceil(1000).to_string())]
        }
        RetryAfter::HttpDate(s) => {
            vec![("retry-after", httpdate::fmt_http_date(wall + Duration::from_secs(s)))]
        }
        RetryAfter::ResetHeader(ms) => {
            let wait = Duration::from_millis(ms);
            match provider {
                Provider::Openai => vec![
                    ("x-ratelimit-remaining-requests", "0".into()),
                    ("x-ratelimit-reset-requests", openai_duration(wait)),
                ],
                Provider::Anthropic => vec![
                    ("anthropic-ratelimit-requests-remaining", "0".into()),
                    ("anthropic-ratelimit-requests-reset", rfc3339(wall + wait)),
                ],
                Provider::Payments => vec![("retry-after", ms.div_ceil(1000).to_string())],
            }
        }
    }
}

/// The headers that describe the provider's rate limit.
pub(crate) fn limit_headers(
    provider: Provider,
    verdict: &Verdict,
    wall: SystemTime,
) -> Vec<(&'static str, String)> {
    let (limit, remaining) = (verdict.limit.to_string(), verdict.remaining.to_string());
    match provider {
        Provider::Openai => vec![
            ("x-ratelimit-limit-requests", limit),
            ("x-ratelimit-remaining-requests", remaining),
            ("x-ratelimit-reset-requests", openai_duration(verdict.reset)),
        ],
        Provider::Anthropic => vec![
            ("anthropic-ratelimit-requests-limit", limit),
            ("anthropic-ratelimit-requests-remaining", remaining),
            ("anthropic-ratelimit-requests-reset", rfc3339(wall + verdict.reset)),
        ],
        Provider::Payments => Vec::new(),
    }
}

/// A duration as OpenAI writes it: `12ms`, `1.5s`, `6m0s`.
fn openai_duration(duration: Duration) -> String {
    let ms = duration.as_micros().div_ceil(1000) as u64;
    match ms {
        0..1000 => format!("{ms}ms"),
        1000..60_000 => format!("{}s", ms as f64 / 1000.0),
        _ => format!("{}m{}s", ms / 60_000, (ms % 60_000) as f64 / 1000.0),
    }
}

/// RFC 3339 in whole seconds, rounded up so that waiting until then is enough.
fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time + Duration::from_millis(999)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_openai_writes_them() {
        let cases =
            [(0, "0ms"), (12, "12ms"), (1000, "1s"), (1500, "1.5s"), (360_000, "6m0s"), (61_500, "1m1.5s")];
        for (ms, text) in cases {
            assert_eq!(openai_duration(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn every_form_of_wait_has_its_header() {
        let epoch = SystemTime::UNIX_EPOCH;
        let header = |provider, wait| wait_headers(provider, wait, epoch).pop().unwrap();
        let cases = [
            (Provider::Openai, RetryAfter::Seconds(2.0), "retry-after", "2"),
            (Provider::Openai, RetryAfter::Seconds(0.5), "retry-after", "0.5"),
            (Provider::Openai, RetryAfter::Millis(1500), "retry-after", "2"),
            (Provider::Payments, RetryAfter::HttpDate(60), "retry-after", "Thu, 01 Jan 1970 00:01:00 GMT"),
            (Provider::Openai, RetryAfter::ResetHeader(1500), "x-ratelimit-reset-requests", "1.5s"),
            (
                Provider::Anthropic,
                RetryAfter::ResetHeader(1500),
                "anthropic-ratelimit-requests-reset",
                "1970-01-01T00:00:02Z",
            ),
        ];
        for (provider, wait, name, value) in cases {
            assert_eq!(header(provider, wait), (name, value.to_owned()));
        }
    }
}
