//! OTLP over gRPC.

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::http::{Access, BODY_BYTES_MAX, response, take};
use crate::ingest::Ingest;

struct Service {
    ingest: Ingest,
    access: Access,
}

impl Ingest {
    /// The service, as routes for a server that speaks HTTP/2: `opentelemetry.proto.collector.trace.v1.TraceService`.
    pub fn grpc(&self, access: Access) -> Routes {
        let service = TraceServiceServer::new(Service { ingest: self.clone(), access })
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(BODY_BYTES_MAX);
        Routes::new(service)
    }
}

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let said = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        if !self.access.allows(said) {
            return Err(Status::unauthenticated("send the key: authorization: Bearer …"));
        }
        // A sender makes the call again after this status.
        let outcome = take(self.ingest.clone(), request.into_inner()).await.map_err(Status::unavailable)?;
        Ok(Response::new(response(outcome)))
    }
}
