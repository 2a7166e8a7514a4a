//! What senders are told over HTTP, by a real server.
#![allow(clippy::unwrap_used)]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use flate2::Compression;
use flate2::write::GzEncoder;
use midwatch_ingest::{Access, Ingest, Options, now};
use midwatch_providers::Prices;
use midwatch_recorder::Recorder;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use tokio::net::TcpListener;

/// A server on a journal of its own.
struct Server {
    address: SocketAddr,
    recorder: Recorder,
    _runtime: tokio::runtime::Runtime,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start(access: Access) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("midwatch.db");
        let recorder = Recorder::open(path, midwatch_recorder::Options::new("test"), now()).unwrap();
        let ingest = Ingest::new(recorder.clone(), Prices::bundled(), Options::default());
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move { axum::serve(listener, ingest.router(access)).await });
        Self { address, recorder, _runtime: runtime, _folder: folder }
    }

    /// Sends a body; gives status, head and body.
    fn send(&self, headers: &str, body: &[u8]) -> (u16, String, Vec<u8>) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let head = format!(
            "POST /v1/traces HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        // A server that refuses a large body may not read it to its end.
        let _ = stream.write_all(body);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head, answer[end + 4..].to_vec())
    }

    fn runs(&self) -> usize {
        self.recorder.flush().unwrap();
        self.recorder.journal().runs(&midwatch_journal::RunQuery::default()).unwrap().len()
    }
}

const PROTOBUF: &str = "content-type: application/x-protobuf\r\n";
const JSON: &str = "content-type: application/json; charset=utf-8\r\n";

/// One call of a model, and whatever else.
fn request(more: Vec<Span>) -> ExportTraceServiceRequest {
    let json = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0102030405060708090a0b0c0d0e0f10",
        "spanId":"0102030405060708","name":"chat gpt-4o","kind":3,"startTimeUnixNano":"1793491200000000000",
        "endTimeUnixNano":"1793491201000000000","attributes":[
            {"key":"gen_ai.operation.name","value":{"stringValue":"chat"}},
            {"key":"gen_ai.request.model","value":{"stringValue":"gpt-4o"}},
            {"key":"gen_ai.usage.input_tokens","value":{"intValue":"12"}}]}]}]}]}"#;
    let mut request: ExportTraceServiceRequest = serde_json::from_str(json).unwrap();
    let scope_spans = vec![ScopeSpans { spans: more, ..ScopeSpans::default() }];
    request.resource_spans.push(ResourceSpans { scope_spans, ..ResourceSpans::default() });
    request
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(body).unwrap();
    packed.finish().unwrap()
}

#[test]
fn protobuf_and_json_plain_and_packed_say_the_same() {
    let protobuf = request(Vec::new()).encode_to_vec();
    let json = serde_json::to_vec(&request(Vec::new())).unwrap();
    let packed = "content-encoding: gzip\r\n";
    for (headers, body) in [
        (PROTOBUF.to_owned(), protobuf.clone()),
        (JSON.to_owned(), json.clone()),
        (format!("{PROTOBUF}{packed}"), gzip(&protobuf)),
        (format!("{JSON}{packed}"), gzip(&json)),
    ] {
        let server = Server::start(Access::anybody());
        let (status, _, answer) = server.send(&headers, &body);
        assert_eq!(status, 200, "{headers}{}", String::from_utf8_lossy(&answer));
        assert_eq!(server.runs(), 1, "{headers}");
    }
}

#[test]
fn a_span_that_is_none_is_rejected_alone() {
    let server = Server::start(Access::anybody());
    let body = request(vec![Span { name: "no ids".to_owned(), ..Span::default() }]).encode_to_vec();
    let (status, _, answer) = server.send(PROTOBUF, &body);
    let partial = ExportTraceServiceResponse::decode(&answer[..]).unwrap().partial_success.unwrap();
    assert_eq!((status, partial.rejected_spans), (200, 1));
    assert_eq!(partial.error_message, "a trace id must have 16 bytes");
    assert_eq!(server.runs(), 1);
}

#[test]
fn what_is_no_request_is_answered_as_otlp_says() {
    let server = Server::start(Access::anybody());
    let (status, head, _) = server.send(PROTOBUF, b"no protobuf at all");
    assert!(status == 400 && head.contains("application/x-protobuf"), "{head}");
    let (status, head, body) = server.send(JSON, b"{\"resourceSpans\": 7}");
    assert!(status == 400 && head.contains("application/json"), "{head}");
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&body).unwrap()["code"], 3);
    let (status, ..) = server.send("content-type: text/plain\r\n", b"x");
    assert_eq!(status, 415);
    let (status, ..) = server.send(&format!("{PROTOBUF}content-encoding: gzip\r\n"), b"no gzip");
    assert_eq!(status, 400);
}

#[test]
fn what_is_too_large_is_refused_packed_or_not() {
    let server = Server::start(Access::anybody());
    let (status, ..) = server.send(PROTOBUF, &vec![0; (16 << 20) + 1]);
    assert_eq!(status, 413);
    let (status, _, answer) =
        server.send(&format!("{PROTOBUF}content-encoding: gzip\r\n"), &gzip(&vec![0; 65 << 20]));
    let says = String::from_utf8_lossy(&answer).into_owned();
    assert!(status == 400 && says.contains("over the limit"), "{status} {says}");
    let body = request(Vec::new()).encode_to_vec();
    assert_eq!(server.send(PROTOBUF, &body).0, 200, "and it goes on");
}

#[test]
fn with_a_key_only_who_has_it_may_send() {
    let server = Server::start(Access::key("watch-key"));
    let body = request(Vec::new()).encode_to_vec();
    for (said, expected) in [
        ("", 401),
        ("authorization: Bearer wrong\r\n", 401),
        ("authorization: watch-key\r\n", 401),
        ("authorization: Bearer watch-key\r\n", 200),
    ] {
        let (status, head, _) = server.send(&format!("{PROTOBUF}{said}"), &body);
        assert_eq!(status, expected, "{said}{head}");
        assert!(!head.contains("watch-key"));
    }
}
