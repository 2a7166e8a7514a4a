//! Spans as they come in, and the runs that become of them.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use midwatch_ingest::{Ingest, Options};
use midwatch_journal::sqlite::SqliteJournal;
use midwatch_journal::{Fold, Journal, RunQuery, RunSummary, Status};
use midwatch_providers::Prices;
use midwatch_recorder::{NewAttempt, NewRun, Recorder, workflow_id};
use midwatch_workflow::{Certainty, Charge, Class, EventKind, Money, Payload, Timestamp, Usage};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status as SpanStatus};

const T0: u64 = 1_793_491_200;

const fn at(millis: u64) -> Timestamp {
    Timestamp::from_micros(T0 * 1_000_000 + millis * 1_000)
}

fn text(name: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(Value::StringValue(value.to_owned())) };
    KeyValue { key: name.to_owned(), value: Some(value), ..KeyValue::default() }
}

fn number(name: &str, value: i64) -> KeyValue {
    let value = AnyValue { value: Some(Value::IntValue(value)) };
    KeyValue { key: name.to_owned(), value: Some(value), ..KeyValue::default() }
}

/// A span of trace 7, `from` and `to` in milliseconds.
fn span(id: u8, parent: u8, name: &str, (from, to): (u64, u64), attributes: Vec<KeyValue>) -> Span {
    Span {
        trace_id: vec![7; 16],
        span_id: vec![id; 8],
        parent_span_id: if parent == 0 { Vec::new() } else { vec![parent; 8] },
        name: name.to_owned(),
        start_time_unix_nano: at(from).as_micros() * 1_000,
        end_time_unix_nano: at(to).as_micros() * 1_000,
        attributes,
        ..Span::default()
    }
}

fn of_node(node: &str) -> Vec<KeyValue> {
    vec![
        text("langsmith.metadata.thread_id", "thread-7"),
        text("langsmith.metadata.langgraph_node", node),
        text("langsmith.metadata.langgraph_checkpoint_ns", &format!("{node}:1")),
    ]
}

fn node(id: u8, name: &str, times: (u64, u64)) -> Span {
    let mut attributes = of_node(name);
    attributes.push(text("langsmith.span.kind", "chain"));
    span(id, 1, name, times, attributes)
}

/// A call that costs $2.50.
fn call(id: u8, parent: u8, within: &str, times: (u64, u64)) -> Span {
    let mut attributes = of_node(within);
    attributes.extend([
        text("langsmith.span.kind", "llm"),
        text("gen_ai.operation.name", "chat"),
        text("gen_ai.system", "openai"),
        text("gen_ai.request.model", "gpt-4o"),
        text("gen_ai.prompt", "the secret plan"),
        number("gen_ai.usage.input_tokens", 1_000_000),
    ]);
    span(id, parent, "ChatOpenAI", times, attributes)
}

fn root(times: (u64, u64)) -> Span {
    let attributes =
        vec![text("langsmith.span.kind", "chain"), text("langsmith.metadata.thread_id", "thread-7")];
    span(1, 0, "LangGraph", times, attributes)
}

fn failed(mut span: Span, exception: &str, message: &str) -> Span {
    span.status = Some(SpanStatus { code: StatusCode::Error as i32, message: String::new() });
    span.events.push(Event {
        name: "exception".to_owned(),
        attributes: vec![text("exception.type", exception), text("exception.message", message)],
        ..Event::default()
    });
    span
}

fn batch(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let resource = Resource { attributes: vec![text("service.name", "research")], ..Resource::default() };
    let scope = InstrumentationScope { name: "langsmith".to_owned(), ..InstrumentationScope::default() };
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }];
    let resource_spans =
        vec![ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }
}

/// A graph whose second node fails once.
fn graph() -> Vec<Span> {
    vec![
        call(11, 10, "plan", (100, 900)),
        node(10, "plan", (50, 1_000)),
        call(21, 20, "search", (1_100, 1_900)),
        failed(node(20, "search", (1_050, 2_000)), "ConnectionError", "the index is down"),
        call(31, 30, "search", (2_600, 2_900)),
        node(30, "search", (2_500, 3_000)),
        root((0, 3_100)),
    ]
}

fn open(path: &Path, options: Options) -> Ingest {
    let recorder = Recorder::open(path, midwatch_recorder::Options::new("test"), at(0)).unwrap();
    Ingest::new(recorder, Prices::bundled(), options)
}

fn runs(path: &Path) -> Vec<RunSummary> {
    SqliteJournal::open_reader(path).unwrap().runs(&RunQuery::default()).unwrap()
}

