//! How much of a target's limits is left, as its answers say.

use http::{HeaderMap, HeaderName};
use midwatch_workflow::Headroom;
use midwatch_workflow::Timestamp;
use midwatch_workflow::gate::Window;

use crate::retry_after::{compound, rfc3339, text, until};

/// Reads the limits that an answer tells of: `x-ratelimit-{limit,remaining,reset}-{requests,tokens}` (OpenAI and those
/// who copy it) or `anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}`. `None` if
/// it tells of none.
///
/// Times are taken relative to the answer's own `Date` if it has one, else to `now`.
pub fn headroom(headers: &HeaderMap, now: Timestamp) -> Option<Headroom> {
    // Most answers of most targets tell of none, and each name that is asked for has to be put together.
    let tells = |name: &HeaderName| {
        name.as_str().split_once("-ratelimit-").is_some_and(|(of, _)| matches!(of, "x" | "anthropic"))
    };
    if !headers.keys().any(tells) {
        return None;
    }
    let openai = |what: &str| {
        window(
            headers,
            [
                format!("x-ratelimit-limit-{what}"),
                format!("x-ratelimit-remaining-{what}"),
                format!("x-ratelimit-reset-{what}"),
            ],
            now,
        )
    };
    let anthropic = |what: &str| {
        let name = |which| format!("anthropic-ratelimit-{what}-{which}");
        window(headers, [name("limit"), name("remaining"), name("reset")], now)
    };
    let tokens = ["tokens", "input-tokens", "output-tokens"];
    let headroom = Headroom {
        requests: openai("requests").or_else(|| anthropic("requests")),
        tokens: openai("tokens").or_else(|| {
            // The narrowest: what is left of it, of all that there can be.
            let windows = tokens.iter().filter_map(|what| anthropic(what));
            windows.min_by(|a, b| {
                let (a, b) = (share(a), share(b));
                a.total_cmp(&b)
            })
        }),
    };
    (headroom != Headroom::default()).then_some(headroom)
}

#[allow(clippy::cast_precision_loss)]
fn share(window: &Window) -> f64 {
    window.remaining as f64 / window.limit.max(1) as f64
}

fn window(headers: &HeaderMap, [limit, remaining, reset]: [String; 3], now: Timestamp) -> Option<Window> {
    let limit = text(headers, &limit)?.parse().ok()?;
    let remaining: u64 = text(headers, &remaining)?.parse().ok()?;
    let reset = text(headers, &reset)?;
    let reset = compound(reset).or_else(|| rfc3339(reset).map(|at| until(at, headers, now)))?;
    Some(Window { limit, remaining: remaining.min(limit), reset })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderValue;

    use super::*;

    /// 2026-11-24 02:00:00 UTC.
    const NOW: Timestamp = Timestamp::from_micros(1_795_485_600_000_000);

    fn read(headers: &[(&'static str, &'static str)]) -> Option<Headroom> {
        let pairs = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        headroom(&pairs.collect(), NOW)
    }

    fn window(limit: u64, remaining: u64, millis: u64) -> Option<Window> {
        Some(Window { limit, remaining, reset: Duration::from_millis(millis) })
    }

    #[test]
    fn both_ways_to_tell_of_limits_are_read() {
        let openai = [
            ("x-ratelimit-limit-requests", "5000"),
            ("x-ratelimit-remaining-requests", "4990"),
            ("x-ratelimit-reset-requests", "120ms"),
            ("x-ratelimit-limit-tokens", "160000"),
            ("x-ratelimit-remaining-tokens", "100"),
            ("x-ratelimit-reset-tokens", "6m0s"),
        ];
        let expected = Headroom { requests: window(5000, 4990, 120), tokens: window(160_000, 100, 360_000) };
        assert_eq!(read(&openai), Some(expected));
        let anthropic = [
            ("anthropic-ratelimit-requests-limit", "50"),
            ("anthropic-ratelimit-requests-remaining", "9"),
            ("anthropic-ratelimit-requests-reset", "2026-11-24T02:00:49Z"),
            ("anthropic-ratelimit-input-tokens-limit", "40000"),
            ("anthropic-ratelimit-input-tokens-remaining", "39000"),
            ("anthropic-ratelimit-input-tokens-reset", "2026-11-24T02:00:02Z"),
            ("anthropic-ratelimit-output-tokens-limit", "8000"),
            ("anthropic-ratelimit-output-tokens-remaining", "1000"),
            ("anthropic-ratelimit-output-tokens-reset", "2026-11-24T02:00:52Z"),
        ];
        let expected = Headroom { requests: window(50, 9, 49_000), tokens: window(8_000, 1_000, 52_000) };
        assert_eq!(read(&anthropic), Some(expected));
    }

    #[test]
    fn half_of_what_is_needed_is_nothing() {
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[("x-ratelimit-remaining-requests", "7")]), None);
        let nonsense = [
            ("x-ratelimit-limit-requests", "many"),
            ("x-ratelimit-remaining-requests", "7"),
            ("x-ratelimit-reset-requests", "1s"),
        ];
        assert_eq!(read(&nonsense), None);
    }
}
