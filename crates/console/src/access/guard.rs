//! Stands before every request, and puts the headers on every answer that keep a page to itself.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use super::door::{BY, Door};
use crate::app::App;
use crate::error::Trouble;
use crate::link;

/// Why a request does not get through.
enum Refusal {
    /// It asks for a name that is none of ours.
    Name,
    /// It must bring the token.
    Unknown,
    /// It comes from a page that is not ours.
    Foreign,
    /// Nothing may be changed.
    ReadOnly,
}

/// Lets a request through, or answers it.
pub(crate) async fn guard(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let is_program = path.starts_with("/api/") || path == "/metrics";
    let mut answer = match admit(&app.door, &mut request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refuse(&refusal, &request, is_program),
    };
    protect(answer.headers_mut());
    answer
}

fn admit(door: &Door, request: &mut Request) -> Result<(), Refusal> {
    let headers = request.headers();
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host =
        host.or_else(|| request.uri().authority().map(|authority| authority.as_str())).unwrap_or_default();
    if !door.is_name(host) {
        return Err(Refusal::Name);
    }
    let path = request.uri().path();
    let is_open = path.starts_with("/assets/") || path == "/login";
    let who = door.who(headers);
    if who.is_none() && !is_open {
        return Err(Refusal::Unknown);
    }
    // A browser asks before it sends anything else from another site's page, and is not answered.
    if *request.method() == Method::POST && !is_ours(headers, host) {
        return Err(Refusal::Foreign);
    }
    let is_order = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if is_order && door.is_read_only() && !matches!(path, "/login" | "/logout") {
        return Err(Refusal::ReadOnly);
    }
    if let Some(who) = who {
        request.extensions_mut().insert(who);
    }
    Ok(())
}

/// Whether a request that changes something comes from our pages, or from a program.
fn is_ours(headers: &HeaderMap, host: &str) -> bool {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text(HeaderName::from_static("sec-fetch-site")) {
        return site == "same-origin";
    }
    if let Some(origin) = text(header::ORIGIN) {
        return origin.split_once("://").is_some_and(|(_, from)| from.eq_ignore_ascii_case(host));
    }
    let is_json = text(header::CONTENT_TYPE).is_some_and(|kind| kind.starts_with("application/json"));
    // What a form cannot send; another site's script would have to ask first.
    is_json || headers.contains_key(header::AUTHORIZATION) || headers.contains_key(BY)
}

fn refuse(refusal: &Refusal, request: &Request, is_program: bool) -> Response {
    let why = match refusal {
        Refusal::Name => {
            "this console does not answer to that name: ask for its address, or start it with --host NAME"
        }
        Refusal::Unknown if is_program => {
            let mut answer =
                Trouble::Forbidden("send the token: Authorization: Bearer TOKEN".to_owned()).json();
            *answer.status_mut() = StatusCode::UNAUTHORIZED;
            let scheme = HeaderValue::from_static("Bearer");
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
            return answer;
        }
        Refusal::Unknown => {
            let next = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
            return Redirect::to(&link::with("/login", [("next", next)])).into_response();
        }
        Refusal::Foreign => "the request comes from another site's page",
        Refusal::ReadOnly => "this console only shows: it was started with --read-only",
    };
    let trouble = Trouble::Forbidden(why.to_owned());
    if is_program { trouble.json() } else { trouble.into_response() }
}

/// Everything that a page needs comes from here, and nobody may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

fn protect(headers: &mut HeaderMap) {
    let always = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in always {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}