fn only_run(ingest: &Ingest, path: &Path) -> RunSummary {
    ingest.recorder().flush().unwrap();
    let [run] = &runs(path)[..] else { panic!("{} runs", runs(path).len()) };
    Fold::of(&events(path, run)).unwrap().summary
}

fn events(path: &Path, run: &RunSummary) -> Vec<midwatch_workflow::Event> {
    SqliteJournal::open_reader(path).unwrap().events(run.run, 0).unwrap()
}

/// Each attempt: its step, its number, when it began, in milliseconds.
fn attempts(path: &Path, run: &RunSummary) -> Vec<(String, u32, u64)> {
    let attempt = |event: &midwatch_workflow::Event| match &event.kind {
        EventKind::AttemptScheduled(asked) => {
            let began = event.at.since(at(0)).as_millis().try_into().unwrap();
            Some((asked.step.to_string(), asked.attempt, began))
        }
        _ => None,
    };
    events(path, run).iter().filter_map(attempt).collect()
}

#[test]
fn a_graph_is_a_run_whose_steps_are_its_nodes_and_whose_attempts_are_paid_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("midwatch.db");
    let ingest = open(&path, Options::default());
    let outcome = ingest.take(&batch(graph()), at(4_000)).unwrap();
    assert_eq!(outcome.rejected, 0);
    let run = only_run(&ingest, &path);
    assert_eq!((run.workflow.as_str(), run.workflow_id.as_str()), ("research", "thread-7"));
    assert_eq!((run.status, run.attempts, run.failures, run.steps), (Status::Completed, 3, 1, 2));
    assert_eq!((run.spent.cost, run.wasted), (Money::from_cents(750), Money::from_cents(250)));
    assert_eq!((run.started_at, run.ended_at), (at(0), Some(at(3_100))));
    let expected = [("plan", 1, 50), ("search", 1, 1_050), ("search", 2, 2_500)];
    assert_eq!(
        attempts(&path, &run),
        expected.map(|(step, attempt, began)| (step.to_owned(), attempt, began))
    );
    let times: Vec<Timestamp> = events(&path, &run).iter().map(|event| event.at).collect();
    assert!(times.is_sorted(), "{times:?}");
    let all = format!("{:?}", events(&path, &run));
    assert!(all.contains("the index is down") && !all.contains("the secret plan"), "prompts are not kept");
}

#[test]
fn the_same_spans_twice_change_nothing_also_after_a_restart_and_in_any_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("midwatch.db");
    let ingest = open(&path, Options::default());
    ingest.take(&batch(graph()), at(4_000)).unwrap();
    let before = only_run(&ingest, &path);
    ingest.take(&batch(graph()), at(4_000)).unwrap();
    ingest.recorder().close().unwrap();
    drop(ingest);
    let ingest = open(&path, Options::default());
    for spans in graph() {
        ingest.take(&batch(vec![spans]), at(5_000)).unwrap();
    }
    assert_eq!(only_run(&ingest, &path), before);
}

#[test]
fn spans_one_by_one_make_the_same_books_as_all_at_once_and_the_run_is_seen_from_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("midwatch.db");
    let ingest = open(&path, Options::default());
    for (number, one) in graph().into_iter().enumerate() {
        ingest.take(&batch(vec![one]), at(4_000)).unwrap();
        let run = only_run(&ingest, &path);
        let expected = if number == 6 { Status::Completed } else { Status::Running };
        assert_eq!(run.status, expected, "after span {number}");
        if number == 0 {
            assert_eq!((run.doing.as_str(), run.attempts), ("plan", 1), "its own span has not come");
        }
    }
    let run = only_run(&ingest, &path);
    assert_eq!((run.attempts, run.failures, run.steps), (3, 1, 2));
    assert_eq!((run.spent.cost, run.wasted), (Money::from_cents(750), Money::from_cents(250)));
}

#[test]
fn spans_that_come_after_a_restart_for_a_run_that_has_ended_leave_it_ended_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("midwatch.db");
    let mut early = graph();
    let late = early.split_off(4);
    let ingest = open(&path, Options::default());
    ingest.take(&batch([early, vec![late[2].clone()]].concat()), at(4_000)).unwrap();
    assert_eq!(only_run(&ingest, &path).attempts, 2);
    ingest.recorder().close().unwrap();
    drop(ingest);
    let ingest = open(&path, Options::default());
    ingest.take(&batch(late[..2].to_vec()), at(60_000)).unwrap();
    ingest.tend(at(61_000));
    ingest.recorder().tend(at(61_000));
    let run = only_run(&ingest, &path);
    assert_eq!((run.attempts, run.spent.cost), (3, Money::from_cents(750)), "they are booked");
    assert_eq!((run.status, run.ended_at), (Status::Completed, Some(at(3_100))));
}

