//! Spans of waits: for time, signals, children, persons.

use midwatch_workflow::{DelayReason, Failure, OpId, ParkReason, Resolution, SpanOf, Timestamp};

use super::super::fold::Tracer;
use super::super::open::{Halt, Open, Over, Pause};
use super::super::semconv as name;
use super::super::span::{Kind, Span, Value};
use super::{fail, text};

impl Tracer {
    /// The span of a wait; the limit of another has none of its own.
    pub(in crate::trace) fn wait_span(
        &self,
        op: OpId,
        open: &Open,
        at: Timestamp,
        over: Over,
    ) -> Option<Span> {
        let mut span = match open {
            Open::Sleep { at: asked, .. } => {
                self.over(self.span(Kind::Sleep, SpanOf::Wait(op), "sleep"), *asked, at)
            }
            Open::Retry { at: asked, step, attempt, because, .. } => {
                let mut span = self.span(Kind::RetryWait, SpanOf::Wait(op), "retry wait");
                span.parent = Some(*step);
                span.attributes.push((name::BECAUSE, delay_word(*because).into()));
                span.attributes.push((name::ATTEMPT, (*attempt).into()));
                self.over(span, *asked, at)
            }
            Open::Signal { at: asked, name: signal } => {
                let mut span = self.span(Kind::Signal, SpanOf::Wait(op), format!("signal {signal}"));
                span.attributes.push((name::SIGNAL, text(signal)));
                self.over(span, *asked, at)
            }
            Open::Person { at: asked, step, reason } => {
                self.person_span(op, *asked, *reason, step.as_deref(), at, None)
            }
            Open::Attempt(_) | Open::Child { .. } | Open::Limit(_) => return None,
        };
        match over {
            Over::Done => {}
            Over::TimedOut => span.attributes.push((name::TIMED_OUT, Value::Bool(true))),
            Over::Abandoned => span.attributes.push((name::ABANDONED, Value::Bool(true))),
        }
        Some(span)
    }

    pub(in crate::trace) fn child_span(
        &self,
        open: &Open,
        at: Timestamp,
        failure: Option<&Failure>,
    ) -> Option<Span> {
        let Open::Child { at: asked, run, workflow, workflow_id } = open else { return None };
        let mut span = self.span(Kind::Child, SpanOf::Child(*run), format!("child {workflow}"));
        span.attributes.push((name::CHILD_RUN, run.to_string().into()));
        span.attributes.push((name::GEN_AI_WORKFLOW, text(workflow)));
        span.attributes.push((name::WORKFLOW_ID, text(workflow_id)));
        let mut span = self.over(span, *asked, at);
        if let Some(failure) = failure {
            fail(&mut span, failure);
        }
        Some(span)
    }

    pub(in crate::trace) fn person_span(
        &self,
        op: OpId,
        asked: Timestamp,
        reason: ParkReason,
        step: Option<&str>,
        at: Timestamp,
        answer: Option<(&Resolution, &str)>,
    ) -> Span {
        let mut span = self.span(Kind::Parked, SpanOf::Wait(op), "parked");
        span.attributes.push((name::BECAUSE, park_word(reason).into()));
        span.attributes.extend(step.map(|step| (name::STEP, text(step))));
        if let Some((resolution, by)) = answer {
            let word = match resolution {
                Resolution::Retry => "retry",
                Resolution::Done(_) => "done",
                Resolution::Fail => "fail",
            };
            span.attributes.push(("midwatch.resolution", word.into()));
            span.attributes.push(("midwatch.by", text(by)));
        }
        self.over(span, asked, at)
    }

    pub(in crate::trace) fn halt_span(&self, halt: &Halt, at: Timestamp, by: Option<&str>) -> Span {
        let mut span = self.span(Kind::Parked, SpanOf::Event(halt.event), "parked");
        span.attributes.push((name::BECAUSE, park_word(halt.reason).into()));
        span.attributes.extend(by.map(|by| ("midwatch.by", text(by))));
        self.over(span, halt.at, at)
    }

    pub(in crate::trace) fn pause_span(&self, pause: &Pause, at: Timestamp, by: Option<&str>) -> Span {
        let mut span = self.span(Kind::Paused, SpanOf::Event(pause.event), "paused");
        span.attributes.push(("midwatch.paused_by", text(&pause.by)));
        span.attributes.extend(by.map(|by| ("midwatch.resumed_by", text(by))));
        self.over(span, pause.at, at)
    }
}

fn delay_word(because: DelayReason) -> &'static str {
    match because {
        DelayReason::Backoff => "backoff",
        DelayReason::RetryAfter => "retry_after",
        DelayReason::Lost => "lost",
    }
}

fn park_word(reason: ParkReason) -> &'static str {
    match reason {
        ParkReason::Budget => "budget",
        ParkReason::CompensationFailed => "compensation_failed",
        ParkReason::ReplayedFailure => "replayed_failure",
        ParkReason::Mismatch => "mismatch",
        ParkReason::Panicked => "panicked",
        ParkReason::Stray => "stray",
        ParkReason::NoCode => "no_code",
    }
}
