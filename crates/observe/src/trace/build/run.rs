//! The run's own spans, and what happens on them.

use midwatch_workflow::event::Note;
use midwatch_workflow::{Class, EventKind, RunResult, SpanId, SpanOf, Spent, Timestamp};

use super::super::fold::Tracer;
use super::super::semconv as name;
use super::super::span::{Attributes, Happening, Kind, Link, Span, State, Value};
use super::{fail, text};

/// So many happenings of a run are kept; the others are counted.
const HAPPENINGS_MAX: usize = 64;

impl Tracer {
    pub(in crate::trace) fn started_span(&self) -> Span {
        let name = if self.rewinds == 0 { "run started" } else { "run taken back" };
        let mut span = self.span(Kind::Started, SpanOf::Started, name);
        span.attributes.extend(self.run_attributes());
        span
    }

    fn run_attributes(&self) -> Attributes {
        let start = &self.start;
        let mut attributes: Attributes = vec![
            (name::GEN_AI_WORKFLOW, text(&start.workflow)),
            (name::RUN, start.run.to_string().into()),
            (name::WORKFLOW_ID, text(start.workflow_id.as_str())),
        ];
        attributes.extend(start.tenant.as_ref().map(|tenant| (name::TENANT, text(tenant))));
        if !start.worker.is_empty() {
            attributes.push((name::WORKER, text(&start.worker)));
        }
        attributes
    }

    pub(in crate::trace) fn run_span(&self, at: Timestamp, result: Option<&RunResult>) -> Span {
        let mut span = self.span(Kind::Run, SpanOf::Run, format!("invoke_workflow {}", self.start.workflow));
        let before =
            self.rewinds.checked_sub(1).map(|rewinds| SpanId::of(self.start.run, rewinds, SpanOf::Run));
        span.is_parent_elsewhere = before.is_none() && self.start.part_of().is_some();
        span.parent = before.or(self.start.part_of().map(|part| part.span));
        span.attributes.push((name::GEN_AI_OPERATION, "invoke_workflow".into()));
        span.attributes.extend(self.run_attributes());
        let sum = &self.sum;
        span.attributes.push((name::ATTEMPTS, sum.attempts.into()));
        span.attributes.push((name::FAILURES, sum.failures.into()));
        span.attributes.push((name::RUN_RETRIES, sum.retries.into()));
        if sum.spent != Spent::default() {
            span.attributes.push((name::RUN_TOKENS, sum.spent.usage.tokens().into()));
            span.attributes.push((name::RUN_COST, Value::Float(sum.spent.cost.as_usd())));
            span.attributes.push((name::RUN_WASTED, Value::Float(sum.wasted.as_usd())));
        }
        if sum.spent.unpriced > 0 {
            span.attributes.push((name::UNPRICED, sum.spent.unpriced.into()));
        }
        if self.rewinds > 0 {
            span.attributes.push((name::REWINDS, self.rewinds.into()));
        }
        if self.left_out > 0 {
            span.attributes.push((name::LEFT_OUT, self.left_out.into()));
        }
        span.happenings.clone_from(&self.happenings);
        let mut span = self.over(span, self.since, at);
        match result {
            Some(RunResult::Completed(_)) => {
                span.attributes.push((name::STATUS, "completed".into()));
                span.state = State::Ok;
            }
            Some(RunResult::Failed { failure, compensated, .. }) => {
                let status = match (failure.class, compensated) {
                    (_, 1..) => "compensated",
                    (Class::Cancelled, 0) => "cancelled",
                    (_, 0) => "failed",
                };
                span.attributes.push((name::STATUS, status.into()));
                if *compensated > 0 {
                    span.attributes.push((name::COMPENSATED, (*compensated).into()));
                }
                fail(&mut span, failure);
            }
            None => {}
        }
        if let Some(fork) = self.start.forked_from {
            let (trace, of) = (*fork.run.as_bytes(), SpanId::of(fork.run, 0, SpanOf::Run));
            span.links.push(Link { trace, span: of, why: "forked_from" });
        }
        span
    }

    pub(in crate::trace) fn happen(&mut self, at: Timestamp, kind: &EventKind) {
        let (title, attributes): (_, Attributes) = match kind {
            EventKind::BudgetRaised { usd, tokens, by } => (
                "budget raised",
                vec![
                    ("midwatch.usd", Value::Float(usd.as_usd())),
                    ("midwatch.tokens", (*tokens).into()),
                    ("midwatch.by", text(by)),
                ],
            ),
            EventKind::CancelRequested { class, by, .. } => (
                "cancel requested",
                vec![(name::ERROR_TYPE, class.as_str().into()), ("midwatch.by", text(by))],
            ),
            EventKind::Recovered { worker } => ("recovered", vec![(name::WORKER, text(worker))]),
            _ => return,
        };
        self.keep(Happening { at, name: title.into(), attributes });
    }

    pub(in crate::trace) fn remark(&mut self, at: Timestamp, note: &Note) {
        let (title, attributes): (_, Attributes) = match note {
            Note::Patched(id) => ("patched", vec![("midwatch.patch", text(id))]),
            Note::Status(status) => ("status", vec![("midwatch.status_text", text(status))]),
            Note::Compensating { cause, steps } => (
                "compensating",
                vec![
                    (name::ERROR_TYPE, cause.class.as_str().into()),
                    ("midwatch.steps", text(&steps.join(", "))),
                ],
            ),
            Note::GaveUp { .. } => return,
        };
        self.keep(Happening { at, name: title.into(), attributes });
    }

    fn keep(&mut self, happening: Happening) {
        if self.happenings.len() < HAPPENINGS_MAX {
            self.happenings.push(happening);
        } else {
            self.left_out += 1;
        }
    }
}
