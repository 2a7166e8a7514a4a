//! A real Restate server for tests: on this machine only, on free ports, with its data in a folder of its own, and gone
//! with the test.

// Each test uses its own part of this.
#![allow(dead_code)]

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running server.
pub(crate) struct Server {
    program: PathBuf,
    folder: tempfile::TempDir,
    process: Child,
    ports: [u16; 3],
}

impl Server {
    /// Starts a server, or gives nothing if none is installed: `cargo xtask test` installs it, and then demands it.
    pub(crate) fn start() -> Option<Self> {
        let Some(program) = program() else {
            assert!(
                std::env::var_os("MIDWATCH_REQUIRE_RESTATE").is_none(),
                "restate-server is not installed in target/tools"
            );
            skipped();
            return None;
        };
        let folder = tempfile::tempdir().expect("a folder for the server's data");
        let ports = free_ports();
        std::fs::write(folder.path().join("restate.toml"), config(ports))
            .expect("write the server's settings");
        let process = spawn(&program, folder.path());
        let server = Self { program, folder, process, ports };
        server.wait();
        Some(server)
    }

    pub(crate) fn ingress(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[0])
    }

    pub(crate) fn admin(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[1])
    }

    /// Asks the admin API to change something.
    pub(crate) fn patch(&self, path: &str) {
        let answer = exchange(self.ports[1], &format!("PATCH {path}")).unwrap_or_default();
        assert!(answer.starts_with("HTTP/1.1 2"), "{path}: {answer}");
    }

    /// Kills the server as `kill -9` does, and starts it again on what its disk holds.
    pub(crate) fn kill_and_restart(&mut self) {
        self.kill();
        self.process = spawn(&self.program, self.folder.path());
        self.wait();
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("kill the server");
        self.process.wait().expect("the server is gone");
    }

    fn wait(&self) {
        for _ in 0..600 {
            let is_up = [self.ports[0], self.ports[1]].iter().all(|port| answers(*port));
            if is_up {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let log = std::fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default();
        panic!("the server did not start:\n{}", log.lines().rev().take(30).collect::<Vec<_>>().join("\n"));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[allow(clippy::print_stderr)] // a test that is skipped must not look like one that passed
fn skipped() {
    eprintln!("SKIPPED: no restate-server in target/tools; `cargo xtask test` installs it");
}

fn program() -> Option<PathBuf> {
    if let Some(program) = std::env::var_os("MIDWATCH_RESTATE_SERVER") {
        return Some(program.into());
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?;
    let modules = root.join("target/tools/restate/node_modules/@restatedev");
    let entries = std::fs::read_dir(modules).ok()?;
    entries.flatten().map(|entry| entry.path().join("bin/restate-server")).find(|program| program.is_file())
}

fn spawn(program: &Path, folder: &Path) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(folder.join("server.log"));
    let log = log.expect("a file for the server's log");
    Command::new(program)
        .arg("--config-file")
        .arg(folder.join("restate.toml"))
        .arg("--base-dir")
        .arg(folder.join("data"))
        .arg("--no-logo")
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("the log's handle"))
        .stderr(log)
        .spawn()
        .expect("start restate-server")
}

fn config([ingress, admin, node]: [u16; 3]) -> String {
    format!(
        "listen-mode = \"tcp\"\nbind-ip = \"127.0.0.1\"\nbind-port = {node}\nadvertised-host = \"127.0.0.1\"\n\
         disable-telemetry = true\ndefault-num-partitions = 4\n\
         [admin]\nbind-port = {admin}\n[ingress]\nbind-port = {ingress}\n"
    )
}

/// Ports that are free now. All are held at once, so that they differ.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    let held = [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"));
    held.map(|listener| listener.local_addr().expect("its address").port())
}

fn answers(port: u16) -> bool {
    exchange(port, "GET /health").is_some_and(|answer| answer.starts_with("HTTP/1.1 "))
}

/// One request without a body, and its answer.
fn exchange(port: u16, what: &str) -> Option<String> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let request =
        format!("{what} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
