//! Handing requests to a collector, and what it makes of them.

mod grpc;
mod http;

use bytes::Bytes;
use midwatch_observe::trace::Span;
// An answer about metrics has the same form.
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse as Response;

use std::time::Duration;

use crate::encode::{Envelope, Piece, spans};
use crate::settings::{Otlp, Protocol, SettingsError};

/// Sends spans to one collector. Make and use it within a tokio runtime.
#[derive(Debug)]
pub struct Sender {
    transport: Transport,
}

impl Sender {
    /// Prepares sending; nothing is sent, and nobody need be there.
    ///
    /// # Errors
    /// [`SettingsError`], if the endpoint, a header or a certificate cannot be used.
    pub fn new(otlp: &Otlp) -> Result<Self, SettingsError> {
        Ok(Self { transport: Transport::new(otlp)? })
    }

    /// Puts spans into pieces that a collector takes.
    pub(crate) fn pieces(&self, all: &[Span]) -> Vec<Piece> {
        spans(all)
    }

    /// See [`Transport::send`].
    pub(crate) async fn send(&self, piece: &Piece) -> Result<Taken, SendError> {
        self.transport.send(piece).await
    }
}

/// The way to one collector, for whatever the settings are about.
#[derive(Debug)]
pub(crate) struct Transport {
    way: Way,
    envelope: Envelope,
}

#[derive(Debug)]
enum Way {
    Http(http::Http),
    Grpc(Box<grpc::Grpc>),
}

/// Why a collector did not take what was sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// It may take it later: it cannot be reached, is overloaded, or does not let us in.
    #[error("{why}")]
    Away {
        /// What it or the network said.
        why: String,
        /// How long it asks to wait.
        wait: Option<Duration>,
    },
    /// It will never take it: it says that it is malformed or too large.
    #[error("{why}")]
    Refused {
        /// What it said.
        why: String,
    },
}

/// What a collector took.
#[derive(Default)]
pub(crate) struct Taken {
    /// So much it left out, for good.
    pub(crate) left_out: u64,
    /// And what it said of it.
    pub(crate) why: String,
}

impl Transport {
    pub(crate) fn new(otlp: &Otlp) -> Result<Self, SettingsError> {
        // Who installed another provider before keeps it; that is what the error here says.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let way = match otlp.protocol {
            Protocol::Http => Way::Http(http::Http::new(otlp)?),
            Protocol::Grpc => Way::Grpc(Box::new(grpc::Grpc::new(otlp)?)),
        };
        Ok(Self { way, envelope: Envelope::new(&otlp.resource) })
    }

    /// Sends a piece. What is refused as a whole is divided until it is known which items are meant.
    pub(crate) async fn send(&self, piece: &Piece) -> Result<Taken, SendError> {
        let mut taken = Taken::default();
        let mut left: Vec<_> = std::iter::once(0..piece.len()).collect();
        while let Some(range) = left.pop() {
            let request = self.envelope.request(piece, range.clone()).into();
            match self.send_once(request).await {
                Ok(response) => {
                    if let Some(partly) = response.partial_success {
                        taken.left_out += u64::try_from(partly.rejected_spans).unwrap_or(0);
                        taken.why = partly.error_message;
                    }
                }
                Err(SendError::Refused { why }) if range.len() <= 1 => {
                    taken.left_out += 1;
                    taken.why = why;
                }
                Err(SendError::Refused { .. }) => {
                    let middle = range.start + range.len() / 2;
                    left.extend([middle..range.end, range.start..middle]);
                }
                Err(away) => return Err(away),
            }
        }
        Ok(taken)
    }

    async fn send_once(&self, request: Bytes) -> Result<Response, SendError> {
        match &self.way {
            Way::Http(http) => http.send(request).await,
            Way::Grpc(grpc) => grpc.send(request).await,
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

/// Why a collector could not be reached, with what to do if it is not trusted.
fn unreached(error: &(dyn std::error::Error + 'static)) -> String {
    let text = chain(error);
    if is_untrusted(error) {
        format!(
            "{text}: name the authority's PEM file in OTEL_EXPORTER_OTLP_CERTIFICATE if it is one of your own"
        )
    } else {
        text
    }
}

/// Whether it is that nobody who is trusted stands for the collector's certificate.
fn is_untrusted(error: &(dyn std::error::Error + 'static)) -> bool {
    let untrusted = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
    let mut cause = Some(error);
    while let Some(error) = cause {
        // An I/O error holds another one that it does not name as its cause.
        let held = error.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref());
        if held.is_some_and(|held| is_untrusted(held)) || error.downcast_ref() == Some(&untrusted) {
            return true;
        }
        cause = error.source();
    }
    false
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
