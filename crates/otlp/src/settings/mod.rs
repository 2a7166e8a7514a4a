//! Where traces and metrics go and how: by hand, or by the variables that all OpenTelemetry exporters know.

mod env;

use std::path::PathBuf;
use std::time::Duration;

/// A collector, and how to reach it.
#[derive(Clone)]
pub struct Otlp {
    pub(crate) signal: Signal,
    pub(crate) endpoint: String,
    pub(crate) protocol: Protocol,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) timeout: Duration,
    pub(crate) compression: Compression,
    pub(crate) tls: Tls,
    /// What is said of the sender, `service.name` first.
    pub(crate) resource: Vec<(String, String)>,
    pub(crate) is_off: bool,
    /// Whether spans of traces are sent that who began them does not have recorded.
    pub(crate) takes_unsampled: bool,
    /// How often metrics are sent.
    pub(crate) interval: Duration,
}

/// What is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// Spans, each once.
    Traces,
    /// Metrics, as they stand, again and again.
    Metrics,
}

impl Signal {
    /// Its part in the names of variables.
    fn variable(self) -> &'static str {
        match self {
            Signal::Traces => "TRACES",
            Signal::Metrics => "METRICS",
        }
    }

    fn http_path(self) -> &'static str {
        match self {
            Signal::Traces => "/v1/traces",
            Signal::Metrics => "/v1/metrics",
        }
    }

    pub(crate) fn grpc_path(self) -> &'static str {
        match self {
            Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        }
    }
}

/// How it travels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// Protobuf in HTTP requests.
    Http,
    /// gRPC.
    Grpc,
}

/// Whether what is sent is compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Compression {
    /// They are not.
    #[default]
    None,
    /// With gzip.
    Gzip,
}

/// Certificates in PEM files; without any, those that the system trusts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tls {
    pub(crate) authority: Option<PathBuf>,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
}

/// A setting that cannot be followed.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {why}")]
pub struct SettingsError {
    /// The variable, or what was called.
    pub name: String,
    /// What is wrong, and what to write.
    pub why: String,
}

const TIMEOUT: Duration = Duration::from_secs(10);
/// What OpenTelemetry's own readers of metrics do.
const INTERVAL: Duration = Duration::from_secs(60);

impl Otlp {
    /// Protobuf over HTTP, to this collector; `/v1/traces` is added unless the URL ends with it.
    pub fn http(url: impl Into<String>) -> Self {
        Self::http_of(Signal::Traces, &url.into())
    }

    /// gRPC, to this collector, e.g. `http://localhost:4317`.
    pub fn grpc(url: impl Into<String>) -> Self {
        Self::new(Signal::Traces, url.into(), Protocol::Grpc)
    }

    fn http_of(signal: Signal, url: &str) -> Self {
        let path = signal.http_path();
        let endpoint = match url.trim_end_matches('/') {
            url if url.ends_with(path) => url.to_owned(),
            url => format!("{url}{path}"),
        };
        Self::new(signal, endpoint, Protocol::Http)
    }

    fn new(signal: Signal, endpoint: String, protocol: Protocol) -> Self {
        Self {
            signal,
            endpoint,
            protocol,
            headers: Vec::new(),
            timeout: TIMEOUT,
            compression: Compression::None,
            tls: Tls::default(),
            resource: vec![("service.name".to_owned(), "midwatch".to_owned())],
            is_off: false,
            takes_unsampled: false,
            interval: INTERVAL,
        }
    }

    /// Sends a header along, such as one with a token.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into().to_ascii_lowercase(), value.into()));
        self
    }

    /// How long one request may take; 10 s by default.
    #[must_use]
    pub fn timeout(self, limit: Duration) -> Self {
        Self { timeout: limit, ..self }
    }

    /// Hands on runs as well that joined a trace which who began it does not have recorded: by default a follower leaves them
    /// out.
    #[must_use]
    pub fn unsampled_too(self) -> Self {
        Self { takes_unsampled: true, ..self }
    }

    /// Compresses what is sent, or not.
    #[must_use]
    pub fn compression(self, compression: Compression) -> Self {
        Self { compression, ..self }
    }

    /// Trusts the authority whose certificate is in this PEM file.
    #[must_use]
    pub fn authority(mut self, path: impl Into<PathBuf>) -> Self {
        self.tls.authority = Some(path.into());
        self
    }

    /// Shows this certificate, with its key; both PEM files.
    #[must_use]
    pub fn certificate(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        (self.tls.certificate, self.tls.key) = (Some(certificate.into()), Some(key.into()));
        self
    }

    /// What backends call the sender; `midwatch` by default.
    #[must_use]
    pub fn service(self, name: impl Into<String>) -> Self {
        self.resource("service.name", name)
    }

    /// Says something else of the sender, such as `deployment.environment.name`.
    #[must_use]
    pub fn resource(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        let (key, value) = (key.into(), value.into());
        match self.resource.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) => *known = value,
            None => self.resource.push((key, value)),
        }
        self
    }

    /// Where it sends to.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The same for people: without a name and a password, if the URL has them.
    pub fn shown(&self) -> String {
        let Some((scheme, rest)) = self.endpoint.split_once("://") else { return self.endpoint.clone() };
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        format!("{scheme}://{host}{path}")
    }

    /// How.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// How often metrics are sent; every minute by default.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Says something of the sender unless that was said already.
    #[must_use]
    pub fn resource_default(self, key: &str, value: impl Into<String>) -> Self {
        if self.resource.iter().any(|(known, _)| known == key) { self } else { self.resource(key, value) }
    }

    /// Whether the environment says that nothing is sent.
    pub fn is_off(&self) -> bool {
        self.is_off
    }
}

/// Headers hold tokens: they are not shown.
impl std::fmt::Debug for Otlp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Otlp")
            .field("endpoint", &self.shown())
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}
