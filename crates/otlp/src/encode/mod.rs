//! Spans and metrics as OTLP has them on the wire, in pieces that a collector takes.
//!
//! A request for spans and one for metrics have one shape, down to the numbers of their fields: who sends, the scope, and in
//! it the items. So an item is encoded once, and a request is put together around as many of them as go together.

mod fields;
mod metric;
mod span;

use std::ops::Range;

use midwatch_observe::trace::Span;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;

use self::fields::{Fields, head};
pub use self::metric::Reading;
pub(crate) use self::metric::metrics;

/// So many items go in one request at most.
const ITEMS_MAX: usize = 512;
/// And about so many bytes: collectors refuse messages over 4 MiB by default.
const BYTES_MAX: usize = 1 << 20;
/// What a span usually takes.
const BYTES_USUAL: usize = 400;

/// `resource_spans` and `resource_metrics` of a request.
const RESOURCE_PART: u32 = 1;
/// `resource` in that.
const RESOURCE: u32 = 1;
/// `scope_spans` and `scope_metrics`.
const SCOPE_PART: u32 = 2;
/// `scope` in that.
const SCOPE: u32 = 1;
/// `spans` and `metrics`.
const ITEM: u32 = 2;

/// Items as they stand in a request, one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Piece {
    bytes: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
}

impl Piece {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    fn is_full(&self) -> bool {
        self.ends.len() >= ITEMS_MAX || self.bytes.len() >= BYTES_MAX
    }

    fn add(&mut self, write: impl FnOnce(&mut Fields<'_>)) {
        Fields::new(&mut self.bytes).message(ITEM, write);
        self.ends.push(self.bytes.len());
    }

    fn items(&self, range: Range<usize>) -> &[u8] {
        let end_of = |count: usize| count.checked_sub(1).map_or(0, |last| self.ends[last]);
        &self.bytes[end_of(range.start)..end_of(range.end)]
    }
}

/// Encodes spans.
pub(crate) fn spans(spans: &[Span]) -> Vec<Piece> {
    pieces(spans, span::write)
}

fn pieces<T>(items: &[T], write: impl Fn(&T, &mut Fields<'_>)) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for (nth, item) in items.iter().enumerate() {
        if pieces.last().is_none_or(Piece::is_full) {
            let expected = (items.len() - nth).min(ITEMS_MAX);
            let bytes = Vec::with_capacity((expected * BYTES_USUAL).min(BYTES_MAX));
            pieces.push(Piece { bytes, ends: Vec::with_capacity(expected) });
        }
        if let Some(piece) = pieces.last_mut() {
            piece.add(|fields| write(item, fields));
        }
    }
    pieces
}

/// Who sends, as every request says.
#[derive(Debug)]
pub(crate) struct Envelope {
    resource: Vec<u8>,
    scope: Vec<u8>,
}

impl Envelope {
    pub(crate) fn new(attributes: &[(String, String)]) -> Self {
        let attributes = attributes.iter().map(|(key, value)| text(key, value));
        let resource = Resource { attributes: attributes.collect(), ..Resource::default() };
        let scope = InstrumentationScope {
            name: "midwatch".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        let field = |tag, message: Vec<u8>| {
            let mut bytes = Vec::new();
            Fields::new(&mut bytes).bytes(tag, &message);
            bytes
        };
        Self {
            resource: field(RESOURCE, resource.encode_to_vec()),
            scope: field(SCOPE, scope.encode_to_vec()),
        }
    }

    /// The request with these items of a piece.
    pub(crate) fn request(&self, piece: &Piece, range: Range<usize>) -> Vec<u8> {
        let items = piece.items(range);
        let inner = self.scope.len() + items.len();
        let inner_head = head(SCOPE_PART, inner);
        let outer = self.resource.len() + inner_head.len() + inner;
        let outer_head = head(RESOURCE_PART, outer);
        [&outer_head[..], &self.resource, &inner_head, &self.scope, items].concat()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(Any::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

#[cfg(test)]
mod tests {
    use midwatch_observe::corpus::incidents;
    use midwatch_observe::trace::Tracer;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest as Request;
    use opentelemetry_proto::tonic::trace::v1::Span as Message;

    use super::*;

    fn some() -> Vec<Span> {
        let told = incidents().into_iter().filter_map(|incident| Tracer::of(&incident.facts.events));
        told.flat_map(|(_, spans)| spans).collect()
    }

    fn read(request: &[u8]) -> Vec<Message> {
        let request = Request::decode(request).unwrap();
        let [resource] = &request.resource_spans[..] else { panic!("{request:#?}") };
        let named = &resource.resource.as_ref().unwrap().attributes[0];
        assert_eq!(named, &text("service.name", "agents"));
        let [scope] = &resource.scope_spans[..] else { panic!("{request:#?}") };
        assert_eq!(scope.scope.as_ref().unwrap().name, "midwatch");
        scope.spans.clone()
    }

    #[test]
    fn requests_hold_every_span_once_whole_or_divided() {
        let (all, envelope) = (some(), Envelope::new(&[("service.name".into(), "agents".into())]));
        assert!(all.len() > 2 * ITEMS_MAX, "{}", all.len());
        let pieces = spans(&all);
        assert!(pieces.iter().all(|piece| piece.len() <= ITEMS_MAX));
        let mut names = Vec::new();
        for piece in &pieces {
            let whole = read(&envelope.request(piece, 0..piece.len()));
            let half = piece.len() / 2;
            let mut halves = read(&envelope.request(piece, 0..half));
            halves.extend(read(&envelope.request(piece, half..piece.len())));
            assert_eq!(whole, halves);
            names.extend(whole.into_iter().map(|span| span.name));
        }
        let expected: Vec<&str> = all.iter().map(|span| span.name.as_ref()).collect();
        assert_eq!(names, expected);
    }
}
