//! gRPC.
//!
//! <https://opentelemetry.io/docs/specs/otlp/#otlpgrpc>

use bytes::{BufMut as _, Bytes};
use http::uri::PathAndQuery;
use prost::Message as _;
use tonic::client::Grpc as Client;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::{MetadataKey, MetadataMap, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Status};

use super::{Response, SendError, chain, pem, unreached, unusable};
use crate::settings::{Compression, Otlp, SettingsError};

#[derive(Debug)]
pub(super) struct Grpc {
    client: Client<Channel>,
    path: PathAndQuery,
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
        let mut client = Client::new(channel);
        if otlp.compression == Compression::Gzip {
            client = client.send_compressed(CompressionEncoding::Gzip);
        }
        Ok(Self { client, path: PathAndQuery::from_static(otlp.signal.grpc_path()), metadata })
    }

    pub(super) async fn send(&self, request: Bytes) -> Result<Response, SendError> {
        let mut request = Request::new(request);
        request.metadata_mut().clone_from(&self.metadata);
        match self.call(request).await {
            Ok(response) => Ok(response.into_inner()),
            Err(status) => {
                let why = format!("{:?}: {}", status.code(), unreached(&status));
                Err(match status.code() {
                    Code::InvalidArgument | Code::OutOfRange => SendError::Refused { why },
                    _ => SendError::Away { why, wait: None },
                })
            }
        }
    }

    async fn call(&self, request: Request<Bytes>) -> Result<tonic::Response<Response>, Status> {
        let mut client = self.client.clone();
        client.ready().await.map_err(|error| Status::from_error(error.into()))?;
        client.unary(request, self.path.clone(), Encoded).await
    }
}

/// Requests are encoded when they come here; answers are read as messages.
struct Encoded;

impl Codec for Encoded {
    type Encode = Bytes;
    type Decode = Response;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Encoded {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, request: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(request);
        Ok(())
    }
}

impl Decoder for Encoded {
    type Item = Response;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Response>, Status> {
        Response::decode(buffer).map(Some).map_err(|error| Status::internal(error.to_string()))
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
