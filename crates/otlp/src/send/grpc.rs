//! gRPC.
//!
//! <https://opentelemetry.io/docs/specs/otlp/#otlpgrpc>

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tonic::codec::CompressionEncoding;
use tonic::metadata::{MetadataKey, MetadataMap, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request};

use super::{SendError, chain, pem, unusable};
use crate::settings::{Compression, Otlp, SettingsError};

#[derive(Debug)]
pub(super) struct Grpc {
    client: TraceServiceClient<Channel>,
    metadata: MetadataMap,
}

impl Grpc {
    pub(super) fn new(otlp: &Otlp) -> Result<Self, SettingsError> {
        let mut metadata = MetadataMap::new();
        for (name, value) in &otlp.headers {
            let key = MetadataKey::from_bytes(name.as_bytes()).map_err(|error| unusable(name, error))?;
            let mut value = MetadataValue::try_from(value).map_err(|error| unusable(name, error))?;
            value.set_sensitive(true);
            metadata.insert(key, value);
        }
        let endpoint = Endpoint::from_shared(otlp.endpoint.clone());
        let mut endpoint = endpoint.map_err(|error| unusable(&otlp.shown(), chain(&error)))?;
        match endpoint.uri().scheme_str() {
            Some("https") => {
                let tls = tls(otlp)?;
                endpoint = endpoint.tls_config(tls).map_err(|error| unusable("TLS", chain(&error)))?;
            }
            Some("http") => {}
            _ => return Err(unusable(&otlp.shown(), "expected http:// or https://")),
        }
        let channel = endpoint.timeout(otlp.timeout).connect_timeout(otlp.timeout).connect_lazy();
        let mut client = TraceServiceClient::new(channel);
        if otlp.compression == Compression::Gzip {
            client = client.send_compressed(CompressionEncoding::Gzip);
        }
        Ok(Self { client, metadata })
    }

    pub(super) async fn send(
        &self,
        request: ExportTraceServiceRequest,
    ) -> Result<ExportTraceServiceResponse, SendError> {
        let mut request = Request::new(request);
        request.metadata_mut().clone_from(&self.metadata);
        match self.client.clone().export(request).await {
            Ok(response) => Ok(response.into_inner()),
            Err(status) => {
                let why = format!("{:?}: {}", status.code(), chain(&status));
                Err(match status.code() {
                    Code::InvalidArgument | Code::OutOfRange => SendError::Refused { why },
                    _ => SendError::Away { why, wait: None },
                })
            }
        }
    }
}

fn tls(otlp: &Otlp) -> Result<ClientTlsConfig, SettingsError> {
    let mut tls = ClientTlsConfig::new().with_native_roots();
    if let Some(path) = &otlp.tls.authority {
        tls = tls.ca_certificate(Certificate::from_pem(pem(path)?));
    }
    if let (Some(certificate), Some(key)) = (&otlp.tls.certificate, &otlp.tls.key) {
        tls = tls.identity(Identity::from_pem(pem(certificate)?, pem(key)?));
    }
    Ok(tls)
}
