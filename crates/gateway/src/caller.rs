//! Who is calling: a pure function of headers, path and key.

use http::HeaderMap;
use midwatch_recorder::workflow_id;
use midwatch_workflow::{Money, RunId, Traceparent, WorkflowId};

use crate::route::decoded;

/// The longest name that is taken from a header, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// What a call says of where it belongs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Caller {
    pub(crate) workflow: Option<String>,
    pub(crate) run: Option<Named>,
    pub(crate) step: Option<String>,
    pub(crate) tenant: Option<String>,
    /// The trace that the call belongs to, as it came.
    pub(crate) traceparent: Option<String>,
    /// The client's own span, by which spans and calls are known to be the same.
    pub(crate) span: Option<String>,
    /// What the run may spend at most, if the client wants less than is set.
    pub(crate) run_usd: Option<Money>,
}

/// A run that a call names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Named {
    pub(crate) workflow_id: WorkflowId,
    /// The trace, if that is all that names it.
    pub(crate) trace: Option<RunId>,
}

impl Caller {
    /// Reads path, headers, baggage and trace, in this order of weight.
    pub(crate) fn of(path_run: Option<&str>, headers: &HeaderMap) -> Self {
        let header = |name: &str| text(headers, name).map(str::to_owned);
        let baggage = Baggage(text_long(headers, "baggage").unwrap_or_default());
        let trace = text(headers, "traceparent").and_then(Traceparent::read);
        let named =
            path_run.and_then(workflow_id).or_else(|| text(headers, "x-midwatch-run").and_then(workflow_id));
        let told = || {
            let names = ["midwatch.run", "session.id", "gen_ai.conversation.id", "thread_id"];
            names.iter().find_map(|name| workflow_id(&baggage.get(name)?))
        };
        let run = named.or_else(told).map(|workflow_id| Named { workflow_id, trace: None }).or_else(|| {
            let run = RunId::from_bytes(trace.as_ref()?.trace);
            Some(Named { workflow_id: run.into(), trace: Some(run) })
        });
        Self {
            workflow: header("x-midwatch-workflow").or_else(|| baggage.get("midwatch.workflow")),
            run,
            step: header("x-midwatch-step").or_else(|| baggage.get("midwatch.step")),
            tenant: header("x-midwatch-tenant").or_else(|| baggage.get("midwatch.tenant")),
            traceparent: trace.as_ref().and_then(|_| header("traceparent")),
            span: trace.map(|trace| trace.span.to_string()),
            run_usd: text(headers, "x-midwatch-run-budget-usd").and_then(|usd| usd.parse().ok()),
        }
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let text = headers.get(name)?.to_str().ok()?.trim();
    (!text.is_empty() && text.len() <= NAME_BYTES_MAX).then_some(text)
}

fn text_long<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// W3C baggage: `name=value;property,…`.
struct Baggage<'h>(&'h str);

impl Baggage<'_> {
    fn get(&self, name: &str) -> Option<String> {
        let value = self.0.split(',').find_map(|item| {
            let (key, value) = item.split_once('=')?;
            (key.trim() == name).then(|| value.split(';').next().unwrap_or_default().trim())
        })?;
        decoded(value).filter(|value| !value.is_empty() && value.len() <= NAME_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn caller(path: Option<&str>, headers: &[(&'static str, &'static str)]) -> Caller {
        let pairs = headers.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)));
        Caller::of(path, &pairs.collect())
    }

    fn run(caller: Caller) -> Option<String> {
        caller.run.map(|run| run.workflow_id.to_string())
    }

    #[test]
    fn path_header_baggage_and_trace_name_the_run_in_this_order() {
        let all = [
            ("x-midwatch-run", "from-header"),
            ("baggage", "a=b, midwatch.run=from%20baggage;p=1, midwatch.tenant=acme"),
            ("traceparent", TRACE),
        ];
        assert_eq!(run(caller(Some("from-path"), &all)).as_deref(), Some("from-path"));
        assert_eq!(run(caller(None, &all)).as_deref(), Some("from-header"));
        assert_eq!(run(caller(None, &all[1..])).as_deref(), Some("from baggage"));
        let traced = caller(None, &all[2..]);
        assert_eq!(traced.span.as_deref(), Some("00f067aa0ba902b7"));
        assert_eq!(run(traced).as_deref(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        assert_eq!(caller(None, &all).tenant.as_deref(), Some("acme"));
        assert_eq!(run(caller(None, &[])), None);
    }
}