#[test]
fn a_death_between_two_batches_loses_nothing_and_counts_nothing_twice() {
    let spans = graph();
    for cut in 1..spans.len() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("midwatch.db");
        // Nothing reaches the journal in time: what was taken is in the spool alone.
        let slow = midwatch_recorder::Options {
            linger: Duration::from_secs(3_600),
            ..midwatch_recorder::Options::new("first")
        };
        let journal = || {
            let options = midwatch_journal::sqlite::Options::default();
            std::sync::Arc::new(SqliteJournal::open(&path, options).unwrap())
        };
        let first = Recorder::on(journal(), Some(path.clone()), slow, at(0)).unwrap();
        let first = Ingest::new(first, Prices::bundled(), Options::default());
        first.take(&batch(spans[..cut].to_vec()), at(4_000)).unwrap();
        std::mem::forget(first);

        let second = midwatch_recorder::Options::new("second");
        let second = Recorder::on(journal(), Some(path.clone()), second, at(5_000)).unwrap();
        let second = Ingest::new(second, Prices::bundled(), Options::default());
        // The sender got no answer for the last span, and sends it again.
        second.take(&batch(spans[cut - 1..].to_vec()), at(5_000)).unwrap();
        let run = only_run(&second, &path);
        assert_eq!((run.status, run.attempts, run.failures), (Status::Completed, 3, 1), "cut at {cut}");
        assert_eq!(
            (run.spent.cost, run.wasted),
            (Money::from_cents(750), Money::from_cents(250)),
            "cut at {cut}"
        );
    }
}

#[test]
fn a_call_that_several_spans_tell_of_is_counted_once() {
    // The client's own instrumentation, within that of the framework, within an agent that sums up.
    let mut inner = call(12, 11, "plan", (200, 800));
    inner.attributes.retain(|attribute| !attribute.key.starts_with("langsmith"));
    let mut agent = root((0, 1_100));
    agent.attributes = vec![
        text("gen_ai.operation.name", "invoke_agent"),
        text("gen_ai.request.model", "gpt-4o"),
        text("gen_ai.conversation.id", "thread-7"),
        number("gen_ai.usage.input_tokens", 1_000_000),
    ];
    let spans = [inner, call(11, 10, "plan", (100, 900)), node(10, "plan", (50, 1_000)), agent];
    let orders = [[0, 1, 2, 3], [1, 0, 2, 3], [2, 1, 0, 3], [0, 2, 1, 3]];
    for order in orders {
        for size in [1, 4] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("midwatch.db");
            let ingest = open(&path, Options::default());
            let ordered: Vec<Span> = order.iter().map(|place| spans[*place].clone()).collect();
            for part in ordered.chunks(size) {
                ingest.take(&batch(part.to_vec()), at(4_000)).unwrap();
            }
            ingest.recorder().flush().unwrap();
            let all = runs(&path);
            let cost: Money = all.iter().map(|run| run.spent.cost).sum();
            assert_eq!(cost, Money::from_cents(250), "order {order:?} in parts of {size}: {all:?}");
        }
    }
}

