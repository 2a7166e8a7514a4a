//! Protobuf in HTTP requests.
//!
//! <https://opentelemetry.io/docs/specs/otlp/#otlphttp>

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use prost::Message as _;
use reqwest::{Certificate, Client, Identity, redirect};

use super::{Response, SendError, chain, pem, unreached, unusable};
use crate::settings::{Compression, Otlp, SettingsError};

#[derive(Debug)]
pub(super) struct Http {
    client: Client,
    url: String,
    compression: Compression,
}

/// So much of what a collector says is kept.
const ANSWER_MAX: usize = 300;

impl Http {
    pub(super) fn new(otlp: &Otlp) -> Result<Self, SettingsError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &otlp.headers {
            let known = HeaderName::from_bytes(name.as_bytes()).map_err(|error| unusable(name, error))?;
            let mut value = HeaderValue::from_str(value).map_err(|error| unusable(name, error))?;
            value.set_sensitive(true);
            headers.insert(known, value);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let mut client = Client::builder()
            .retry(reqwest::retry::never())
            // A redirect would carry the headers, and with them a token, to wherever it points.
            .redirect(redirect::Policy::none())
            .default_headers(headers)
            .timeout(otlp.timeout)
            .user_agent(concat!("midwatch/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = &otlp.tls.authority {
            let found = Certificate::from_pem_bundle(&pem(path)?);
            let found = found.map_err(|error| unusable(&path.display().to_string(), chain(&error)))?;
            client = client.tls_certs_merge(found);
        }
        if let (Some(certificate), Some(key)) = (&otlp.tls.certificate, &otlp.tls.key) {
            let both = [pem(certificate)?, pem(key)?].concat();
            let identity = Identity::from_pem(&both);
            let name = certificate.display().to_string();
            client = client.identity(identity.map_err(|error| unusable(&name, chain(&error)))?);
        }
        let client = client.build().map_err(|error| unusable("TLS", chain(&error)))?;
        let url = reqwest::Url::parse(&otlp.endpoint).map_err(|error| unusable(&otlp.shown(), error))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(unusable(&otlp.shown(), "expected http:// or https://"));
        }
        Ok(Self { client, url: url.into(), compression: otlp.compression })
    }

    pub(super) async fn send(&self, request: Bytes) -> Result<Response, SendError> {
        let away = |why: String| SendError::Away { why, wait: None };
        let mut post = self.client.post(&self.url);
        let mut body = request;
        if self.compression == Compression::Gzip {
            let mut gzip = GzEncoder::new(Vec::with_capacity(body.len() / 4), flate2::Compression::fast());
            let packed = gzip.write_all(&body).and_then(|()| gzip.finish());
            body = packed.map_err(|error| away(error.to_string()))?.into();
            post = post.header(CONTENT_ENCODING, "gzip");
        }
        let sent = post.body(body).send().await;
        let response = sent.map_err(|error| away(unreached(&error.without_url())))?;
        let status = response.status();
        let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let wait = wait.map(Duration::from_secs);
        let answer = response.bytes().await.map_err(|error| away(chain(&error.without_url())))?;
        if status.is_success() {
            // Some answer with nothing or with JSON; what they took, they took.
            return Ok(Response::decode(answer).unwrap_or_default());
        }
        let said: String = String::from_utf8_lossy(&answer).chars().filter(|c| !c.is_control()).collect();
        let why = format!("{status}: {}", &said[..said.floor_char_boundary(ANSWER_MAX)]);
        match status.as_u16() {
            400 | 413 | 422 => Err(SendError::Refused { why }),
            _ => Err(SendError::Away { why, wait }),
        }
    }
}
