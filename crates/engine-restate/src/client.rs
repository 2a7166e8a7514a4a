//! Restate's own HTTP interfaces: the ingress, where runs are started and awaited, and the admin API.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use midwatch_workflow::{Payload, RunResult, Timestamp};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::listing::quoted;
use crate::translate::{self, Posted, RunInput};

/// Why the server did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// It was not reached, or hung up.
    #[error("Restate at {uri} was not reached: {why}")]
    Unreached {
        /// Where.
        uri: String,
        /// Why.
        why: String,
    },
    /// It refused.
    #[error("Restate answered {status} at {uri}: {text}")]
    Refused {
        /// Where.
        uri: String,
        /// The HTTP status.
        status: u16,
        /// What it said.
        text: String,
    },
    /// It answered something else than is known of it.
    #[error("Restate answered at {uri} what midwatch does not know: {text}")]
    Strange {
        /// Where.
        uri: String,
        /// What it said.
        text: String,
    },
}

/// A client of one Restate server.
#[derive(Clone)]
pub(crate) struct Client {
    http: Http<HttpConnector, Full<Bytes>>,
    ingress: String,
    admin: String,
}

/// A run as Restate addresses it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    pub(crate) service: String,
    pub(crate) key: String,
}

/// A run's end as the ingress gives it.
pub(crate) enum Attached {
    /// The run's own.
    Own(RunResult),
    /// The server's, in its words.
    Forced(RunResult),
}

/// A run that was handed to Restate.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Accepted {
    pub(crate) invocation_id: String,
    status: String,
}

impl Accepted {
    /// Whether this very call handed it over.
    pub(crate) fn is_new(&self) -> bool {
        self.status == "Accepted"
    }
}

/// An invocation as the server lists it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Invocation {
    /// Restate's id of it.
    pub id: String,
    /// What it does: `running`, `suspended`, `backing-off`, `paused`, `completed`, …
    pub status: String,
    /// How many times it was tried again since it last got on.
    #[serde(default)]
    pub retry_count: Option<u64>,
    /// Why it was tried again.
    #[serde(default)]
    pub last_failure: Option<String>,
    /// Where its code is.
    #[serde(default)]
    pub pinned_deployment_id: Option<String>,
}

