//! How long a response asks us to wait, in every form that providers use.

use std::time::Duration;

use http::HeaderMap;
use midwatch_workflow::Timestamp;

/// The longest wait that is believed. Longer ones are cut to this: a server that answers a time stamp where seconds are
/// expected would otherwise put a run to sleep for fifty years.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);

/// Reads the wait from `retry-after-ms`, `retry-after` (seconds, decimals allowed, or an HTTP date; RFC 9110 §10.2.3) or,
/// if neither is there, from the headers that say when a limit is reset (`x-ratelimit-reset-*`,
/// `anthropic-ratelimit-*-reset`, `x-ratelimit-reset`, `ratelimit-reset`).
///
/// Dates are taken relative to the response's own `Date` if it has one, so that a wrong clock here does no harm, else to
/// `now`. Never more than [`RETRY_AFTER_MAX`]; a date that is over gives zero; nonsense gives `None`.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    asked(headers, now).or_else(|| reset(headers, now))
}

/// The wait that the response asks for in so many words.
pub(crate) fn asked(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let exact = text(headers, "retry-after-ms").and_then(|ms| seconds(ms, 1e-3));
    exact.or_else(|| {
        let value = text(headers, "retry-after")?;
        seconds(value, 1.0).or_else(|| http_date(value).map(|at| until(at, headers, now)))
    })
}

/// Until when the limit that stopped the request lasts.
fn reset(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let openai = ["requests", "tokens"].map(|what| Window {
        is_exhausted: text(headers, &format!("x-ratelimit-remaining-{what}")) == Some("0"),
        reset: text(headers, &format!("x-ratelimit-reset-{what}")).and_then(compound),
    });
    let anthropic = ["requests", "tokens", "input-tokens", "output-tokens"].map(|what| Window {
        is_exhausted: text(headers, &format!("anthropic-ratelimit-{what}-remaining")) == Some("0"),
        reset: text(headers, &format!("anthropic-ratelimit-{what}-reset"))
            .and_then(rfc3339)
            .map(|at| until(at, headers, now)),
    });
    let plain = ["x-ratelimit-reset", "ratelimit-reset"]
        .iter()
        .find_map(|name| epoch_or_delta(text(headers, name)?, headers, now));
    longest(&openai).or_else(|| longest(&anthropic)).or(plain)
}

/// One of a provider's limits.
struct Window {
    is_exhausted: bool,
    reset: Option<Duration>,
}

/// The wait for all limits that are used up. If none is, one of the token limits was too narrow for this request, and
/// nothing says which: the longest of these.
fn longest(windows: &[Window]) -> Option<Duration> {
    let exhausted =
        windows.iter().filter(|window| window.is_exhausted).filter_map(|window| window.reset).max();
    exhausted.or_else(|| windows.iter().skip(1).filter_map(|window| window.reset).max()).or(windows[0].reset)
}

pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// A plain number of units of `scale` seconds.
fn seconds(value: &str, scale: f64) -> Option<Duration> {
    let number: f64 = value.parse().ok()?;
    let seconds = number * scale;
    if !seconds.is_finite() || seconds < 0.0 {
        return None;
    }
    Some(Duration::try_from_secs_f64(seconds).unwrap_or(RETRY_AFTER_MAX).min(RETRY_AFTER_MAX))
}

/// A duration as OpenAI writes it: `12ms`, `1m3s`, `6m0s`, `1.5s`, `2h30m`.
pub(crate) fn compound(value: &str) -> Option<Duration> {
    let mut rest = value;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let (number, after) = rest.split_at(digits);
        let letters = after.len() - after.trim_start_matches(|c: char| c.is_alphabetic()).len();
        let (unit, after) = after.split_at(letters);
        let scale = match unit {
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        sum = sum.saturating_add(seconds(number, scale)?);
        rest = after;
    }
    (!value.is_empty()).then_some(sum.min(RETRY_AFTER_MAX))
}

/// Seconds from now, or, as they are so many, a point in time in seconds or milliseconds.
fn epoch_or_delta(value: &str, headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let number: f64 = value.parse().ok()?;
    let at = |scale: f64| {
        Duration::try_from_secs_f64(number * scale).ok().map(|since| Timestamp::from_micros(0) + since)
    };
    match number {
        n if n >= 1e11 => at(1e-3).map(|at| until(at, headers, now)),
        n if n >= 1e9 => at(1.0).map(|at| until(at, headers, now)),
        _ => seconds(value, 1.0),
    }
}

