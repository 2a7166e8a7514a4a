//! Which run a span belongs to: the workflow's name and the workflow id, as frameworks say them.

use midwatch_recorder::workflow_id;
use midwatch_workflow::WorkflowId;

use crate::attributes::Attributes;

/// The workflow's name of spans that say nothing at all.
const NAMELESS: &str = "traces";

/// The caller's names for a run, the most particular first.
const IDS: &[&str] = &[
    "midwatch.run",
    "langsmith.metadata.thread_id",
    "traceloop.association.properties.thread_id",
    "thread_id",
    "gen_ai.conversation.id",
    "langsmith.metadata.conversation_id",
    "session.id",
    "langsmith.metadata.session_id",
    "traceloop.association.properties.session_id",
    "temporalWorkflowID",
    "temporal.workflow.id",
    "inngest.run.id",
    "sdk.run.id",
    "hatchet.workflow_run_id",
];
const WORKFLOWS: &[&str] = &[
    "midwatch.workflow",
    "gen_ai.workflow.name",
    "traceloop.workflow.name",
    "temporalWorkflowType",
    "sys.function.slug",
    "hatchet.workflow_name",
];
const TENANTS: &[&str] = &["midwatch.tenant", "tenant.id", "langsmith.metadata.tenant_id"];

/// Where a span says that it belongs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Identity {
    /// The workflow, if the span names it.
    pub(crate) workflow: Option<String>,
    /// What to call it if nobody names it.
    pub(crate) program: String,
    /// The run's name, if the span has one.
    pub(crate) id: Option<WorkflowId>,
    /// For whom it runs.
    pub(crate) tenant: Option<String>,
}

/// Reads a span's attributes and those of its resource; `metadata` is OpenInference's.
pub(crate) fn identity(
    attributes: &Attributes<'_>,
    resource: &Attributes<'_>,
    metadata: Option<&serde_json::Value>,
) -> Identity {
    let of_metadata = || metadata?.get("thread_id")?.as_str().and_then(workflow_id);
    let particular = |name: &&str| attributes.name(&[name]).and_then(workflow_id);
    let (threads, sessions) = IDS.split_at(5);
    let id = threads
        .iter()
        .find_map(particular)
        .or_else(of_metadata)
        .or_else(|| sessions.iter().find_map(particular));
    Identity {
        workflow: attributes.name(WORKFLOWS).map(str::to_owned),
        program: program(attributes, resource),
        id,
        tenant: attributes.name(TENANTS).or_else(|| resource.name(TENANTS)).map(str::to_owned),
    }
}

/// The service's name, or else the project's, or else the framework's.
fn program(attributes: &Attributes<'_>, resource: &Attributes<'_>) -> String {
    let service = resource.name(&["service.name"]);
    let service = service.filter(|name| !name.starts_with("unknown_service") && *name != "langsmith");
    let project = || attributes.name(&["langsmith.trace.session_name"]).filter(|name| *name != "default");
    let framework =
        || attributes.name(&["langsmith.metadata.ls_integration"]).filter(|name| *name == "langgraph");
    let is_graph = || attributes.has(&["langsmith.metadata.langgraph_node"]).then_some("langgraph");
    service.or_else(project).or_else(framework).or_else(is_graph).unwrap_or(NAMELESS).to_owned()
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::KeyValue;

    use super::*;
    use crate::attributes::attribute;

    fn texts(pairs: &[(&str, &str)]) -> Vec<KeyValue> {
        pairs.iter().map(|(name, value)| attribute(name, (*value).to_owned())).collect()
    }

    #[test]
    fn every_framework_names_its_runs() {
        for (pairs, id) in [
            (&[("langsmith.metadata.thread_id", "t-1"), ("session.id", "s")][..], Some("t-1")),
            (&[("traceloop.association.properties.thread_id", "t-1")], Some("t-1")),
            (&[("gen_ai.conversation.id", "c-1")], Some("c-1")),
            (&[("metadata", r#"{"thread_id": "t-2"}"#), ("session.id", "s-1")], Some("t-2")),
            (&[("session.id", "s-1")], Some("s-1")),
            (&[("temporalWorkflowID", "order-42"), ("temporalRunID", "r")], Some("order-42")),
            (&[("sdk.run.id", "01J")], Some("01J")),
            (&[("midwatch.run", "mine"), ("langsmith.metadata.thread_id", "t-1")], Some("mine")),
            (&[("gen_ai.request.model", "m")], None),
        ] {
            let list = texts(pairs);
            let attributes = Attributes::of(&list);
            let metadata = attributes.json("metadata");
            let found = identity(&attributes, &Attributes::default(), metadata.as_ref()).id;
            assert_eq!(found.as_ref().map(WorkflowId::as_str), id, "{pairs:?}");
        }
    }

    #[test]
    fn a_workflow_is_called_as_the_span_says_or_else_as_its_program() {
        for (service, pairs, expected) in [
            ("research-agent", &[][..], (None, "research-agent")),
            ("unknown_service:python", &[], (None, "traces")),
            ("unknown_service", &[("langsmith.metadata.langgraph_node", "plan")], (None, "langgraph")),
            ("langsmith", &[("langsmith.trace.session_name", "default")], (None, "traces")),
            ("langsmith", &[("langsmith.trace.session_name", "support")], (None, "support")),
            ("svc", &[("traceloop.workflow.name", "trip")], (Some("trip"), "svc")),
        ] {
            let (resource, list) = (texts(&[("service.name", service)]), texts(pairs));
            let found = identity(&Attributes::of(&list), &Attributes::of(&resource), None);
            assert_eq!((found.workflow.as_deref(), found.program.as_str()), expected, "{service} {pairs:?}");
        }
    }
}
