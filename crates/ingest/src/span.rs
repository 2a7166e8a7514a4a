//! A span, as what it means for a run. Pure.

use midwatch_providers::{Prices, redact};
use midwatch_workflow::{Charge, Failure, RunId, Timestamp};
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::Value;
use xxhash_rust::xxh3::Xxh3;

use crate::attributes::Attributes;
use crate::failure::failure;
use crate::identity::{Identity, identity};
use crate::usage;

/// `SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK` and `SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK` of OTLP.
const REMOTE_PARENT: u32 = 0x100 | 0x200;
/// The longest part of a prompt that is kept, in characters, where it is asked for.
const CONTENT_CHARS_MAX: usize = 4_000;

/// Identifies a span within its trace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct SpanId(pub(crate) [u8; 8]);

impl std::fmt::Display for SpanId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

/// What a span stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// A call of a model.
    Call,
    /// A tool, a retrieval.
    Tool,
    /// A part of the program that a framework runs, and runs again if it fails: a node of a graph, a task, an activity.
    Node(Place),
    /// A whole workflow or agent.
    Whole,
    /// Nothing that is booked.
    Other,
}

/// Which node: there is one attempt at a time under a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// The step's name.
    pub(crate) name: String,
    /// Stands for it within its trace.
    pub(crate) key: u64,
}

/// A span, read.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) trace: RunId,
    pub(crate) id: SpanId,
    pub(crate) parent: Option<SpanId>,
    /// Its parent, if any, is in another process.
    pub(crate) is_root: bool,
    pub(crate) began: Timestamp,
    pub(crate) ended: Timestamp,
    pub(crate) role: Role,
    /// The step's name.
    pub(crate) name: String,
    /// The node that it says it is in.
    pub(crate) within: Option<Place>,
    pub(crate) identity: Identity,
    pub(crate) failure: Option<Failure>,
    pub(crate) charge: Option<Charge>,
    /// Who was called.
    pub(crate) target: Option<String>,
    /// What the provider calls its answer.
    pub(crate) response: Option<String>,
    /// What it was given, where that is kept.
    pub(crate) content: Option<String>,
}

/// How spans are read.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'r> {
    pub(crate) prices: &'r Prices,
    /// Whether prompts are kept.
    pub(crate) keeps_content: bool,
    pub(crate) now: Timestamp,
}

/// Reads a span.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read(
    span: &Span,
    resource: &Attributes<'_>,
    reading: &Reading<'_>,
) -> Result<Seen, &'static str> {
    let trace: [u8; 16] = span.trace_id[..].try_into().map_err(|_| "a trace id must have 16 bytes")?;
    let id: [u8; 8] = span.span_id[..].try_into().map_err(|_| "a span id must have 8 bytes")?;
    if trace == [0; 16] || id == [0; 8] {
        return Err("a trace id or span id must not be zero");
    }
    let parent = match &span.parent_span_id[..] {
        [] => None,
        parent => Some(parent.try_into().map_err(|_| "a parent's span id must have 8 bytes")?),
    };
    let parent = parent.filter(|parent| *parent != [0; 8]).map(SpanId);
    let attributes = Attributes::of(&span.attributes);
    let metadata = attributes.json("metadata");
    let target = usage::target(&attributes);
    let began = time(span.start_time_unix_nano, reading.now);
    let ended = time(span.end_time_unix_nano, reading.now).max(began);
    let (role, name, within) = role(span, &attributes, metadata.as_ref(), parent.is_none());
    Ok(Seen {
        trace: RunId::from_bytes(trace),
        id: SpanId(id),
        parent,
        is_root: parent.is_none() || span.flags & REMOTE_PARENT == REMOTE_PARENT,
        began,
        ended,
        failure: failure(span, &attributes, target.as_deref()),
        charge: usage::charge(&attributes, reading.prices, ended),
        target: target.filter(|_| role == Role::Call),
        role,
        name,
        within,
        identity: identity(&attributes, resource, metadata.as_ref()),
        response: response(&attributes),
        content: if reading.keeps_content { content(&attributes) } else { None },
    })
}

/// Clocks elsewhere may be wrong: nothing has happened in the future, or never.
fn time(nanos: u64, now: Timestamp) -> Timestamp {
    match nanos {
        0 => now,
        nanos => Timestamp::from_micros(nanos / 1_000).min(now),
    }
}

