//! Handing a request to a collector, and what it makes of it.

mod grpc;
mod http;

use std::borrow::Cow;
use std::time::Duration;

use midwatch_observe::trace::Span;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest as Request, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

use crate::encode::{halved, requests, resource};
use crate::settings::{Otlp, Protocol, SettingsError};

/// Sends spans to one collector. Make and use it within a tokio runtime.
#[derive(Debug)]
pub struct Sender {
    way: Way,
    resource: Resource,
}

#[derive(Debug)]
enum Way {
    Http(http::Http),
    Grpc(Box<grpc::Grpc>),
}

/// Why a collector did not take spans.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// It may take them later: it cannot be reached, is overloaded, or does not let us in.
    #[error("{why}")]
    Away {
        /// What it or the network said.
        why: String,
        /// How long it asks to wait.
        wait: Option<Duration>,
    },
    /// It will never take these: it says that they are malformed or too large.
    #[error("{why}")]
    Refused {
        /// What it said.
        why: String,
    },
}

/// What a collector took.
pub(crate) struct Taken {
    /// So many spans it left out, for good.
    pub(crate) left_out: u64,
    /// And what it said of it.
    pub(crate) why: String,
}

impl Sender {
    /// Prepares sending; nothing is sent, and nobody need be there.
    ///
    /// # Errors
    /// [`SettingsError`], if the endpoint, a header or a certificate cannot be used.
    pub fn new(otlp: &Otlp) -> Result<Self, SettingsError> {
        // Who installed another provider before keeps it; that is what the error here says.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let way = match otlp.protocol {
            Protocol::Http => Way::Http(http::Http::new(otlp)?),
            Protocol::Grpc => Way::Grpc(Box::new(grpc::Grpc::new(otlp)?)),
        };
        Ok(Self { way, resource: resource(&otlp.resource) })
    }

    /// Puts spans into requests that a collector takes.
    pub(crate) fn requests(&self, spans: Vec<Span>) -> Vec<Request> {
        requests(spans, &self.resource)
    }

    /// Sends a request. What is refused as a whole is divided until it is known which spans are meant.
    pub(crate) async fn send(&self, request: &Request) -> Result<Taken, SendError> {
        let mut taken = Taken { left_out: 0, why: String::new() };
        let mut left: Vec<Cow<'_, Request>> = vec![Cow::Borrowed(request)];
        while let Some(request) = left.pop() {
            match self.send_once(&request).await {
                Ok(response) => {
                    if let Some(partly) = response.partial_success {
                        taken.left_out += u64::try_from(partly.rejected_spans).unwrap_or(0);
                        taken.why = partly.error_message;
                    }
                }
                Err(SendError::Refused { why }) => match halved(&request) {
                    Some([one, other]) => left.extend([Cow::Owned(other), Cow::Owned(one)]),
                    None => {
                        taken.left_out += 1;
                        taken.why = why;
                    }
                },
                Err(away) => return Err(away),
            }
        }
        Ok(taken)
    }

    async fn send_once(&self, request: &Request) -> Result<ExportTraceServiceResponse, SendError> {
        match &self.way {
            Way::Http(http) => http.send(request).await,
            Way::Grpc(grpc) => grpc.send(request.clone()).await,
        }
    }
}

fn unusable(what: &str, why: impl std::fmt::Display) -> SettingsError {
    SettingsError { name: what.to_owned(), why: why.to_string() }
}

/// Reads a PEM file.
fn pem(path: &std::path::Path) -> Result<Vec<u8>, SettingsError> {
    std::fs::read(path).map_err(|error| unusable(&path.display().to_string(), error))
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
