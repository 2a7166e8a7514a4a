//! A span, in no exporter's shape.

use std::borrow::Cow;

use midwatch_workflow::{RunId, SpanId, Timestamp};
use serde::ser::{SerializeMap, SerializeStruct};
use serde::{Serialize, Serializer};

/// A stretch of time in a run.
#[derive(Clone, PartialEq, Debug)]
pub struct Span {
    /// The run.
    pub run: RunId,
    /// The trace.
    pub trace: [u8; 16],
    /// Whether who began the trace has it recorded.
    pub is_sampled: bool,
    /// The span's own id.
    pub id: SpanId,
    /// The span that it is part of.
    pub parent: Option<SpanId>,
    /// Whether that one is of another run, or of whoever started this one.
    pub is_parent_elsewhere: bool,
    /// What it is.
    pub kind: Kind,
    /// Whether somebody else was called.
    pub role: Role,
    /// What it is called; one of few for a workflow, as backends group by it.
    pub name: Cow<'static, str>,
    /// When it began.
    pub start: Timestamp,
    /// When it was over; of an open one, until when it is known to last.
    pub end: Timestamp,
    /// How it ended.
    pub state: State,
    /// What else is known.
    pub attributes: Attributes,
    /// What happened meanwhile.
    pub happenings: Vec<Happening>,
    /// Spans that it has to do with.
    pub links: Vec<Link>,
    /// The event that ended it; 0 while it is open.
    pub event: u64,
}

/// Names and values.
pub type Attributes = Vec<(&'static str, Value)>;

/// What a span is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A run, or what became of it after it was rewound.
    Run,
    /// The mark that a run began: it leaves at once, so that an open run is seen.
    Started,
    /// A use of a step, with all its attempts.
    Step,
    /// An attempt.
    Attempt,
    /// An attempt that was held back, by its queue, a gate, a pause.
    Held,
    /// The wait before a step is tried again.
    RetryWait,
    /// A sleep.
    Sleep,
    /// A wait for a signal.
    Signal,
    /// A wait for a person.
    Parked,
    /// A child run.
    Child,
    /// An operator held the run.
    Paused,
}

impl Kind {
    /// The word for it in attributes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Run => "run",
            Kind::Started => "started",
            Kind::Step => "step",
            Kind::Attempt => "attempt",
            Kind::Held => "held",
            Kind::RetryWait => "retry_wait",
            Kind::Sleep => "sleep",
            Kind::Signal => "signal",
            Kind::Parked => "parked",
            Kind::Child => "child",
            Kind::Paused => "paused",
        }
    }
}

/// Whether somebody else was called.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Nobody was.
    Internal,
    /// An outside party was.
    Client,
}

/// How a span ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum State {
    /// It goes on.
    Open,
    /// It is over, and neither succeeded nor failed: a wait, something that is no longer wanted.
    Over,
    /// It succeeded.
    Ok,
    /// It failed; in words.
    Failed(String),
}

/// Something without duration.
#[derive(Clone, PartialEq, Debug)]
pub struct Happening {
    /// When.
    pub at: Timestamp,
    /// What.
    pub name: Cow<'static, str>,
    /// What else is known.
    pub attributes: Attributes,
}

/// Another span that this one has to do with.
#[derive(Clone, PartialEq, Debug)]
pub struct Link {
    /// Its trace.
    pub trace: [u8; 16],
    /// The span.
    pub span: SpanId,
    /// In what way.
    pub why: &'static str,
}

/// The value of an attribute.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// A text.
    Text(Cow<'static, str>),
    /// A whole number.
    Int(i64),
    /// A fraction.
    Float(f64),
    /// Yes or no.
    Bool(bool),
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Value::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(Cow::Owned(text))
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Value::Int(i64::from(number))
    }
}

impl Span {
    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        self.attributes.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Text(text) => serializer.serialize_str(text),
            Value::Int(number) => serializer.serialize_i64(*number),
            Value::Float(number) => serializer.serialize_f64(*number),
            Value::Bool(bit) => serializer.serialize_bool(*bit),
        }
    }
}

struct Map<'a>(&'a Attributes);

impl Serialize for Map<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Serialize for Happening {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Happening", 3)?;
        fields.serialize_field("at", &self.at)?;
        fields.serialize_field("name", &self.name)?;
        fields.serialize_field("attributes", &Map(&self.attributes))?;
        fields.end()
    }
}

impl Serialize for Link {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Link", 3)?;
        fields.serialize_field("trace_id", &hex(&self.trace))?;
        fields.serialize_field("span_id", &self.span)?;
        fields.serialize_field("why", self.why)?;
        fields.end()
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (state, message) = match &self.state {
            State::Open => ("open", None),
            State::Over => ("over", None),
            State::Ok => ("ok", None),
            State::Failed(message) => ("failed", Some(message)),
        };
        let mut fields = serializer.serialize_struct("Span", 15)?;
        fields.serialize_field("trace_id", &hex(&self.trace))?;
        fields.serialize_field("span_id", &self.id)?;
        fields.serialize_field("parent_id", &self.parent)?;
        fields.serialize_field("run", &self.run)?;
        fields.serialize_field("kind", &self.kind)?;
        fields.serialize_field("role", &self.role)?;
        fields.serialize_field("name", &self.name)?;
        fields.serialize_field("start_us", &self.start)?;
        fields.serialize_field("end_us", &self.end)?;
        fields.serialize_field("state", state)?;
        fields.serialize_field("message", &message)?;
        fields.serialize_field("event", &self.event)?;
        fields.serialize_field("attributes", &Map(&self.attributes))?;
        fields.serialize_field("happenings", &self.happenings)?;
        fields.serialize_field("links", &self.links)?;
        fields.end()
    }
}

/// A trace id in hex.
fn hex(trace: &[u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(*trace))
}