fn role(
    span: &Span,
    attributes: &Attributes<'_>,
    metadata: Option<&Value>,
    is_top: bool,
) -> (Role, String, Option<Place>) {
    let within = within(attributes, metadata);
    let kind = kind(span, attributes, is_top);
    let name = match kind {
        Kind::Call => call_name(attributes),
        Kind::Tool => tool_name(span, attributes),
        Kind::Part | Kind::Whole | Kind::None => own_name(span, attributes).to_owned(),
    };
    // The spans within a node say that they are in it, and so does the node's own.
    let is_node = matches!(kind, Kind::Part | Kind::Whole | Kind::None)
        && within.as_ref().is_some_and(|node| node.name == name);
    match (kind, within) {
        (Kind::Call, within) => (Role::Call, name, within),
        (Kind::Tool, within) => (Role::Tool, name, within),
        (_, Some(node)) if is_node => (Role::Node(node), name, None),
        (Kind::Part, _) => {
            let key = key(&[
                &name,
                attributes.name(&["temporalActivityID", "traceloop.entity.path"]).unwrap_or_default(),
            ]);
            (Role::Node(Place { name: name.clone(), key }), name, None)
        }
        (Kind::Whole, within) => (Role::Whole, name, within),
        (Kind::None, within) => (Role::Other, name, within),
    }
}

/// What a convention calls a span.
enum Kind {
    Call,
    Tool,
    Part,
    Whole,
    None,
}

fn kind(span: &Span, attributes: &Attributes<'_>, is_top: bool) -> Kind {
    if let Some(kind) = attributes.name(&["openinference.span.kind"]) {
        return match kind {
            "LLM" | "EMBEDDING" => Kind::Call,
            "TOOL" | "RETRIEVER" | "RERANKER" => Kind::Tool,
            "AGENT" => Kind::Whole,
            "CHAIN" if is_top => Kind::Whole,
            _ => Kind::None,
        };
    }
    if let Some(kind) = attributes.name(&["langsmith.span.kind"]) {
        return match kind {
            "llm" | "embedding" => Kind::Call,
            "tool" | "retriever" => Kind::Tool,
            "chain" if is_top => Kind::Whole,
            _ => Kind::None,
        };
    }
    if let Some(kind) = attributes.name(&["traceloop.span.kind"]) {
        return match kind {
            "task" | "agent" => Kind::Part,
            "tool" => Kind::Tool,
            "workflow" => Kind::Whole,
            _ => Kind::None,
        };
    }
    match attributes.name(&["gen_ai.operation.name"]) {
        Some("chat" | "text_completion" | "generate_content" | "embeddings" | "responses" | "messages") => {
            return Kind::Call;
        }
        Some("execute_tool" | "retrieval") => return Kind::Tool,
        Some("execute_task") => return Kind::Part,
        Some("invoke_agent" | "create_agent" | "invoke_workflow") => return Kind::Whole,
        _ => {}
    }
    if attributes.has(&["temporalActivityID"]) && span.name.starts_with("RunActivity:") {
        return Kind::Part;
    }
    if attributes.has(&["temporalWorkflowID"]) && span.name.starts_with("RunWorkflow:") {
        return Kind::Whole;
    }
    let is_call = attributes.has(&["llm.request.type"]) || usage::usage(attributes).is_some();
    if is_call && usage::target(attributes).is_some() { Kind::Call } else { Kind::None }
}

/// LangGraph says in every span which node it is in, and at which place of the graph; Traceloop, in which of its tasks.
fn within(attributes: &Attributes<'_>, metadata: Option<&Value>) -> Option<Place> {
    let own = |name: &str| {
        let of_metadata = || metadata?.get(name)?.as_str();
        let langsmith = format!("langsmith.metadata.{name}");
        let traceloop = format!("traceloop.association.properties.{name}");
        attributes.name(&[&langsmith, &traceloop]).or_else(of_metadata).map(str::to_owned)
    };
    if let Some(name) = own("langgraph_node") {
        let place = own("langgraph_checkpoint_ns").unwrap_or_default();
        return Some(Place { key: key(&[&name, &place]), name });
    }
    let path = attributes.name(&["traceloop.entity.path"])?;
    let name = path.rsplit('.').next().unwrap_or(path).to_owned();
    let above = path.rsplit_once('.').map_or("", |(above, _)| above);
    Some(Place { key: key(&[&name, above]), name })
}

