//! OTLP over HTTP: `POST /v1/traces`, protobuf or JSON, plain or gzip.

use std::io::Read as _;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use subtle::ConstantTimeEq as _;

use crate::ingest::{Ingest, Outcome, now};

/// The largest body that is taken, as it comes and unpacked.
pub(crate) const BODY_BYTES_MAX: usize = 16 << 20;
const UNPACKED_BYTES_MAX: u64 = 64 << 20;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// Who may send.
#[derive(Clone, Default)]
pub struct Access(Option<Arc<str>>);

impl Access {
    /// Whoever reaches the address.
    pub fn anybody() -> Self {
        Self(None)
    }

    /// Whoever sends `authorization: Bearer` with this key.
    pub fn key(key: impl Into<Arc<str>>) -> Self {
        Self(Some(key.into()))
    }

    /// Whether a request with this header may pass.
    pub(crate) fn allows(&self, authorization: Option<&str>) -> bool {
        let Some(key) = &self.0 else { return true };
        let said = authorization.and_then(|text| text.strip_prefix("Bearer ")).unwrap_or_default();
        said.as_bytes().ct_eq(key.as_bytes()).into()
    }
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Access(key)" } else { "Access(anybody)" })
    }
}

/// `google.rpc.Status`, as OTLP wants errors.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// gRPC's codes for what goes wrong here.
const INVALID_ARGUMENT: i32 = 3;
const UNAVAILABLE: i32 = 14;
const UNAUTHENTICATED: i32 = 16;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Protobuf,
    Json,
}

impl Ingest {
    /// The routes, to be served alone or merged with others: `POST /v1/traces`.
    pub fn router(&self, access: Access) -> Router {
        Router::new()
            .route("/v1/traces", post(traces))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .layer(from_fn_with_state(access, check))
            .with_state(self.clone())
    }
}

async fn check(State(access): State<Access>, request: Request, next: Next) -> Response {
    let said = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    if access.allows(said) {
        return next.run(request).await;
    }
    let form = form(request.headers()).unwrap_or(Form::Protobuf);
    let what = "send the key: authorization: Bearer …";
    problem(form, StatusCode::UNAUTHORIZED, UNAUTHENTICATED, what)
}

async fn traces(State(ingest): State<Ingest>, headers: HeaderMap, body: Bytes) -> Response {
    let Some(form) = form(&headers) else {
        let what = "send application/x-protobuf or application/json";
        return problem(Form::Json, StatusCode::UNSUPPORTED_MEDIA_TYPE, INVALID_ARGUMENT, what);
    };
    let request = match decode(form, &headers, body) {
        Ok(request) => request,
        Err(what) => return problem(form, StatusCode::BAD_REQUEST, INVALID_ARGUMENT, &what),
    };
    match take(ingest, request).await {
        Ok(outcome) => answer(form, StatusCode::OK, &response(outcome)),
        Err(what) => {
            // Whoever is asked to come again does; what was taken is known then.
            let mut response = problem(form, StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE, &what);
            response.headers_mut().insert(RETRY_AFTER, axum::http::HeaderValue::from_static("2"));
            response
        }
    }
}

/// Takes a request in, away from the tasks that wait for the network.
pub(crate) async fn take(ingest: Ingest, request: ExportTraceServiceRequest) -> Result<Outcome, String> {
    let taken = tokio::task::spawn_blocking(move || ingest.take(&request, now())).await;
    let error = match taken {
        Ok(Ok(outcome)) => return Ok(outcome),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the spans could not be taken: see the log".to_owned(),
    };
    tracing::error!(%error, "spans are refused for now");
    Err(error)
}

pub(crate) fn response(outcome: Outcome) -> ExportTraceServiceResponse {
    let partial = (outcome.rejected > 0).then(|| ExportTracePartialSuccess {
        rejected_spans: i64::try_from(outcome.rejected).unwrap_or(i64::MAX),
        error_message: outcome.message,
    });
    ExportTraceServiceResponse { partial_success: partial }
}

fn form(headers: &HeaderMap) -> Option<Form> {
    let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?.split(';').next()?.trim();
    match kind {
        PROTOBUF => Some(Form::Protobuf),
        JSON => Some(Form::Json),
        _ => None,
    }
}

fn decode(form: Form, headers: &HeaderMap, body: Bytes) -> Result<ExportTraceServiceRequest, String> {
    let body = match headers.get(CONTENT_ENCODING).map(|encoding| encoding.as_bytes()) {
        None | Some(b"identity") => body,
        Some(b"gzip") => unpack(&body)?,
        Some(_) => return Err("the body may be plain or gzip".to_owned()),
    };
    match form {
        Form::Protobuf => ExportTraceServiceRequest::decode(body)
            .map_err(|error| format!("the body is no ExportTraceServiceRequest: {error}")),
        Form::Json => serde_json::from_slice(&body)
            .map_err(|error| format!("the body is no ExportTraceServiceRequest in JSON: {error}")),
    }
}

fn unpack(body: &[u8]) -> Result<Bytes, String> {
    let mut plain = Vec::new();
    let read = flate2::read::MultiGzDecoder::new(body).take(UNPACKED_BYTES_MAX + 1).read_to_end(&mut plain);
    read.map_err(|error| format!("the body is no gzip: {error}"))?;
    if plain.len() as u64 > UNPACKED_BYTES_MAX {
        return Err(format!("the unpacked body is over the limit of {UNPACKED_BYTES_MAX} bytes"));
    }
    Ok(plain.into())
}

fn answer(form: Form, status: StatusCode, response: &ExportTraceServiceResponse) -> Response {
    match form {
        Form::Protobuf => (status, [(CONTENT_TYPE, PROTOBUF)], response.encode_to_vec()).into_response(),
        Form::Json => {
            let json = serde_json::to_vec(response).unwrap_or_default();
            (status, [(CONTENT_TYPE, JSON)], json).into_response()
        }
    }
}

fn problem(form: Form, status: StatusCode, code: i32, what: &str) -> Response {
    let told = Status { code, message: what.to_owned() };
    match form {
        Form::Protobuf => (status, [(CONTENT_TYPE, PROTOBUF)], told.encode_to_vec()).into_response(),
        Form::Json => {
            let json = serde_json::json!({"code": code, "message": what}).to_string();
            (status, [(CONTENT_TYPE, JSON)], json).into_response()
        }
    }
}
