//! Receivers that others wrote, as processes: on this machine only, on free ports, gone with the test.
#![allow(dead_code)] // not every test needs all of them

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::Value;

/// Where `cargo xtask test` installs them.
#[allow(clippy::print_stderr)] // What is skipped is said.
fn tool(name: &str) -> Option<PathBuf> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/otlp");
    let found = folder.join(name);
    if found.is_file() {
        return Some(found);
    }
    assert!(
        std::env::var_os("MIDWATCH_REQUIRE_OTLP").is_none(),
        "{name} is not installed in target/tools/otlp"
    );
    eprintln!("SKIPPED: {name} is not installed; cargo xtask test does that");
    None
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until somebody listens; bounded by the runner's own limit for a test.
fn until_up(port: u16) {
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A process that ends with this.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A span as it was received.
#[derive(Clone, Debug, Default)]
pub(crate) struct Received {
    pub(crate) trace: String,
    pub(crate) id: String,
    /// Empty for a root.
    pub(crate) parent: String,
    pub(crate) name: String,
    /// `internal` or `client`.
    pub(crate) kind: &'static str,
    /// `unset`, `ok` or `error`.
    pub(crate) status: &'static str,
    pub(crate) attributes: BTreeMap<String, String>,
}

impl Received {
    /// Reads a span in OTLP's JSON, or in that of protobuf: there names have underscores, and ids are in base64.
    fn read(span: &Value) -> Self {
        let text = |name: &str| span[name].as_str().unwrap_or_default().to_owned();
        let id = |name: &str, other: &str| match span[other].as_str() {
            Some(base64) => hex_of(base64),
            None => text(name),
        };
        let attributes = span["attributes"].as_array().into_iter().flatten().map(|pair| {
            let value = pair["value"].as_object().and_then(|value| value.values().next()).unwrap();
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            (pair["key"].as_str().unwrap().to_owned(), value)
        });
        Self {
            trace: id("traceId", "trace_id"),
            id: id("spanId", "span_id"),
            parent: id("parentSpanId", "parent_span_id"),
            name: text("name"),
            kind: if is(&span["kind"], 3, "SPAN_KIND_CLIENT") { "client" } else { "internal" },
            status: match &span["status"]["code"] {
                code if is(code, 2, "STATUS_CODE_ERROR") => "error",
                code if is(code, 1, "STATUS_CODE_OK") => "ok",
                _ => "unset",
            },
            attributes: attributes.collect(),
        }
    }
}

/// The hex digits of bytes in base64.
fn hex_of(base64: &str) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let sixes = base64.bytes().filter_map(|digit| DIGITS.iter().position(|known| *known == digit));
    let bits: String = sixes.map(|six| format!("{six:06b}")).collect();
    let fours = bits.as_bytes()[..bits.len() / 8 * 8].chunks(4);
    fours
        .map(|four| format!("{:x}", u8::from_str_radix(std::str::from_utf8(four).unwrap(), 2).unwrap()))
        .collect()
}

/// An enum is a number or its name.
fn is(value: &Value, number: u64, name: &str) -> bool {
    value.as_u64() == Some(number) || value.as_str() == Some(name)
}

/// What a process printed of the spans that it took.
#[derive(Clone, Default)]
struct Spans(Arc<(Mutex<Vec<Received>>, Condvar)>);

impl Spans {
    /// Reads what a process prints, line by line.
    fn read(process: &mut Process, take: fn(&str, &mut Vec<Received>)) -> Self {
        let output = BufReader::new(process.0.stdout.take().unwrap());
        let spans = Self::default();
        let told = Arc::clone(&spans.0);
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                take(&line, &mut told.0.lock().unwrap());
                told.1.notify_all();
            }
        });
        spans
    }

    /// Waits until what was received is as expected; bounded by the runner's own limit for a test.
    fn until(&self, is_there: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        let (spans, told) = &*self.0;
        told.wait_while(spans.lock().unwrap(), |spans| !is_there(spans)).unwrap().clone()
    }
}

/// `oteltap`: takes OTLP over HTTP and prints each span as a line of JSON.
pub(crate) struct Tap {
    _process: Process,
    port: u16,
    spans: Spans,
}

impl Tap {
    pub(crate) fn start() -> Option<Self> {
        tool("bin/oteltap").map(|_| Self::on(free_port()))
    }

