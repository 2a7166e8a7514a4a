//! The table: a row for each documented error.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use midwatch_workflow::{Class, Failure, Timestamp};
use serde_json::{Value, json};

use super::*;

/// 2026-11-24 02:00:00 UTC.
const NOW: Timestamp = Timestamp::from_micros(1_795_485_600_000_000);

type Headers = &'static [(&'static str, &'static str)];

fn headers(pairs: Headers) -> HeaderMap {
    pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
}

fn classified(provider: Provider, status: u16, pairs: Headers, body: &str) -> Failure {
    classify(&Answer { provider, status, headers: &headers(pairs), body: body.as_bytes() }, NOW)
}

fn openai(kind: &str, code: &str, message: &str) -> Value {
    json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
}

fn anthropic(kind: &str, message: &str) -> Value {
    json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"})
}

fn gemini(code: u16, status: &str, message: &str, details: Value) -> Value {
    json!({"error": {"code": code, "message": message, "status": status, "details": details}})
}

fn stripe(kind: &str, code: &str) -> Value {
    json!({"error": {"type": kind, "code": code, "message": "…"}})
}

fn check(provider: Provider, rows: &[(u16, Value, Class)]) {
    for (status, body, class) in rows {
        let failure = classified(provider, *status, &[], &body.to_string());
        assert_eq!(failure.class, *class, "{status} {body}");
        assert_eq!(failure.status, Some(*status));
    }
}

