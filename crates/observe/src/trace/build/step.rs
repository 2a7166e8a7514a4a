//! Spans of steps and their attempts.

use midwatch_workflow::event::WaitReason;
use midwatch_workflow::{Class, Ended, Failure, OpId, SpanId, SpanOf, Timestamp};

use super::super::fold::Tracer;
use super::super::open::{OpenAttempt, OpenStep, Over};
use super::super::semconv as name;
use super::super::span::{Kind, Link, Role, Span, State, Value};
use super::{brief, fail, named, text};

impl Tracer {
    pub(in crate::trace) fn step_span(&self, id: SpanId, step: &OpenStep, at: Timestamp, over: Over) -> Span {
        let of = SpanOf::Step { step: &step.name, nth: step.nth };
        let mut span = self.span(Kind::Step, of, step.name.clone());
        // An attempt of before a rewind may still have to end: the step is the one that it belonged to.
        span.id = id;
        span.attributes.push((name::RUN, self.start.run.to_string().into()));
        span.attributes.push((name::STEP, text(&step.name)));
        span.attributes.push((name::NTH, step.nth.into()));
        span.attributes.push((name::ATTEMPTS, step.attempts.into()));
        span.attributes.push((name::FAILURES, step.failures.into()));
        span.attributes.push((name::LLM_RETRIES, step.attempts.saturating_sub(1).into()));
        named(&mut span.attributes, name::QUEUE, step.queue.as_ref());
        named(&mut span.attributes, name::PEER_SERVICE, step.target.as_ref());
        if step.is_undo {
            span.attributes.push((name::UNDOES, Value::Bool(true)));
        }
        span.links.extend(step.undoes.map(|undone| Link { trace: self.trace, span: undone, why: "undoes" }));
        match (over, &step.failure) {
            (Over::Abandoned, _) => span.attributes.push((name::ABANDONED, Value::Bool(true))),
            (_, None) => span.state = State::Ok,
            (_, Some((Class::Cancelled, _))) => {
                span.attributes.push((name::ERROR_TYPE, Class::Cancelled.as_str().into()));
            }
            (_, Some((class, message))) => {
                span.attributes.push((name::ERROR_TYPE, class.as_str().into()));
                span.state = State::Failed(brief(message));
            }
        }
        self.over(span, step.began, at)
    }

    pub(in crate::trace) fn attempt_span(
        &self,
        attempt: &OpenAttempt,
        at: Timestamp,
        result: Option<&Ended>,
    ) -> Span {
        let of = SpanOf::Attempt { step: &attempt.name, nth: attempt.nth, attempt: attempt.number };
        let call = name::model_call(attempt.target.as_deref(), &attempt.charges);
        let title = match &call {
            Some((title, _)) => title.clone(),
            None => format!("{} attempt", attempt.name),
        };
        let mut span = self.span(Kind::Attempt, of, title);
        span.parent = Some(attempt.step);
        if attempt.target.is_some() || call.is_some() {
            span.role = Role::Client;
        }
        span.attributes.push((name::STEP, text(&attempt.name)));
        span.attributes.push((name::ATTEMPT, attempt.number.into()));
        named(&mut span.attributes, name::PEER_SERVICE, attempt.target.as_ref());
        if let Some((_, attributes)) = call {
            span.attributes.extend(attributes);
            span.attributes.push((name::LLM_RETRIES, attempt.number.saturating_sub(1).into()));
        }
        if attempt.beats > 0 {
            span.attributes.push((name::HEARTBEATS, attempt.beats.into()));
        }
        if attempt.is_abandoned {
            span.attributes.push((name::ABANDONED, Value::Bool(true)));
        }
        let mut span = self.over(span, attempt.started.unwrap_or(attempt.asked), at);
        match result {
            Some(Ended::Ok(_)) => span.state = State::Ok,
            Some(Ended::Failed(failure)) => fail(&mut span, failure),
            None => {}
        }
        span
    }

    pub(in crate::trace) fn held_span(
        &self,
        op: OpId,
        attempt: &OpenAttempt,
        at: Timestamp,
        failure: Option<&Failure>,
    ) -> Span {
        let (title, by) = match attempt.waits {
            Some(WaitReason::Queue) => ("wait for queue", "queue"),
            Some(WaitReason::Gate) => ("wait for gate", "gate"),
            Some(WaitReason::Paused) => ("wait for resume", "paused"),
            Some(WaitReason::Code) => ("wait for code", "code"),
            Some(WaitReason::Stopping) => ("wait for worker", "stopping"),
            None => ("wait", "nothing"),
        };
        let mut span = self.span(Kind::Held, SpanOf::Held(op), title);
        span.parent = Some(attempt.step);
        span.attributes.push((name::HELD_BY, by.into()));
        span.attributes.push((name::ATTEMPT, attempt.number.into()));
        let mut span = self.over(span, attempt.asked, at);
        if let Some(failure) = failure {
            fail(&mut span, failure);
        }
        span
    }
}
