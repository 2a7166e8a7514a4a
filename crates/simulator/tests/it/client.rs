//! A client that keeps nothing from a test: statuses, headers, bodies, broken streams.

use std::time::Duration;

use midwatch_simulator::Simulator;
use serde_json::{Value, json};

pub(crate) const SETTLE: Duration = Duration::from_secs(10);

pub(crate) async fn plain() -> Simulator {
    Simulator::builder().seed(7).start().await.unwrap()
}

pub(crate) fn chat_body() -> Value {
    json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "What is a middle watch?"}]})
}

pub(crate) fn chat_stream_body() -> Value {
    let mut body = chat_body();
    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_usage": true});
    body
}

pub(crate) fn message_body() -> Value {
    json!({"model": "claude-sonnet-4-5", "max_tokens": 500,
        "messages": [{"role": "user", "content": "What is a middle watch?"}]})
}

pub(crate) fn message_stream_body() -> Value {
    let mut body = message_body();
    body["stream"] = json!(true);
    body
}

pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
}

pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// What came of a stream: all its data, and whether it broke off.
pub(crate) struct Streamed {
    pub(crate) data: Vec<Value>,
    pub(crate) done: bool,
    pub(crate) broke: bool,
}

impl Client {
    pub(crate) fn to(simulator: &Simulator) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().retry(reqwest::retry::never()).build().unwrap();
        Client { http, base: simulator.base_url() }
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> reqwest::RequestBuilder {
        self.http.post(format!("{}{path}", self.base)).json(body)
    }

    pub(crate) fn form(&self, path: &str, body: &'static str) -> reqwest::RequestBuilder {
        let request = self.http.post(format!("{}{path}", self.base));
        request.header("content-type", "application/x-www-form-urlencoded").body(body)
    }

    pub(crate) fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.get(format!("{}{path}", self.base))
    }

    pub(crate) fn delete(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.delete(format!("{}{path}", self.base))
    }

    pub(crate) async fn chat(&self) -> Got {
        got(self.post("/v1/chat/completions", &chat_body())).await
    }

    pub(crate) async fn message(&self) -> Got {
        got(self.post("/v1/messages", &message_body())).await
    }
}

pub(crate) async fn got(request: reqwest::RequestBuilder) -> Got {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.text().await.unwrap();
    Got { status, headers, body: serde_json::from_str(&body).unwrap_or(Value::Null) }
}

pub(crate) async fn streamed(request: reqwest::RequestBuilder) -> Streamed {
    let mut response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    let mut text = String::new();
    let broke = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => text.push_str(std::str::from_utf8(&chunk).unwrap()),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    let lines: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    let data = lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    Streamed { data, done: lines.last() == Some(&"[DONE]"), broke }
}
