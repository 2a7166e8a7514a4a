//! Real processes: `midwatch`, the simulator, and the clients of others.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().and_then(Path::parent).expect("the workspace")
}

fn tools() -> PathBuf {
    root().join("target/tools/guides")
}

/// Whether the clients of others are installed; without them the test is skipped, unless they are required.
pub(crate) fn has_clients() -> bool {
    let has = tools().join("bin/python").is_file() && tools().join("npm/node_modules/openai").is_dir();
    assert!(has || std::env::var_os("MIDWATCH_REQUIRE_GUIDES").is_none(), "run `cargo xtask test` once");
    if !has {
        eprintln!("SKIPPED: the clients of others are not installed: `cargo xtask test` does that");
    }
    has
}

/// A process that says where it is reached, and is killed when the test is over.
pub(crate) struct Running {
    child: Child,
    /// What it said first.
    pub(crate) said: Value,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output"));
        let mut line = String::new();
        lines.read_line(&mut line).expect("it says where it is");
        // What it says later is of no concern, and must not block it.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Self { child, said: serde_json::from_str(&line).expect("JSON") }
    }

    pub(crate) fn url(&self, name: &str) -> &str {
        self.said[name].as_str().expect("a URL")
    }

    /// What is at one of its URLs.
    pub(crate) fn get(&self, name: &str) -> Value {
        let url = self.url(name).strip_prefix("http://").expect("plain HTTP");
        let (address, path) = url.split_once('/').expect("a path");
        let mut stream = TcpStream::connect(address).expect("it listens");
        write!(stream, "GET /{path} HTTP/1.0\r\nhost: {address}\r\n\r\n").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        serde_json::from_str(answer.split_once("\r\n\r\n").expect("a body").1).expect("JSON")
    }

    /// As the kernel does it to a process that it wants gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it was alive");
        self.child.wait().expect("it ended");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn midwatch(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_midwatch"));
    command.current_dir(folder).env("TZ", "UTC").env_remove("MIDWATCH_DB").env_remove("MIDWATCH_NOW");
    command
}

/// Models that answer as real ones do.
pub(crate) fn simulator(folder: &Path) -> Running {
    let mut command = midwatch(folder);
    command.args(["simulate", "--json", "--port", "0", "--seed", "7"]);
    Running::start(command)
}

/// `midwatch ingest` on `midwatch.db` in this folder.
pub(crate) fn ingest(folder: &Path, listen: &str, more: &[&str]) -> Running {
    let mut command = midwatch(folder);
    command
        .args(["ingest", "--json", "--listen", listen, "--grpc", "127.0.0.1:0", "--settle", "1s"])
        .args(more);
    Running::start(command)
}

/// `midwatch gateway` on `midwatch.db` in this folder, before those models.
pub(crate) fn gateway(folder: &Path, models: &Running, settings: &[(&str, &str)]) -> Running {
    let mut command = midwatch(folder);
    command.args(["gateway", "--json", "--listen", "127.0.0.1:0"]);
    command.arg("--upstream").arg(format!("openai={}", models.url("openai_base_url")));
    command.arg("--upstream").arg(format!("anthropic={}/v1", models.url("anthropic_base_url")));
    command.env("OPENAI_API_KEY", "simulated").env("ANTHROPIC_API_KEY", "simulated");
    for (name, value) in settings {
        command.env(format!("MIDWATCH_GATEWAY_{name}"), value);
    }
    Running::start(command)
}

/// What a command says in JSON, of one line or many.
pub(crate) fn ask(folder: &Path, arguments: &[&str]) -> Vec<Value> {
    let output = midwatch(folder).args(arguments).arg("--json").output().expect("it starts");
    let text = text_of(&output);
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The same some minutes from now.
pub(crate) fn ask_later(folder: &Path, minutes: u64, arguments: &[&str]) -> Vec<Value> {
    let later = std::time::SystemTime::now() + Duration::from_secs(60 * minutes);
    let later = later.duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let later = jiff::Timestamp::from_second(later.as_secs().try_into().expect("soon")).expect("soon");
    let mut command = midwatch(folder);
    command.env("MIDWATCH_NOW", later.to_string()).args(arguments).arg("--json");
    let output = command.output().expect("it starts");
    text_of(&output).lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn text_of(output: &Output) -> String {
    assert!(
        output.status.code().is_some_and(|code| code < 2),
        "{}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A program of `examples/guides`, in Python or for node, with nothing of this machine's settings.
pub(crate) fn example(program: &str, arguments: &[&str]) -> Command {
    let file = root().join("examples/guides").join(program);
    let mut command = if program.ends_with(".mjs") {
        // Node finds packages beside a program.
        let copy = tools().join("npm").join(program.replace('/', "-"));
        std::fs::copy(file, &copy).expect("a copy");
        let mut command = Command::new("node");
        command.arg(copy);
        command
    } else {
        let mut command = Command::new(tools().join("bin/python"));
        command.arg("-B").arg(file);
        command
    };
    command.args(arguments);
    for name in [
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_BASE_URL",
        "HTTP_PROXY",
        "HTTPS_PROXY",
    ] {
        command.env_remove(name);
    }
    command
}

/// Runs a program to its end; gives its exit code and what it said.
pub(crate) fn run(mut command: Command) -> (i32, String) {
    let output = command.output().expect("it starts");
    let all =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap_or(-1), all)
}

/// A program that goes on until the test is over.
pub(crate) struct Hanging(pub(crate) Child);

impl Drop for Hanging {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Asks again until there is an answer.
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{what} has not come within a minute");
        std::thread::sleep(Duration::from_millis(100));
    }
}