pub(crate) fn until(at: Timestamp, headers: &HeaderMap, now: Timestamp) -> Duration {
    let server_now = text(headers, "date").and_then(http_date).unwrap_or(now);
    at.since(server_now).min(RETRY_AFTER_MAX)
}

fn http_date(value: &str) -> Option<Timestamp> {
    let since = httpdate::parse_http_date(value).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_micros(0) + since)
}

pub(crate) fn rfc3339(value: &str) -> Option<Timestamp> {
    let micros = value.parse::<jiff::Timestamp>().ok()?.as_microsecond();
    u64::try_from(micros).ok().map(Timestamp::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    /// 2026-11-24 02:00:00 UTC.
    const NOW: Timestamp = Timestamp::from_micros(1_795_485_600_000_000);

    type Headers<'a> = &'a [(&'static str, &'a str)];

    fn wait(headers: Headers<'_>) -> Option<f64> {
        let map = headers
            .iter()
            .map(|(name, value)| {
                (HeaderName::from_static(name), HeaderValue::from_str(value).expect("valid"))
            })
            .collect();
        retry_after(&map, NOW).map(|wait| wait.as_secs_f64())
    }

    #[test]
    fn every_form_of_a_wait_is_read() {
        let at = "Tue, 24 Nov 2026 02:00:30 GMT";
        let cases: &[(Headers<'_>, Option<f64>)] = &[
            (&[("retry-after", "2")], Some(2.0)),
            (&[("retry-after", "0.25")], Some(0.25)),
            (&[("retry-after", "0")], Some(0.0)),
            (&[("retry-after", at)], Some(30.0)),
            (&[("retry-after", at), ("date", "Tue, 24 Nov 2026 02:00:10 GMT")], Some(20.0)),
            (&[("retry-after", "Tue, 24 Nov 2026 01:00:00 GMT")], Some(0.0)),
            (&[("retry-after-ms", "1500"), ("retry-after", "2")], Some(1.5)),
            (&[("retry-after-ms", "soon"), ("retry-after", "2")], Some(2.0)),
            (&[("x-ratelimit-reset-requests", "12ms")], Some(0.012)),
            (&[("x-ratelimit-reset-requests", "8s"), ("x-ratelimit-reset-tokens", "1m3s")], Some(63.0)),
            (
                &[
                    ("x-ratelimit-reset-requests", "8s"),
                    ("x-ratelimit-remaining-requests", "0"),
                    ("x-ratelimit-reset-tokens", "1m3s"),
                    ("x-ratelimit-remaining-tokens", "900"),
                ],
                Some(8.0),
            ),
            (&[("anthropic-ratelimit-tokens-reset", "2026-11-24T02:00:07Z")], Some(7.0)),
            (
                &[
                    ("anthropic-ratelimit-requests-reset", "2026-11-24T02:00:01Z"),
                    ("anthropic-ratelimit-input-tokens-reset", "2026-11-24T02:00:42+00:00"),
                    ("anthropic-ratelimit-input-tokens-remaining", "0"),
                    ("anthropic-ratelimit-output-tokens-reset", "2026-11-24T02:05:00Z"),
                    ("anthropic-ratelimit-output-tokens-remaining", "8000"),
                ],
                Some(42.0),
            ),
            (&[("x-ratelimit-reset", "1795485610")], Some(10.0)),
            (&[("x-ratelimit-reset", "1795485610000")], Some(10.0)),
            (&[("ratelimit-reset", "5")], Some(5.0)),
            (&[("retry-after", "2"), ("x-ratelimit-reset-tokens", "1m3s")], Some(2.0)),
            (&[], None),
        ];
        for (headers, expected) in cases {
            assert_eq!(wait(headers), *expected, "{headers:?}");
        }
    }

    #[test]
    fn nonsense_is_no_wait_and_a_monstrous_wait_is_cut() {
        for bad in ["-1", "NaN", "inf", "soon", "", "1 2"] {
            assert_eq!(wait(&[("retry-after", bad)]), None, "{bad}");
        }
        let day = RETRY_AFTER_MAX.as_secs_f64();
        for long in ["1795485610", "1e300", "Sun, 24 Nov 2126 02:00:30 GMT"] {
            assert_eq!(wait(&[("retry-after", long)]), Some(day), "{long}");
        }
        for bad in ["12", "x", "1y", "1m-3s"] {
            assert_eq!(wait(&[("x-ratelimit-reset-tokens", bad)]), None, "{bad}");
        }
    }
}