#[test]
fn openai_errors() {
    let quota = "You exceeded your current quota, please check your plan and billing details.";
    let long = "This model's maximum context length is 128000 tokens. However, your messages resulted in 130000 tokens.";
    let big = "Request too large for gpt-4o in organization org-1 on tokens per min (TPM): Limit 30000, Requested 40000.";
    check(
        Provider::OpenAi,
        &[
            (
                400,
                openai("invalid_request_error", "", "Missing required parameter: 'messages'."),
                Class::InvalidRequest,
            ),
            (400, openai("invalid_request_error", "context_length_exceeded", long), Class::ContextOverflow),
            (400, openai("invalid_request_error", "", long), Class::ContextOverflow),
            (400, openai("invalid_request_error", "string_above_max_length", "…"), Class::ContextOverflow),
            (400, openai("invalid_request_error", "content_policy_violation", "…"), Class::ContentFiltered),
            (400, openai("", "content_filter", "The response was filtered."), Class::ContentFiltered),
            (400, openai("image_generation_user_error", "moderation_blocked", "…"), Class::ContentFiltered),
            (400, openai("invalid_request_error", "invalid_prompt", "…"), Class::ContentFiltered),
            (
                401,
                openai("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
                Class::Authentication,
            ),
            (
                401,
                openai("invalid_request_error", "", "You must be a member of an organization."),
                Class::Authentication,
            ),
            (
                401,
                openai("invalid_request_error", "ip_not_authorized", "IP not authorized"),
                Class::Permission,
            ),
            (
                403,
                openai("request_forbidden", "unsupported_country_region_territory", "…"),
                Class::Permission,
            ),
            (
                404,
                openai("invalid_request_error", "model_not_found", "The model does not exist."),
                Class::NotFound,
            ),
            (409, openai("conflict", "", "The resource was updated by another request."), Class::Unknown),
            (422, openai("invalid_request_error", "", "Unprocessable."), Class::InvalidRequest),
            (
                429,
                openai("requests", "rate_limit_exceeded", "Rate limit reached for requests"),
                Class::RateLimited,
            ),
            (
                429,
                openai("tokens", "rate_limit_exceeded", "Rate limit reached for tokens"),
                Class::RateLimited,
            ),
            (429, openai("tokens", "rate_limit_exceeded", big), Class::ContextOverflow),
            (429, openai("rate_limit_error", "slow_down", "Slow down."), Class::RateLimited),
            (429, openai("insufficient_quota", "insufficient_quota", quota), Class::QuotaExhausted),
            (429, openai("", "", quota), Class::QuotaExhausted),
            (429, openai("insufficient_quota", "credit_balance_exhausted", "…"), Class::QuotaExhausted),
            (
                429,
                openai("insufficient_quota", "organization_spend_limit_exceeded", "…"),
                Class::QuotaExhausted,
            ),
            (429, openai("insufficient_quota", "project_spend_limit_exceeded", "…"), Class::QuotaExhausted),
            (
                429,
                openai("insufficient_quota", "organization_usage_limit_exceeded", "…"),
                Class::QuotaExhausted,
            ),
            (429, openai("", "billing_hard_limit_reached", "…"), Class::QuotaExhausted),
            (
                429,
                openai("", "", "The engine is currently overloaded, please try again later."),
                Class::RateLimited,
            ),
            (500, openai("server_error", "", "The server had an error."), Class::Server),
            (503, openai("service_unavailable_error", "server_is_overloaded", "…"), Class::Overloaded),
            (503, openai("server_error", "slow_down", "Slow down."), Class::RateLimited),
        ],
    );
}

#[test]
fn anthropic_errors() {
    let mut spend = anthropic("rate_limit_error", "The organization has reached its spend limit.");
    spend["error"]["details"] = json!({"error_code": "enforced_spend_limit_reached"});
    let low = "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing.";
    check(
        Provider::Anthropic,
        &[
            (400, anthropic("invalid_request_error", "max_tokens: Field required"), Class::InvalidRequest),
            (
                400,
                anthropic("invalid_request_error", "prompt is too long: 210000 tokens > 200000"),
                Class::ContextOverflow,
            ),
            (400, anthropic("invalid_request_error", low), Class::QuotaExhausted),
            (
                400,
                anthropic("invalid_request_error", "You have reached your specified API usage limits."),
                Class::QuotaExhausted,
            ),
            (
                400,
                anthropic("invalid_request_error", "Output blocked by content filtering policy"),
                Class::ContentFiltered,
            ),
            (401, anthropic("authentication_error", "invalid x-api-key"), Class::Authentication),
            (402, anthropic("billing_error", "There is an issue with your billing."), Class::QuotaExhausted),
            (403, anthropic("permission_error", "Your key may not use this."), Class::Permission),
            (404, anthropic("not_found_error", "model: no-such-model"), Class::NotFound),
            (409, anthropic("conflict_error", "…"), Class::Unknown),
            (413, anthropic("request_too_large", "Request exceeds the maximum size"), Class::ContextOverflow),
            (
                429,
                anthropic("rate_limit_error", "This request would exceed your rate limit."),
                Class::RateLimited,
            ),
            (429, spend, Class::QuotaExhausted),
            (500, anthropic("api_error", "Internal server error"), Class::Server),
            (504, anthropic("timeout_error", "The request timed out."), Class::Timeout),
            (529, anthropic("overloaded_error", "Overloaded"), Class::Overloaded),
        ],
    );
}

#[test]
fn gemini_errors() {
    let info =
        |reason: &str| json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}]);
    let quota = |id: &str| json!([{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": id}]}]);
    let day = quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier");
    let minute = quota("GenerateContentInputTokensPerModelPerMinute-FreeTier");
    let long = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).";
    check(
        Provider::Gemini,
        &[
            (400, gemini(400, "INVALID_ARGUMENT", "malformed", json!([])), Class::InvalidRequest),
            (400, gemini(400, "INVALID_ARGUMENT", long, json!([])), Class::ContextOverflow),
            (
                400,
                gemini(400, "INVALID_ARGUMENT", "API key not valid.", info("API_KEY_INVALID")),
                Class::Authentication,
            ),
            (
                400,
                gemini(400, "FAILED_PRECONDITION", "User location is not supported.", json!([])),
                Class::Permission,
            ),
            (401, gemini(401, "UNAUTHENTICATED", "…", json!([])), Class::Authentication),
            (
                402,
                gemini(402, "RESOURCE_EXHAUSTED", "Prepaid credit is used up.", json!([])),
                Class::QuotaExhausted,
            ),
            (403, gemini(403, "PERMISSION_DENIED", "…", json!([])), Class::Permission),
            (404, gemini(404, "NOT_FOUND", "…", json!([])), Class::NotFound),
            (409, gemini(409, "ABORTED", "…", json!([])), Class::Unknown),
            (429, gemini(429, "RESOURCE_EXHAUSTED", "…", json!([])), Class::RateLimited),
            (429, gemini(429, "RESOURCE_EXHAUSTED", "…", minute), Class::RateLimited),
            (429, gemini(429, "RESOURCE_EXHAUSTED", "…", day), Class::QuotaExhausted),
            (499, gemini(499, "CANCELLED", "…", json!([])), Class::Unknown),
            (500, gemini(500, "INTERNAL", "…", json!([])), Class::Server),
            (501, gemini(501, "UNIMPLEMENTED", "…", json!([])), Class::InvalidRequest),
            (503, gemini(503, "UNAVAILABLE", "The model is overloaded.", json!([])), Class::Overloaded),
            (503, json!([gemini(503, "UNAVAILABLE", "In a list.", json!([]))]), Class::Overloaded),
            (504, gemini(504, "DEADLINE_EXCEEDED", "…", json!([])), Class::Timeout),
        ],
    );
}

#[test]
fn gemini_says_in_the_body_how_long_to_wait() {
    let retry = json!([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "45.8379s"}]);
    for body in [
        gemini(429, "RESOURCE_EXHAUSTED", "Quota exceeded.", retry),
        gemini(429, "RESOURCE_EXHAUSTED", "Quota exceeded. Please retry in 45.8379s.", json!([])),
    ] {
        let failure = classified(Provider::Gemini, 429, &[], &body.to_string());
        assert_eq!(failure.retry_after, Some(Duration::from_secs_f64(45.8379)), "{body}");
    }
}

