//! Logging in with the token, and out.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Form, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use maud::html;
use serde::Deserialize;

use super::door::{COOKIE, Who, name};
use super::session::LIFE;
use crate::app::App;
use crate::error::Trouble;
use crate::page::{Frame, Section, document};

/// Where to go afterwards.
#[derive(Deserialize, Default)]
pub(crate) struct Next {
    #[serde(default)]
    next: String,
}

/// What was typed.
#[derive(Deserialize)]
pub(crate) struct Given {
    token: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    next: String,
}

/// A guess takes as long as this.
const PAUSE: Duration = Duration::from_millis(500);

/// The form.
pub(crate) async fn form(Query(next): Query<Next>) -> Html<String> {
    Html(page(&next.next, false))
}

/// Begins a session.
pub(crate) async fn log_in(
    State(app): State<Arc<App>>,
    Form(given): Form<Given>,
) -> Result<Response, Trouble> {
    if !app.door.is_token(&given.token) {
        tokio::time::sleep(PAUSE).await;
        return Ok((StatusCode::UNAUTHORIZED, Html(page(&given.next, true))).into_response());
    }
    let by = match name(&given.name) {
        by if by.is_empty() => "somebody".to_owned(),
        by => by,
    };
    let id = app.door.sessions.begin(by)?;
    let cookie = format!("{COOKIE}={id}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}", LIFE.as_secs());
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(safe(&given.next))).into_response())
}

/// The word of the form that logs out.
#[derive(Deserialize)]
pub(crate) struct Leave {
    csrf: String,
}

/// Ends a session.
pub(crate) async fn log_out(
    State(app): State<Arc<App>>,
    Extension(who): Extension<Who>,
    Form(leave): Form<Leave>,
) -> Result<Response, Trouble> {
    if !who.is_theirs(&leave.csrf) {
        return Err(Trouble::Forbidden("the form is not of this session".to_owned()));
    }
    app.door.sessions.end(&who.csrf);
    let cookie = format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/login")).into_response())
}

/// A page of ours, wherever somebody would like to send people.
fn safe(next: &str) -> &str {
    let is_path = next.starts_with('/') && !next.starts_with("//") && !next.contains(['\\', '\r', '\n']);
    if is_path { next } else { "/" }
}

fn page(next: &str, is_wrong: bool) -> String {
    let main = html! {
        form.panel.login action="/login" method="post" {
            h1 { "Log in" }
            @if is_wrong { p.bad role="alert" { "✕ That is not the token." } }
            input type="hidden" name="next" value=(next);
            label { "Token" input type="password" name="token" required autofocus autocomplete="current-password"; }
            label { "Your name, for the journal" input type="text" name="name" required maxlength="60" autocomplete="name"; }
            button type="submit" { "Log in" }
        }
    };
    document("Log in", Section::Nowhere, None, &Frame::default(), &main)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_another_site() {
        for bad in ["https://evil.example", "//evil.example", "/\\evil.example", "", "javascript:alert(1)"] {
            assert_eq!(safe(bad), "/", "{bad}");
        }
        assert_eq!(safe("/runs?status=parked"), "/runs?status=parked");
    }
}
