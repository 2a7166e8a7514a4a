//! Spans of what the fold knows: names, attributes, states.

mod run;
mod step;
mod wait;

use std::borrow::Cow;

use midwatch_workflow::{Class, Failure, Name, SpanId, SpanOf, Timestamp};

use super::fold::Tracer;
use super::open::{Open, OpenStep, Over};
use super::semconv as name;
use super::span::{Attributes, Happening, Kind, Role, Span, State, Value};

/// The longest text in an attribute, in bytes.
const TEXT_MAX: usize = 1_024;

impl Tracer {
    /// The spans that are not over at `now`, the run's own last. They have ids of their own kind already, but will be
    /// given again when they are over.
    pub fn open(&self, now: Timestamp) -> Vec<Span> {
        if self.is_ended() {
            return Vec::new();
        }
        let mut spans = self.rest(now, Over::Done);
        spans.push(self.run_span(now, None));
        for span in &mut spans {
            (span.state, span.event) = (State::Open, 0);
        }
        spans
    }

    /// What is still open, as if it were over at `at`.
    pub(in crate::trace) fn rest(&self, at: Timestamp, over: Over) -> Vec<Span> {
        let mut spans = Vec::new();
        for (op, open) in &self.ops {
            match open {
                Open::Attempt(attempt) if attempt.started.is_some() => {
                    spans.push(self.attempt_span(attempt, at, None));
                }
                Open::Attempt(attempt) => spans.push(self.held_span(*op, attempt, at, None)),
                Open::Child { .. } => spans.extend(self.child_span(open, at, None)),
                open => spans.extend(self.wait_span(*op, open, at, over)),
            }
        }
        let mut steps: Vec<_> = self.steps.iter().collect();
        steps.sort_by_key(|(id, step)| (step.began, **id));
        let end = |step: &OpenStep| if over == Over::Abandoned { step.last } else { at };
        let settled = |step: &OpenStep| if step.failure.is_some() { Over::Done } else { over };
        spans.extend(steps.into_iter().map(|(id, step)| self.step_span(*id, step, end(step), settled(step))));
        spans.extend(self.pause.iter().map(|pause| self.pause_span(pause, at, None)));
        spans.extend(self.halt.iter().map(|halt| self.halt_span(halt, at, None)));
        spans
    }

    /// The span that the run's parts stand below.
    fn top(&self) -> SpanId {
        self.id(SpanOf::Run)
    }

    fn span(&self, kind: Kind, of: SpanOf<'_>, name: impl Into<Cow<'static, str>>) -> Span {
        Span {
            run: self.start.run,
            trace: self.trace,
            is_sampled: self.is_sampled,
            id: self.id(of),
            parent: Some(self.top()),
            is_parent_elsewhere: false,
            kind,
            role: Role::Internal,
            name: name.into(),
            start: self.since,
            end: self.since,
            state: State::Over,
            attributes: vec![(name::KIND, kind.as_str().into())],
            happenings: Vec::new(),
            links: Vec::new(),
            event: self.number,
        }
    }

    /// Sets when it began and ended. What began before a rewind, or before a fork, begins with that here.
    fn over(&self, mut span: Span, start: Timestamp, end: Timestamp) -> Span {
        span.start = start.max(self.since);
        span.end = end.max(span.start);
        span
    }
}

/// Adds a failure to a span whose end is set: as a state, and as the exception that error tracking looks for. A cancellation is nobody's error.
fn fail(span: &mut Span, failure: &Failure) {
    span.attributes.push((name::ERROR_TYPE, failure.class.as_str().into()));
    if let Some(status) = failure.status {
        span.attributes.push((name::HTTP_STATUS, u32::from(status).into()));
    }
    if failure.ambiguous {
        span.attributes.push((name::AMBIGUOUS, Value::Bool(true)));
    }
    if let Some(wait) = failure.retry_after {
        let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        span.attributes.push((name::RETRY_AFTER_MS, millis.into()));
    }
    if failure.class == Class::Cancelled {
        return;
    }
    let message = brief(&failure.message);
    span.happenings.push(Happening {
        at: span.end,
        name: "exception".into(),
        attributes: vec![
            (name::EXCEPTION_TYPE, failure.class.as_str().into()),
            (name::EXCEPTION_MESSAGE, message.clone().into()),
        ],
    });
    span.state = State::Failed(message);
}

fn named(attributes: &mut Attributes, key: &'static str, value: Option<&Name>) {
    attributes.extend(value.map(|value| (key, text(value))));
}

fn text(text: &str) -> Value {
    brief(text).into()
}

fn brief(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT_MAX)].to_owned()
}