#[test]
fn stripe_errors() {
    check(
        Provider::Stripe,
        &[
            (400, stripe("invalid_request_error", "parameter_missing"), Class::InvalidRequest),
            (400, stripe("idempotency_error", ""), Class::InvalidRequest),
            (401, stripe("invalid_request_error", ""), Class::Authentication),
            (401, stripe("invalid_request_error", "api_key_expired"), Class::Authentication),
            (402, stripe("card_error", "card_declined"), Class::InvalidRequest),
            (402, stripe("card_error", "expired_card"), Class::InvalidRequest),
            (403, stripe("invalid_request_error", ""), Class::Permission),
            (404, stripe("invalid_request_error", "resource_missing"), Class::NotFound),
            (409, stripe("idempotency_error", "idempotency_key_in_use"), Class::Unknown),
            (424, stripe("api_error", ""), Class::Server),
            (429, stripe("invalid_request_error", "rate_limit"), Class::RateLimited),
            (429, stripe("invalid_request_error", "lock_timeout"), Class::Unknown),
            (500, stripe("api_error", ""), Class::Server),
            (502, stripe("api_error", ""), Class::Server),
            (503, stripe("api_error", ""), Class::Overloaded),
            (504, stripe("api_error", ""), Class::Timeout),
        ],
    );
}

