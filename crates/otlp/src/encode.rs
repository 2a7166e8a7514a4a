//! Spans in the messages of OTLP.

use std::borrow::Cow;

use midwatch_observe::trace::{Attributes, Role, Span, State, Value};
use midwatch_workflow::Timestamp;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest as Request;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as Message, SpanFlags, Status};
use prost::Message as _;

/// So many spans go in one request at most.
const SPANS_MAX: usize = 512;
/// And about so many bytes: collectors refuse messages over 4 MiB by default.
const BYTES_MAX: usize = 1 << 20;

/// Turns spans into requests, in pieces that a collector takes.
pub(crate) fn requests(spans: Vec<Span>, resource: &Resource) -> Vec<Request> {
    let mut requests = Vec::new();
    let (mut piece, mut bytes) = (Vec::new(), 0);
    for message in spans.into_iter().map(message) {
        let size = message.encoded_len();
        if !piece.is_empty() && (piece.len() == SPANS_MAX || bytes + size > BYTES_MAX) {
            requests.push(request(std::mem::take(&mut piece), resource));
            bytes = 0;
        }
        bytes += size;
        piece.push(message);
    }
    if !piece.is_empty() {
        requests.push(request(piece, resource));
    }
    requests
}

/// What is said of the sender.
pub(crate) fn resource(attributes: &[(String, String)]) -> Resource {
    let attributes = attributes.iter().map(|(key, value)| pair(key, Value::from(value.clone()))).collect();
    Resource { attributes, ..Resource::default() }
}

fn request(spans: Vec<Message>, resource: &Resource) -> Request {
    let scope = InstrumentationScope {
        name: "midwatch".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    Request {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource.clone()),
            scope_spans: vec![ScopeSpans { scope: Some(scope), spans, schema_url: String::new() }],
            schema_url: String::new(),
        }],
    }
}

/// The spans of a request that was made here.
pub(crate) fn spans_of(request: &Request) -> &[Message] {
    let scopes = request.resource_spans.first().map(|resource| &resource.scope_spans);
    scopes.and_then(|scopes| scopes.first()).map(|scope| &scope.spans[..]).unwrap_or_default()
}

/// Two requests with half of the spans each; `None` if there is but one.
pub(crate) fn halved(request: &Request) -> Option<[Request; 2]> {
    let spans = spans_of(request);
    let resource = request.resource_spans.first()?.resource.clone().unwrap_or_default();
    let (one, other) = spans.split_at(spans.len() / 2);
    let half = |spans: &[Message]| self::request(spans.to_vec(), &resource);
    (!one.is_empty()).then(|| [half(one), half(other)])
}

fn message(span: Span) -> Message {
    let kind = match span.role {
        Role::Internal => SpanKind::Internal,
        Role::Client => SpanKind::Client,
    };
    let (code, message) = match span.state {
        State::Open | State::Over => (StatusCode::Unset, String::new()),
        State::Ok => (StatusCode::Ok, String::new()),
        State::Failed(message) => (StatusCode::Error, message),
    };
    let happened = span.happenings.into_iter().map(|happening| Event {
        time_unix_nano: nanos(happening.at),
        name: happening.name.into_owned(),
        attributes: attributes(happening.attributes),
        dropped_attributes_count: 0,
    });
    let links = span.links.into_iter().map(|link| Link {
        trace_id: link.trace.to_vec(),
        span_id: link.span.to_bytes().to_vec(),
        attributes: vec![pair("midwatch.link", Value::from(link.why))],
        flags: SAMPLED,
        ..Link::default()
    });
    Message {
        trace_id: span.trace.to_vec(),
        span_id: span.id.to_bytes().to_vec(),
        parent_span_id: span.parent.map(|parent| parent.to_bytes().to_vec()).unwrap_or_default(),
        flags: SAMPLED
            | SpanFlags::ContextHasIsRemoteMask as u32
            | if span.is_parent_elsewhere { SpanFlags::ContextIsRemoteMask as u32 } else { 0 },
        name: span.name.into_owned(),
        kind: kind.into(),
        start_time_unix_nano: nanos(span.start),
        end_time_unix_nano: nanos(span.end),
        attributes: attributes(span.attributes),
        events: happened.collect(),
        links: links.collect(),
        status: Some(Status { code: code.into(), message }),
        ..Message::default()
    }
}

/// The trace flag of W3C: the trace is recorded.
const SAMPLED: u32 = 1;

fn attributes(attributes: Attributes) -> Vec<KeyValue> {
    attributes.into_iter().map(|(name, value)| pair(name, value)).collect()
}

fn pair(key: &str, value: Value) -> KeyValue {
    let value = match value {
        Value::Text(text) => Any::StringValue(Cow::into_owned(text)),
        Value::Int(number) => Any::IntValue(number),
        Value::Float(number) => Any::DoubleValue(number),
        Value::Bool(bit) => Any::BoolValue(bit),
    };
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn nanos(at: Timestamp) -> u64 {
    at.as_micros().saturating_mul(1_000)
}