#[test]
fn a_call_that_the_gateway_has_booked_is_not_booked_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("midwatch.db");
    let ingest = open(&path, Options::default());
    let recorder = ingest.recorder();
    let run = recorder.run(NewRun::new("gateway", workflow_id("thread-7").unwrap(), at(0)), at(0)).unwrap();
    let charge = Charge {
        target: "openai:gpt-4o".to_owned(),
        usage: Usage { calls: 1, input: 1_000_000, ..Usage::default() },
        certainty: Certainty::Exact,
        cost: Some(Money::from_cents(250)),
        ..Charge::default()
    };
    let made = |mark: Option<&str>, id: &str| {
        let new = NewAttempt { mark: mark.map(str::to_owned), ..NewAttempt::new("chat") };
        let output = Payload::from_json(&format!(r#"{{"response_id": "{id}"}}"#)).unwrap();
        run.begin(new, at(100)).unwrap().end(Ok(output), vec![charge.clone()], at(900));
    };
    // One is known by the span that its client was in, one by the answer; of a third only the span came.
    made(Some("0b0b0b0b0b0b0b0b"), "chatcmpl-1");
    made(None, "chatcmpl-2");
    let mut second = call(12, 10, "plan", (100, 900));
    second.attributes.push(text("gen_ai.response.id", "chatcmpl-2"));
    let spans = vec![
        call(11, 10, "plan", (100, 900)),
        second,
        call(13, 10, "plan", (100, 900)),
        node(10, "plan", (50, 1_000)),
        root((0, 1_100)),
    ];
    ingest.take(&batch(spans), at(4_000)).unwrap();
    let run = only_run(&ingest, &path);
    assert_eq!(
        (run.workflow.as_str(), run.workflow_id.as_str()),
        ("gateway", "thread-7"),
        "one run tells all"
    );
    assert_eq!((run.spent.usage.calls, run.spent.cost), (3, Money::from_cents(750)));
}

#[test]
fn a_node_that_hangs_is_under_way_and_one_whose_span_never_comes_ends_with_its_trace() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("midwatch.db");
    let ingest = open(&path, Options::default());
    ingest.take(&batch(vec![call(11, 10, "plan", (100, 900))]), at(1_000)).unwrap();
    let minutes = |minutes: u64| at(minutes * 60_000);
    for minute in 1..30 {
        ingest.tend(minutes(minute));
        ingest.recorder().tend(minutes(minute));
    }
    let run = only_run(&ingest, &path);
    assert_eq!((run.status, run.doing.as_str(), run.updated_at), (Status::Running, "plan", at(900)));
    ingest.take(&batch(vec![root((0, 1_800_000))]), minutes(30)).unwrap();
    assert_eq!(only_run(&ingest, &path).status, Status::Running, "its span may still come");
    ingest.tend(minutes(31));
    let run = only_run(&ingest, &path);
    assert_eq!((run.status, run.spent.cost), (Status::Completed, Money::from_cents(250)));
}

#[test]
fn a_run_whose_trace_never_ends_is_given_up_as_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("midwatch.db");
    let ingest = open(&path, Options::default());
    ingest.take(&batch(vec![call(11, 10, "plan", (100, 900))]), at(1_000)).unwrap();
    ingest.recorder().tend(at(3_600_000 + 900));
    let run = only_run(&ingest, &path);
    assert_eq!((run.status, run.class), (Status::Failed, Some(Class::Lost)));
    assert_eq!(run.spent.cost, Money::from_cents(250), "what it spent is counted");
}

#[test]
fn what_is_wrong_is_counted_and_the_rest_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("midwatch.db");
    let ingest = open(&path, Options::default());
    let mut spans = graph();
    spans.push(Span { trace_id: vec![7; 3], ..call(50, 10, "plan", (0, 1)) });
    spans.push(Span { span_id: vec![0; 8], ..call(51, 10, "plan", (0, 1)) });
    let outcome = ingest.take(&batch(spans), at(4_000)).unwrap();
    assert_eq!((outcome.rejected, outcome.message.as_str()), (2, "a trace id or span id must not be zero"));
    assert_eq!(only_run(&ingest, &path).spent.cost, Money::from_cents(750));
}

#[test]
fn traces_without_models_are_no_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("midwatch.db");
    let ingest = open(&path, Options::default());
    let web = span(1, 0, "GET /", (0, 5), vec![text("http.request.method", "GET")]);
    ingest.take(&batch(vec![web]), at(10)).unwrap();
    ingest.recorder().flush().unwrap();
    assert!(runs(&path).is_empty());
}

#[test]
fn the_next_trace_of_a_thread_goes_on_with_its_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("midwatch.db");
    let ingest = open(&path, Options::default());
    for trace in 1..=3_u8 {
        let mut spans = graph();
        for span in &mut spans {
            span.trace_id = vec![trace; 16];
            let shift = |nanos: u64| nanos + u64::from(trace) * 10_000_000_000;
            span.start_time_unix_nano = shift(span.start_time_unix_nano);
            span.end_time_unix_nano = shift(span.end_time_unix_nano);
            span.span_id[0] = trace;
            if !span.parent_span_id.is_empty() {
                span.parent_span_id[0] = trace;
            }
        }
        ingest.take(&batch(spans), at(60_000)).unwrap();
        ingest.tend(at(60_000 + u64::from(trace) * 20_000));
        ingest.recorder().tend(at(60_000 + u64::from(trace) * 20_000));
    }
    let run = only_run(&ingest, &path);
    assert_eq!((run.status, run.attempts), (Status::Completed, 9));
    assert_eq!(run.spent.cost, Money::from_cents(2_250));
}