#[test]
fn a_stranger_goes_by_status() {
    for (status, class, ambiguous) in [
        (302, Class::InvalidRequest, false),
        (400, Class::InvalidRequest, false),
        (401, Class::Authentication, false),
        (402, Class::QuotaExhausted, false),
        (403, Class::Permission, false),
        (404, Class::NotFound, false),
        (405, Class::InvalidRequest, false),
        (408, Class::Timeout, true),
        (409, Class::Unknown, false),
        (410, Class::NotFound, false),
        (413, Class::InvalidRequest, false),
        (422, Class::InvalidRequest, false),
        (425, Class::Unknown, false),
        (429, Class::RateLimited, false),
        (451, Class::Permission, false),
        (500, Class::Server, true),
        (501, Class::InvalidRequest, false),
        (502, Class::Server, true),
        (503, Class::Overloaded, false),
        (504, Class::Timeout, true),
        (520, Class::Server, true),
        (521, Class::Connection, false),
        (524, Class::Timeout, true),
        (529, Class::Overloaded, false),
        (599, Class::Server, true),
        (42, Class::Unknown, false),
    ] {
        for body in [
            "",
            "<html>Bad Gateway</html>",
            "{\"error\": 7}",
            "[]",
            "\u{0}",
            "{\"error\": {\"code\": \"x\"}}",
        ] {
            let failure = classified(Provider::Generic, status, &[], body);
            assert_eq!((failure.class, failure.ambiguous), (class, ambiguous), "{status} {body}");
        }
    }
}

#[test]
fn a_replayed_server_error_is_told_from_a_fresh_one_and_a_replayed_refusal_stays_what_it_is() {
    let replayed: Headers = &[("idempotent-replayed", "true")];
    for (status, body, class) in [
        (500, stripe("api_error", ""), Class::ReplayedFailure),
        (501, stripe("api_error", ""), Class::ReplayedFailure),
        (429, stripe("invalid_request_error", "rate_limit"), Class::ReplayedFailure),
        (402, stripe("card_error", "card_declined"), Class::InvalidRequest),
    ] {
        let failure = classified(Provider::Stripe, status, replayed, &body.to_string());
        assert_eq!(failure.class, class, "{status}");
        assert_eq!(failure.ambiguous, class == Class::ReplayedFailure, "{status}");
    }
    let fresh: Headers = &[("idempotent-replayed", "false")];
    assert_eq!(classified(Provider::Stripe, 500, fresh, "").class, Class::Server);
}

#[test]
fn the_targets_word_on_retrying_counts_where_its_code_leaves_room() {
    let (no, yes): (Headers, Headers) = (&[("x-should-retry", "false")], &[("x-should-retry", "true")]);
    let quota = openai("insufficient_quota", "insufficient_quota", "…").to_string();
    for (status, headers, body, class) in [
        (429, no, "", Class::QuotaExhausted),
        (500, no, "", Class::InvalidRequest),
        (400, yes, "", Class::Unknown),
        (500, yes, "", Class::Server),
        (429, yes, quota.as_str(), Class::QuotaExhausted),
        (401, no, "", Class::Authentication),
    ] {
        assert_eq!(classified(Provider::OpenAi, status, headers, body).class, class, "{status} {headers:?}");
    }
    let stripe: Headers = &[("stripe-should-retry", "true")];
    assert!(classified(Provider::Stripe, 400, stripe, "").class.is_retried());
}

#[test]
fn a_wait_comes_from_the_headers_and_reset_times_count_for_rate_limits_only() {
    let wait = |status, headers| classified(Provider::OpenAi, status, headers, "").retry_after;
    assert_eq!(wait(429, &[("retry-after", "2")]), Some(Duration::from_secs(2)));
    assert_eq!(wait(503, &[("retry-after-ms", "250")]), Some(Duration::from_millis(250)));
    let reset: Headers = &[("x-ratelimit-reset-tokens", "1m3s")];
    assert_eq!(wait(429, reset), Some(Duration::from_secs(63)));
    assert_eq!(wait(500, reset), None);
}

#[test]
fn usage_in_an_error_is_charged() {
    let body = json!({"model": "gpt-4o", "error": {"type": "server_error", "message": "…"},
        "usage": {"prompt_tokens": 12, "completion_tokens": 3}});
    let failure = classified(Provider::OpenAi, 500, &[], &body.to_string());
    let charge = &failure.charges[0];
    assert_eq!((charge.target.as_str(), charge.usage.input, charge.usage.output), ("openai:gpt-4o", 12, 3));
    assert_eq!(charge.cost, None);
}

