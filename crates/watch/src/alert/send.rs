//! Sending: one notification to one receiver, within its time, with a few tries.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use midwatch_observe::alert::Notification;
use midwatch_workflow::Timestamp;
use reqwest::{Client, StatusCode, redirect};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use super::payload;
use super::receiver::{Receiver, Route, Secret};

/// So often it is tried, with so long a pause after the first and four times as long after each other.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);
/// So much of what a receiver says about its refusal is repeated.
const SAID_MAX: usize = 200;

/// Why a receiver did not take it. Holds no address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Trouble {
    pub(super) why: String,
    /// Whether trying again soon may help.
    pub(super) is_passing: bool,
}

/// A client that follows no redirect, for an address may be a secret.
pub(crate) fn client() -> Result<Client, String> {
    // Who installed another provider before keeps it; that is what the error here says.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .retry(reqwest::retry::never())
        .redirect(redirect::Policy::none())
        .user_agent(concat!("midwatch/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| format!("no HTTP client: {error}"))
}

/// Sends a notification, and says what was answered.
pub(super) async fn deliver(
    client: &Client,
    receiver: &Receiver,
    notification: &Notification,
    journal: &Path,
    now: Timestamp,
) -> Result<String, Trouble> {
    let mut pause = PAUSE;
    for _ in 1..TRIES {
        match once(client, receiver, notification, journal, now).await {
            Err(trouble) if trouble.is_passing => {}
            other => return other,
        }
        tokio::time::sleep(pause).await;
        pause *= 4;
    }
    once(client, receiver, notification, journal, now).await
}

/// Tries it once.
pub(super) async fn once(
    client: &Client,
    receiver: &Receiver,
    notification: &Notification,
    journal: &Path,
    now: Timestamp,
) -> Result<String, Trouble> {
    let timeout = receiver.timeout;
    match &receiver.route {
        Route::Webhook(address) => {
            post(client, address, "", &payload::plain(notification, journal, now), timeout).await
        }
        Route::Slack(address) => post(client, address, "", &payload::slack(notification), timeout).await,
        Route::Alertmanager(address) => {
            let alerts = payload::alertmanager(notification, journal, now);
            post(client, address, "/api/v2/alerts", &alerts, timeout).await
        }
        Route::Command(command) => run(command, &payload::plain(notification, journal, now), timeout).await,
    }
}

async fn post(
    client: &Client,
    address: &Secret,
    path: &str,
    body: &Value,
    timeout: Duration,
) -> Result<String, Trouble> {
    let lasting = |why: String| Trouble { why, is_passing: false };
    let mut url = address.read().map_err(lasting)?;
    if !path.is_empty() && !url.path().ends_with(path) {
        url.set_path(&format!("{}{path}", url.path().trim_end_matches('/')));
    }
    let sent = client.post(url).timeout(timeout).json(body).send().await;
    let answer = sent.map_err(|error| Trouble { why: describe(&error.without_url()), is_passing: true })?;
    let status = answer.status();
    if status.is_success() {
        return Ok(format!("HTTP {}", status.as_u16()));
    }
    let said = answer.text().await.unwrap_or_default();
    let said = said.trim();
    let said = &said[..said.floor_char_boundary(SAID_MAX)];
    let why = format!("HTTP {} {said}", status.as_u16()).trim_end().to_owned();
    let is_passing = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
    Err(Trouble { why, is_passing })
}

/// An error with its causes, without the address.
fn describe(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

async fn run(command: &[String], body: &Value, timeout: Duration) -> Result<String, Trouble> {
    let lasting = |why: String| Trouble { why, is_passing: false };
    let [program, arguments @ ..] = command else { return Err(lasting("no command".to_owned())) };
    let started = tokio::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let mut child = started.map_err(|error| lasting(format!("{program} does not start: {error}")))?;
    let stdin = child.stdin.take();
    let body = body.to_string();
    let work = async {
        if let Some(mut stdin) = stdin {
            // A program that does not read its input is no failure; its exit code says whether it took it.
            let _ = stdin.write_all(body.as_bytes()).await;
        }
        child.wait().await
    };
    match tokio::time::timeout(timeout, work).await {
        Ok(Ok(status)) if status.success() => Ok(status.to_string()),
        Ok(Ok(status)) => Err(Trouble { why: format!("{program} ended with {status}"), is_passing: true }),
        Ok(Err(error)) => Err(lasting(format!("{program}: {error}"))),
        Err(_) => Err(Trouble { why: format!("{program} did not end in time"), is_passing: true }),
    }
}