fn key(parts: &[&str]) -> u64 {
    let mut hash = Xxh3::new();
    for part in parts {
        hash.update(&part.len().to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.digest()
}

/// The name of a node, a workflow or an agent.
fn own_name<'s>(span: &'s Span, attributes: &Attributes<'s>) -> &'s str {
    let told = attributes.name(&[
        "gen_ai.task.name",
        "traceloop.entity.name",
        "gen_ai.agent.name",
        "gen_ai.workflow.name",
    ]);
    let told = told.unwrap_or_else(|| short(&span.name));
    told.split_once("RunActivity:").map_or(told, |(_, name)| name)
}

fn call_name(attributes: &Attributes<'_>) -> String {
    let operation = match attributes.name(&["gen_ai.operation.name"]) {
        Some(operation) if operation != "chain" => operation,
        _ if attributes.name(&["openinference.span.kind"]) == Some("EMBEDDING") => "embeddings",
        _ => "chat",
    };
    match attributes.name(&["gen_ai.agent.name"]) {
        Some(agent) => format!("{agent}/{operation}"),
        None => operation.to_owned(),
    }
}

fn tool_name(span: &Span, attributes: &Attributes<'_>) -> String {
    let told = attributes.name(&["gen_ai.tool.name", "tool.name", "traceloop.entity.name"]);
    told.unwrap_or_else(|| short(&span.name).trim_start_matches("execute_tool ")).to_owned()
}

/// A span's name, as far as it can be the name of a step.
fn short(name: &str) -> &str {
    let kept = name.floor_char_boundary(200).min(name.len());
    match name[..kept].trim() {
        "" => "unnamed",
        name => name,
    }
}

/// What the provider calls its answer: from the attribute, or from LangChain's record of the answer.
fn response(attributes: &Attributes<'_>) -> Option<String> {
    let told = attributes.name(&["gen_ai.response.id", "llm.response.id"]).map(str::to_owned);
    told.or_else(|| {
        let answer = attributes.text("gen_ai.completion").or_else(|| attributes.text("output.value"))?;
        ["chatcmpl-", "msg_", "resp_"].iter().find_map(|start| {
            let quoted = format!("\"{start}");
            let from = answer.find(&quoted)? + 1;
            let end = answer[from..].find('"').filter(|length| *length < 200)?;
            Some(answer[from..from + end].to_owned())
        })
    })
}

fn content(attributes: &Attributes<'_>) -> Option<String> {
    let names = [
        "gen_ai.input.messages",
        "gen_ai.prompt",
        "input.value",
        "traceloop.entity.input",
        "gen_ai.task.input",
    ];
    let text = names.iter().find_map(|name| attributes.text(name))?;
    Some(redact(&text.chars().take(CONTENT_CHARS_MAX).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::attribute;

    fn seen(name: &str, parent: bool, pairs: &[(&str, &str)]) -> Seen {
        let span = Span {
            trace_id: vec![1; 16],
            span_id: vec![2; 8],
            parent_span_id: if parent { vec![3; 8] } else { Vec::new() },
            name: name.to_owned(),
            attributes: pairs.iter().map(|(name, value)| attribute(name, (*value).to_owned())).collect(),
            ..Span::default()
        };
        let reading =
            Reading { prices: &Prices::bundled(), keeps_content: false, now: Timestamp::from_micros(5) };
        read(&span, &Attributes::default(), &reading).unwrap()
    }

    #[test]
    fn every_convention_tells_what_a_span_stands_for() {
        const NODE: (&str, &str) = ("langsmith.metadata.langgraph_node", "plan");
        const METADATA: (&str, &str) =
            ("metadata", r#"{"langgraph_node": "plan", "langgraph_checkpoint_ns": "plan:1"}"#);
        const OF_TRACELOOP: (&str, &str) = ("traceloop.association.properties.langgraph_node", "plan");
        for (name, parent, pairs, expected) in [
            ("ChatOpenAI", true, &[("langsmith.span.kind", "llm"), NODE][..], "call chat in plan"),
            ("plan", true, &[("langsmith.span.kind", "chain"), NODE], "node plan"),
            (
                "RunnableSequence",
                true,
                &[("langsmith.span.kind", "chain"), NODE],
                "other RunnableSequence in plan",
            ),
            ("LangGraph", false, &[("langsmith.span.kind", "chain")], "whole LangGraph"),
            ("search", true, &[("langsmith.span.kind", "tool"), NODE], "tool search in plan"),
            ("ChatOpenAI", true, &[("openinference.span.kind", "LLM"), METADATA], "call chat in plan"),
            ("plan", true, &[("openinference.span.kind", "CHAIN"), METADATA], "node plan"),
            ("LangGraph", false, &[("openinference.span.kind", "CHAIN")], "whole LangGraph"),
            (
                "ChatOpenAI.chat",
                true,
                &[("gen_ai.operation.name", "chat"), OF_TRACELOOP],
                "call chat in plan",
            ),
            (
                "execute_task plan",
                true,
                &[("traceloop.span.kind", "task"), ("gen_ai.task.name", "plan"), OF_TRACELOOP],
                "node plan",
            ),
            (
                "openai.chat",
                true,
                &[
                    ("llm.request.type", "chat"),
                    ("gen_ai.request.model", "m"),
                    ("traceloop.entity.path", "write.joke"),
                ],
                "call chat in joke",
            ),
            (
                "joke.task",
                true,
                &[("traceloop.span.kind", "task"), ("traceloop.entity.name", "joke")],
                "node joke",
            ),
            (
                "chat gpt-4o",
                false,
                &[("gen_ai.operation.name", "chat"), ("gen_ai.request.model", "gpt-4o")],
                "call chat",
            ),
            (
                "chat gpt-4o",
                true,
                &[("gen_ai.operation.name", "chat"), ("gen_ai.agent.name", "writer")],
                "call writer/chat",
            ),
            ("embeddings m", true, &[("gen_ai.operation.name", "embeddings")], "call embeddings"),
            ("execute_tool search", true, &[("gen_ai.operation.name", "execute_tool")], "tool search"),
            (
                "invoke_agent writer",
                true,
                &[("gen_ai.operation.name", "invoke_agent"), ("gen_ai.agent.name", "writer")],
                "whole writer",
            ),
            (
                "RunActivity:charge",
                true,
                &[("temporalActivityID", "5"), ("temporalWorkflowID", "w")],
                "node charge",
            ),
            ("RunWorkflow:Order", true, &[("temporalWorkflowID", "w")], "whole RunWorkflow:Order"),
            ("GET /", false, &[("http.request.method", "GET")], "other GET /"),
        ] {
            let seen = seen(name, parent, pairs);
            let role = match &seen.role {
                Role::Call => "call",
                Role::Tool => "tool",
                Role::Node(_) => "node",
                Role::Whole => "whole",
                Role::Other => "other",
            };
            let within = seen.within.as_ref().map_or(String::new(), |node| format!(" in {}", node.name));
            assert_eq!(format!("{role} {}{within}", seen.name), expected, "{name} {pairs:?}");
        }
    }

    #[test]
    fn a_node_and_the_spans_within_it_have_one_key() {
        let ns = ("langsmith.metadata.langgraph_checkpoint_ns", "plan:1");
        let node = ("langsmith.metadata.langgraph_node", "plan");
        let call = seen("ChatOpenAI", true, &[("langsmith.span.kind", "llm"), node, ns]);
        let Role::Node(place) = seen("plan", true, &[("langsmith.span.kind", "chain"), node, ns]).role else {
            panic!()
        };
        assert_eq!(call.within, Some(place));
        let task = &[
            ("traceloop.span.kind", "task"),
            ("traceloop.entity.name", "joke"),
            ("traceloop.entity.path", ""),
        ];
        let Role::Node(place) = seen("joke.task", true, task).role else { panic!() };
        let call = seen(
            "openai.chat",
            true,
            &[("gen_ai.operation.name", "chat"), ("traceloop.entity.path", "joke")],
        );
        assert_eq!(call.within, Some(place));
    }

    #[test]
    fn an_answer_is_known_by_its_id_wherever_that_stands() {
        let langchain =
            r#"{"generations":[[{"message":{"kwargs":{"response_metadata":{"id":"chatcmpl-9"}}}}]]}"#;
        for pairs in [
            [("gen_ai.response.id", "chatcmpl-9")],
            [("gen_ai.completion", langchain)],
            [("output.value", langchain)],
        ] {
            assert_eq!(seen("x", true, &pairs).response.as_deref(), Some("chatcmpl-9"), "{pairs:?}");
        }
    }

    #[test]
    fn what_has_no_ids_is_no_span() {
        let reading =
            Reading { prices: &Prices::bundled(), keeps_content: false, now: Timestamp::from_micros(5) };
        for (trace, id, parent) in [
            (vec![], vec![1; 8], vec![]),
            (vec![1; 16], vec![1; 7], vec![]),
            (vec![0; 16], vec![1; 8], vec![]),
            (vec![1; 16], vec![1; 8], vec![1]),
        ] {
            let span = Span { trace_id: trace, span_id: id, parent_span_id: parent, ..Span::default() };
            assert!(read(&span, &Attributes::default(), &reading).is_err());
        }
    }

    #[test]
    fn prompts_are_kept_only_where_that_is_asked_for() {
        let span = Span {
            trace_id: vec![1; 16],
            span_id: vec![2; 8],
            attributes: vec![attribute("gen_ai.prompt", "use sk-proj-abcdef0123456789 please".to_owned())],
            ..Span::default()
        };
        let content = |keeps_content| {
            let reading =
                Reading { prices: &Prices::bundled(), keeps_content, now: Timestamp::from_micros(5) };
            read(&span, &Attributes::default(), &reading).unwrap().content
        };
        assert_eq!((content(false), content(true).as_deref()), (None, Some("use sk-[redacted] please")));
    }
}