    pub(crate) fn on(port: u16) -> Self {
        let program = tool("bin/oteltap").unwrap();
        let mut command = Command::new(program);
        command.args(["--port", &port.to_string()]).env("PYTHONUNBUFFERED", "1").stdout(Stdio::piped());
        let mut process = Process(command.spawn().unwrap());
        let spans = Spans::read(&mut process, |line, spans| {
            if let Ok(span) = serde_json::from_str::<Value>(line) {
                spans.push(Received::read(&span));
            }
        });
        until_up(port);
        Self { _process: process, port, spans }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn stop(self) {}

    pub(crate) fn until(&self, is_there: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        self.spans.until(is_there)
    }
}

/// `rotel`: a collector that takes OTLP over gRPC and HTTP, and prints what it takes for people.
pub(crate) struct Rotel {
    _process: Process,
    _folder: tempfile::TempDir,
    grpc: u16,
    http: u16,
    spans: Spans,
}

impl Rotel {
    pub(crate) fn start() -> Option<Self> {
        let lib = tool("bin/python3")?.parent()?.join("../lib");
        let versions = std::fs::read_dir(lib).unwrap().map(|entry| entry.unwrap().path());
        let mut agents = versions.map(|version| version.join("site-packages/rotel/rotel-agent"));
        let agent = agents.find(|agent| agent.is_file()).expect("rotel is installed");
        let folder = tempfile::tempdir().unwrap();
        let (grpc, http) = (free_port(), free_port());
        let mut command = Command::new(agent);
        command.arg("start").arg("--pid-file").arg(folder.path().join("pid"));
        command.args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{grpc}")]);
        command.args(["--otlp-http-endpoint", &format!("127.0.0.1:{http}")]);
        command.args(["--exporter", "blackhole", "--debug-log", "traces"]);
        command.args(["--debug-log-verbosity", "detailed"]).stdout(Stdio::piped());
        let mut process = Process(command.spawn().unwrap());
        let spans = Spans::read(&mut process, |line, spans| {
            let Some((key, value)) = line.split_once(':') else {
                if line.starts_with("Span #") {
                    spans.push(Received::default());
                }
                return;
            };
            let (Some(span), value) = (spans.last_mut(), value.trim()) else { return };
            match key.trim() {
                "Trace ID" => span.trace = value.to_owned(),
                "Parent ID" => span.parent = value.to_owned(),
                "ID" => span.id = value.to_owned(),
                "Name" => span.name = value.to_owned(),
                _ => {}
            }
        });
        until_up(grpc);
        until_up(http);
        Some(Self { _process: process, _folder: folder, grpc, http, spans })
    }

    pub(crate) fn grpc(&self) -> String {
        format!("http://127.0.0.1:{}", self.grpc)
    }

    pub(crate) fn http(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    pub(crate) fn until(&self, is_there: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        self.spans.until(is_there)
    }
}

/// `ddapm-test-agent`: Datadog's agent for tests of its own libraries.
pub(crate) struct Datadog {
    _process: Process,
    _folder: tempfile::TempDir,
    otlp: u16,
    grpc: u16,
}

impl Datadog {
    pub(crate) fn start() -> Option<Self> {
        let program = tool("bin/ddapm-test-agent")?;
        let folder = tempfile::tempdir().unwrap();
        let (agent, otlp, grpc) = (free_port(), free_port(), free_port());
        let mut command = Command::new(program);
        command.current_dir(folder.path());
        command.args(["--port", &agent.to_string(), "--otlp-http-port", &otlp.to_string()]);
        command.args(["--otlp-grpc-port", &grpc.to_string()]);
        let process = Process(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        until_up(otlp);
        until_up(grpc);
        Some(Self { _process: process, _folder: folder, otlp, grpc })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.otlp)
    }

    pub(crate) fn grpc_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.grpc)
    }

    /// The requests that it took so far, in order.
    fn requests(&self, kind: &str) -> Vec<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.otlp)).unwrap();
        write!(stream, "GET /test/session/{kind} HTTP/1.0\r\nhost: localhost\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let mut all: Vec<Value> = serde_json::from_str(body).unwrap();
        // It gives the latest first.
        all.reverse();
        all
    }

    /// The metrics, by request.
    pub(crate) fn metrics(&self) -> Vec<Value> {
        self.requests("metrics")
    }

    /// The spans.
    pub(crate) fn spans(&self) -> Vec<Received> {
        let requests = self.requests("traces");
        let list = |value: &Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
        let resources = requests.iter().flat_map(|request| list(request, "resource_spans"));
        let scopes = resources.flat_map(|resource| list(&resource, "scope_spans"));
        scopes.flat_map(|scope| list(&scope, "spans")).map(|span| Received::read(&span)).collect()
    }
}
