//! Logs that say whose they are: a layer for `tracing` that writes a JSON object a line, with run, step, attempt and trace
//! at the top of whatever a step logs.
//!
//! ```
//! use tracing_subscriber::layer::SubscriberExt as _;
//!
//! let subscriber = tracing_subscriber::registry().with(midwatch::logs::json(std::io::stdout));
//! tracing::subscriber::with_default(subscriber, || tracing::info!(port = 8080, "ready"));
//! // {"level":"INFO","message":"ready","port":8080,"target":"…","timestamp":"…"}
//! ```
//!
//! What is logged in a step, in whatever code it calls, has `run`, `workflow`, `workflow_id`, `step`, `nth`, `attempt`,
//! `trace_id` and `span_id` besides: the ids under which the attempt stands in the exported trace. With another layer, such
//! as `tracing_subscriber::fmt`, the same stands in the span `attempt` around each line. A task that a step spawns is
//! outside of it, unless it is spawned with the span: `tokio::spawn(task.in_current_span())`.

use std::fmt;
use std::io::Write as _;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// Writes what is logged as JSON, a line each; made by [`json`].
#[derive(Debug)]
pub struct Json<W> {
    writer: W,
}

/// A layer that writes to, for example, `std::io::stdout`.
pub fn json<W: for<'w> MakeWriter<'w> + 'static>(writer: W) -> Json<W> {
    Json { writer }
}

/// The fields of a span, kept with it.
struct Fields(Map<String, Value>);

impl<S, W> Layer<S> for Json<W>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    W: for<'w> MakeWriter<'w> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, cx: Context<'_, S>) {
        let Some(span) = cx.span(id) else { return };
        let mut fields = Fields(Map::new());
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, cx: Context<'_, S>) {
        let Some(span) = cx.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, cx: Context<'_, S>) {
        let about = event.metadata();
        let mut line = Map::new();
        let mut now = String::new();
        if SystemTime.format_time(&mut Writer::new(&mut now)).is_ok() {
            line.insert("timestamp".to_owned(), now.into());
        }
        line.insert("level".to_owned(), about.level().as_str().into());
        line.insert("target".to_owned(), about.target().into());
        let mut fields = Fields(line);
        event.record(&mut fields);
        // The nearest word counts: what the event says itself, then the innermost span.
        for span in cx.event_scope(event).into_iter().flatten() {
            let extensions = span.extensions();
            for (name, value) in extensions.get::<Fields>().into_iter().flat_map(|fields| &fields.0) {
                fields.0.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
        let Ok(mut text) = serde_json::to_vec(&fields.0) else { return };
        text.push(b'\n');
        // Nobody can be told that a log cannot be written.
        let _ = self.writer.make_writer_for(about).write_all(&text);
    }
}

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}