#[test]
fn error_events_in_a_stream_are_failures_and_other_events_are_not() {
    let overloaded = json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}});
    let failed = json!({"type": "response.failed", "response": {"status": "failed",
        "error": {"code": "rate_limit_exceeded", "message": "…"}}});
    let flat = json!({"type": "error", "code": "server_error", "message": "…", "param": null});
    let chat = json!({"error": {"type": "server_error", "code": null, "message": "…"}});
    for (provider, event, class) in [
        (Provider::Anthropic, overloaded, Class::Overloaded),
        (Provider::OpenAi, failed, Class::RateLimited),
        (Provider::OpenAi, flat, Class::Server),
        (Provider::OpenAi, chat, Class::Server),
        (Provider::Gemini, gemini(503, "UNAVAILABLE", "…", json!([])), Class::Overloaded),
        (Provider::Generic, json!({"error": {"message": "?"}}), Class::Server),
    ] {
        let failure = failed_event(provider, &event).expect("is an error");
        assert_eq!((failure.class, failure.ambiguous), (class, true), "{event}");
    }
    for event in [
        json!({"type": "message_start", "message": {}}),
        json!({"choices": [{"delta": {"content": "error"}}], "error": null}),
        json!({"type": "response.completed", "response": {"error": null}}),
    ] {
        assert_eq!(failed_event(Provider::OpenAi, &event), None, "{event}");
    }
}

#[test]
fn a_success_that_is_none_is_found_and_a_short_answer_is_one() {
    for (provider, body, class) in [
        (Provider::Gemini, json!({"promptFeedback": {"blockReason": "SAFETY"}}), Class::ContentFiltered),
        (Provider::Gemini, json!({"candidates": [{"finishReason": "RECITATION"}]}), Class::ContentFiltered),
        (
            Provider::OpenAi,
            json!({"choices": [{"finish_reason": "content_filter", "message": {"content": ""}}],
                "usage": {"prompt_tokens": 5, "completion_tokens": 0}}),
            Class::ContentFiltered,
        ),
        (
            Provider::OpenAi,
            json!({"status": "failed", "error": {"code": "server_error", "message": "…"}}),
            Class::Server,
        ),
        (
            Provider::OpenAi,
            json!({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}),
            Class::ContentFiltered,
        ),
    ] {
        assert_eq!(failed_answer(provider, &body).map(|f| f.class), Some(class), "{body}");
    }
    for (provider, body) in [
        (Provider::OpenAi, json!({"choices": [{"finish_reason": "length", "message": {"content": "a"}}]})),
        (
            Provider::OpenAi,
            json!({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}),
        ),
        (Provider::Anthropic, json!({"stop_reason": "refusal", "content": []})),
        (Provider::Gemini, json!({"candidates": [{"finishReason": "STOP"}]})),
    ] {
        assert_eq!(failed_answer(provider, &body), None, "{body}");
    }
}

#[test]
fn messages_are_one_short_line_without_secrets() {
    let body = openai(
        "invalid_request_error",
        "invalid_api_key",
        "Incorrect API key provided:\nsk-proj-abcdefgh12345678.",
    );
    let failure = classified(Provider::OpenAi, 401, &[], &body.to_string());
    let expected = "openai answered 401 invalid_api_key: Incorrect API key provided: sk-[redacted].";
    assert_eq!(failure.message, expected);
    let plain = classified(Provider::Generic, 502, &[], "upstream connect error");
    assert_eq!(plain.message, "target answered 502: upstream connect error");
    assert_eq!(classified(Provider::Generic, 502, &[], "<html>…").message, "target answered 502");
    assert!(classified(Provider::Generic, 502, &[], &"x".repeat(100_000)).message.len() < 600);
}
