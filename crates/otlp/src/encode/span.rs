//! A span: `opentelemetry.proto.trace.v1.Span`, by the numbers of its fields.

use midwatch_observe::trace::{Attributes, Happening, Link, Role, Span, State, Value};
use midwatch_workflow::Timestamp;
use opentelemetry_proto::tonic::trace::v1::SpanFlags;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use super::fields::Fields;

/// The trace flag of W3C: the trace is recorded.
const SAMPLED: u32 = 1;

pub(super) fn write(span: &Span, fields: &mut Fields<'_>) {
    let kind = match span.role {
        Role::Internal => SpanKind::Internal,
        Role::Client => SpanKind::Client,
    };
    fields.bytes(1, &span.trace);
    fields.bytes(2, &span.id.to_bytes());
    if let Some(parent) = span.parent {
        fields.bytes(4, &parent.to_bytes());
    }
    fields.text(5, &span.name);
    fields.varint(6, kind as u64);
    fields.fixed64(7, nanos(span.start));
    fields.fixed64(8, nanos(span.end));
    attributes(9, &span.attributes, fields);
    for happening in &span.happenings {
        fields.message(11, |fields| event(happening, fields));
    }
    for other in &span.links {
        fields.message(13, |fields| link(other, fields));
    }
    fields.message(15, |fields| status(&span.state, fields));
    let remote = if span.is_parent_elsewhere { SpanFlags::ContextIsRemoteMask as u32 } else { 0 };
    let sampled = if span.is_sampled { SAMPLED } else { 0 };
    fields.fixed32(16, sampled | SpanFlags::ContextHasIsRemoteMask as u32 | remote);
}

fn event(happening: &Happening, fields: &mut Fields<'_>) {
    fields.fixed64(1, nanos(happening.at));
    fields.text(2, &happening.name);
    attributes(3, &happening.attributes, fields);
}

fn link(link: &Link, fields: &mut Fields<'_>) {
    fields.bytes(1, &link.trace);
    fields.bytes(2, &link.span.to_bytes());
    attribute(4, "midwatch.link", &Value::from(link.why), fields);
    fields.fixed32(6, SAMPLED);
}

fn status(state: &State, fields: &mut Fields<'_>) {
    let code = match state {
        State::Open | State::Over => return,
        State::Ok => StatusCode::Ok,
        State::Failed(message) => {
            fields.text(2, message);
            StatusCode::Error
        }
    };
    fields.varint(3, code as u64);
}

fn attributes(tag: u32, attributes: &Attributes, fields: &mut Fields<'_>) {
    for (name, value) in attributes {
        attribute(tag, name, value, fields);
    }
}

/// `KeyValue`. The value is one of several, so that it is there even if it is empty or zero.
fn attribute(tag: u32, name: &str, value: &Value, fields: &mut Fields<'_>) {
    fields.message(tag, |fields| {
        fields.text(1, name);
        fields.message(2, |fields| match value {
            Value::Text(text) => fields.bytes(1, text.as_bytes()),
            Value::Bool(bit) => fields.varint(2, u64::from(*bit)),
            // Below zero it takes ten bytes, as the format has it.
            Value::Int(number) => fields.varint(3, number.cast_unsigned()),
            Value::Float(number) => fields.fixed64(4, number.to_bits()),
        });
    });
}

fn nanos(at: Timestamp) -> u64 {
    at.as_micros().saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    //! What is written by hand is what OpenTelemetry's own messages are written as, byte by byte.

    use midwatch_observe::corpus::incidents;
    use midwatch_observe::trace::Tracer;
    use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
    use opentelemetry_proto::tonic::trace::v1::span::{Event, Link as LinkMessage};
    use opentelemetry_proto::tonic::trace::v1::{Span as Message, Status};
    use prost::Message as _;

    use super::*;

    fn pair(name: &str, value: &Value) -> KeyValue {
        let value = match value.clone() {
            Value::Text(text) => Any::StringValue(text.into_owned()),
            Value::Int(number) => Any::IntValue(number),
            Value::Float(number) => Any::DoubleValue(number),
            Value::Bool(bit) => Any::BoolValue(bit),
        };
        KeyValue { key: name.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
    }

    fn pairs(attributes: &Attributes) -> Vec<KeyValue> {
        attributes.iter().map(|(name, value)| pair(name, value)).collect()
    }

    fn message(span: &Span) -> Message {
        let kind = if span.role == Role::Client { SpanKind::Client } else { SpanKind::Internal };
        let (code, message) = match &span.state {
            State::Open | State::Over => (StatusCode::Unset, ""),
            State::Ok => (StatusCode::Ok, ""),
            State::Failed(message) => (StatusCode::Error, message.as_str()),
        };
        let events = span.happenings.iter().map(|happening| Event {
            time_unix_nano: nanos(happening.at),
            name: happening.name.to_string(),
            attributes: pairs(&happening.attributes),
            ..Event::default()
        });
        let links = span.links.iter().map(|link| LinkMessage {
            trace_id: link.trace.to_vec(),
            span_id: link.span.to_bytes().to_vec(),
            attributes: vec![pair("midwatch.link", &Value::from(link.why))],
            flags: 1,
            ..LinkMessage::default()
        });
        Message {
            trace_id: span.trace.to_vec(),
            span_id: span.id.to_bytes().to_vec(),
            parent_span_id: span.parent.map(|parent| parent.to_bytes().to_vec()).unwrap_or_default(),
            flags: 0x100 | u32::from(span.is_sampled) | if span.is_parent_elsewhere { 0x200 } else { 0 },
            name: span.name.to_string(),
            kind: kind.into(),
            start_time_unix_nano: nanos(span.start),
            end_time_unix_nano: nanos(span.end),
            attributes: pairs(&span.attributes),
            events: events.collect(),
            links: links.collect(),
            status: Some(Status { code: code.into(), message: message.to_owned() }),
            ..Message::default()
        }
    }

    fn check(span: &Span) {
        let mut bytes = Vec::new();
        write(span, &mut Fields::new(&mut bytes));
        assert_eq!(bytes, message(span).encode_to_vec(), "{span:#?}");
    }

    #[test]
    fn a_span_is_written_as_its_message_is() {
        let told = incidents().into_iter().filter_map(|incident| Tracer::of(&incident.facts.events));
        let spans: Vec<Span> = told.flat_map(|(_, spans)| spans).collect();
        assert!(spans.iter().any(|span| !span.happenings.is_empty()));
        spans.iter().for_each(check);
        let some = spans.into_iter().find(|span| span.parent.is_some()).unwrap();
        // What the corpus need not have: every kind of value, long texts, a parent elsewhere, links.
        let long = "long, ".repeat(5_000);
        check(&Span {
            is_parent_elsewhere: true,
            is_sampled: false,
            name: long.clone().into(),
            state: State::Failed(long.clone()),
            attributes: vec![
                ("", Value::from("")),
                ("int", Value::Int(-1)),
                ("zero", Value::Int(0)),
                ("float", Value::Float(-0.5)),
                ("no", Value::Bool(false)),
                ("long", Value::from(long)),
            ],
            links: vec![Link { trace: some.trace, span: some.parent.unwrap(), why: "undoes" }],
            ..some
        });
    }
}
