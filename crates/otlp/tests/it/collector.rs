//! A server that takes OTLP over HTTP as its rules say.

use std::sync::{Arc, Condvar, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use midwatch_observe::trace::Span;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span as Message;
use prost::Message as _;

/// Decides about a request by its spans.
type Rule = Box<dyn Fn(&[Message], &HeaderMap) -> Option<Response> + Send>;

pub(crate) struct Collector {
    url: String,
    state: Arc<Shared>,
    _runtime: tokio::runtime::Runtime,
}

struct Shared {
    taken: Mutex<Vec<Message>>,
    told: Condvar,
    rule: Mutex<Rule>,
}

impl Collector {
    pub(crate) fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let state = Arc::new(Shared {
            taken: Mutex::default(),
            told: Condvar::new(),
            rule: Mutex::new(Box::new(|_, _| None)),
        });
        let app = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&state));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(async { axum::serve(listener, app).await.unwrap() });
        Self { url, state, _runtime: runtime }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Answers as this says; takes what it says nothing of.
    pub(crate) fn rule(&self, rule: impl Fn(&[Message], &HeaderMap) -> Option<Response> + Send + 'static) {
        *self.state.rule.lock().unwrap() = Box::new(rule);
    }

    /// Waits until so much was taken; bounded by the runner's own limit for a test.
    pub(crate) fn until(&self, is_there: impl Fn(&[Message]) -> bool) -> Vec<Message> {
        let taken = self.state.taken.lock().unwrap();
        self.state.told.wait_while(taken, |taken| !is_there(taken)).unwrap().clone()
    }
}

async fn take(State(state): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    let spans: Vec<Message> = scopes.flat_map(|scope| scope.spans).collect();
    let answer = (state.rule.lock().unwrap())(&spans, &headers);
    if let Some(answer) = answer {
        return answer;
    }
    state.taken.lock().unwrap().extend(spans);
    state.told.notify_all();
    StatusCode::OK.into_response()
}

/// The id of a span, in hex.
pub(crate) fn id(span: &Message) -> String {
    span.span_id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The same of one that was not sent.
pub(crate) fn id_of(span: &Span) -> String {
    span.id.to_string()
}
