//! The collector that is meant: what was said on the command line, and for the rest the environment.

use clap::ValueEnum;
use midwatch_otlp::{Otlp, SettingsError, Signal};

/// How traces and metrics travel.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// Protobuf in HTTP requests
    Http,
    /// gRPC
    Grpc,
}

/// Where they go. A URL goes before every variable for an endpoint; without one it is empty.
pub(crate) fn collector(
    signal: Signal,
    url: &str,
    protocol: Option<Protocol>,
) -> Result<Otlp, SettingsError> {
    let own = match signal {
        Signal::Traces => "OTEL_EXPORTER_OTLP_TRACES_",
        Signal::Metrics => "OTEL_EXPORTER_OTLP_METRICS_",
    };
    Otlp::of(signal, |name| match (name.strip_prefix(own), name, protocol) {
        (Some("ENDPOINT"), _, _) if !url.is_empty() => None,
        (_, "OTEL_EXPORTER_OTLP_ENDPOINT", _) if !url.is_empty() => Some(url.to_owned()),
        (Some("PROTOCOL"), _, Some(Protocol::Http)) => Some("http/protobuf".to_owned()),
        (Some("PROTOCOL"), _, Some(Protocol::Grpc)) => Some("grpc".to_owned()),
        _ => std::env::var(name).ok(),
    })
}