impl Client {
    pub(crate) fn new(ingress: &str, admin: &str) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let trimmed = |uri: &str| uri.trim_end_matches('/').to_owned();
        Self {
            http: Http::builder(TokioExecutor::new()).build(connector),
            ingress: trimmed(ingress),
            admin: trimmed(admin),
        }
    }

    /// Tells the server where workflows are; the same address again replaces what was known of it.
    pub(crate) async fn register(&self, uri: &str) -> Result<(), ServerError> {
        let body = json!({ "uri": uri, "force": true });
        self.call(Method::POST, format!("{}/deployments", self.admin), Some(body.to_string().into())).await?;
        Ok(())
    }

    /// Hands a run over.
    pub(crate) async fn start(&self, to: &Address, input: &RunInput) -> Result<Accepted, ServerError> {
        let uri = format!("{}/{}/{}/run/send", self.ingress, to.service, escaped(&to.key));
        let answer = self.call(Method::POST, uri.clone(), Some(translate::encode(input))).await?;
        serde_json::from_slice(&answer).map_err(|_| strange(uri, &answer))
    }

    /// Waits for a run's end; `None` if there is no such run.
    pub(crate) async fn attach(&self, to: &Address) -> Result<Option<Attached>, ServerError> {
        #[derive(Deserialize)]
        struct Failed {
            #[serde(default)]
            code: Option<u16>,
            message: String,
            /// Who failed: the invocation, or the server itself.
            #[serde(default)]
            source: Option<String>,
        }
        let uri = format!("{}/restate/workflow/{}/{}/attach", self.ingress, to.service, escaped(&to.key));
        let (status, text) = self.ask(Method::GET, uri.clone(), None).await?;
        if status.is_success() {
            return Ok(Some(Attached::Own(translate::completed(&text))));
        }
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let failed: Failed =
            serde_json::from_slice(&text).map_err(|_| refusal(uri.clone(), status, &text))?;
        if failed.source.is_some_and(|source| source != "invocation") {
            return Err(refusal(uri, status, &text));
        }
        Ok(Some(match translate::own_failure(&failed.message) {
            Some(result) => Attached::Own(result),
            None => {
                Attached::Forced(translate::failed(failed.code.unwrap_or(status.as_u16()), &failed.message))
            }
        }))
    }

    /// The output of a run that has one.
    pub(crate) async fn output(&self, of: &Address) -> Result<Option<Payload>, ServerError> {
        Ok(match self.attach(of).await? {
            Some(Attached::Own(RunResult::Completed(output))) => Some(output),
            _ => None,
        })
    }

    /// Sends a message to a run.
    pub(crate) async fn post(&self, mailbox: &str, posted: &Posted) -> Result<(), ServerError> {
        let uri = format!("{}/{mailbox}/post", self.ingress);
        self.call(Method::POST, uri, Some(translate::encode(posted))).await?;
        Ok(())
    }

    /// What the server knows of a run.
    pub(crate) async fn invocation(&self, of: &Address) -> Result<Option<Invocation>, ServerError> {
        let query = format!(
            "SELECT id, status, retry_count, last_failure, pinned_deployment_id FROM sys_invocation \
             WHERE target_service_name = '{}' AND target_service_key = '{}' AND target_handler_name = 'run'",
            quoted(&of.service),
            quoted(&of.key)
        );
        Ok(self.rows(query).await?.into_iter().next())
    }

    /// Asks the server in SQL.
    pub(crate) async fn rows<T: DeserializeOwned>(&self, query: String) -> Result<Vec<T>, ServerError> {
        #[derive(Deserialize)]
        struct Rows<T> {
            rows: Vec<T>,
        }
        let uri = format!("{}/query", self.admin);
        let body = json!({ "query": query }).to_string();
        let answer = self.call(Method::POST, uri.clone(), Some(body.into())).await?;
        let rows: Rows<T> = serde_json::from_slice(&answer).map_err(|_| strange(uri, &answer))?;
        Ok(rows.rows)
    }

    async fn call(&self, method: Method, uri: String, body: Option<Bytes>) -> Result<Bytes, ServerError> {
        let (status, text) = self.ask(method, uri.clone(), body).await?;
        if status.is_success() { Ok(text) } else { Err(refusal(uri, status, &text)) }
    }

    async fn ask(
        &self,
        method: Method,
        uri: String,
        body: Option<Bytes>,
    ) -> Result<(StatusCode, Bytes), ServerError> {
        let unreached = |why: String| ServerError::Unreached { uri: uri.clone(), why };
        let mut request = Request::builder().method(method).uri(&uri).header("accept", "application/json");
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let request =
            request.body(Full::new(body.unwrap_or_default())).map_err(|e| unreached(e.to_string()))?;
        let response = self.http.request(request).await.map_err(|error| unreached(chain(&error)))?;
        let status = response.status();
        let text = response.into_body().collect().await.map_err(|error| unreached(error.to_string()))?;
        Ok((status, text.to_bytes()))
    }
}

/// How long a client that finds the server away waits until it asks again.
pub(crate) const AGAIN: Duration = Duration::from_millis(250);

/// What a letter's time is: that of its sender.
pub(crate) fn sent_at() -> Timestamp {
    translate::now()
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn refusal(uri: String, status: StatusCode, text: &[u8]) -> ServerError {
    ServerError::Refused { uri, status: status.as_u16(), text: String::from_utf8_lossy(text).into_owned() }
}

fn strange(uri: String, text: &[u8]) -> ServerError {
    ServerError::Strange { uri, text: String::from_utf8_lossy(text).into_owned() }
}

/// A key as a segment of a path.
fn escaped(key: &str) -> String {
    let mut escaped = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(byte))
            }
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn any_workflow_id_is_one_segment_of_a_path() {
        for (key, expected) in [("order-42", "order-42"), ("a/b c", "a%2Fb%20c"), ("ü?", "%C3%BC%3F")] {
            assert_eq!(escaped(key), expected);
        }
    }
}
