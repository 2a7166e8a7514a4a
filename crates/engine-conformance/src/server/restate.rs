//! A Restate server, with its data in a folder of its own.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{Process, found, free_ports, tools, wait_until_up};

/// A running Restate server.
pub struct RestateServer {
    program: PathBuf,
    folder: tempfile::TempDir,
    process: Process,
    /// Of the ingress, of the admin API, of the node itself.
    ports: [u16; 3],
}

impl RestateServer {
    /// Starts a server; `None` if none is installed.
    ///
    /// # Panics
    /// If it is installed and does not come up.
    pub fn start() -> Option<Self> {
        let program = found(program(), "restate-server", "MIDWATCH_REQUIRE_RESTATE")?;
        let folder = tempfile::tempdir().expect("a folder for the server's data");
        let ports = free_ports();
        std::fs::write(folder.path().join("restate.toml"), config(ports))
            .expect("write the server's settings");
        let process = spawn(&program, folder.path());
        let server = Self { program, folder, process, ports };
        server.wait();
        Some(server)
    }

    /// The ingress, where runs are started.
    pub fn ingress(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[0])
    }

    /// The admin API.
    pub fn admin(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[1])
    }

    /// Asks the admin API to change something.
    ///
    /// # Panics
    /// If it does not.
    pub fn patch(&self, path: &str) {
        let answer = exchange(self.ports[1], &format!("PATCH {path}")).unwrap_or_default();
        assert!(answer.starts_with("HTTP/1.1 2"), "{path}: {answer}");
    }

    /// Kills the server as `kill -9` does, and starts it again on what its disk holds.
    ///
    /// # Panics
    /// If it does not come up again.
    pub fn kill_and_restart(&mut self) {
        self.process.kill();
        self.process = spawn(&self.program, self.folder.path());
        self.wait();
    }

    fn wait(&self) {
        let is_up = || [self.ports[0], self.ports[1]].iter().all(|port| answers(*port));
        wait_until_up("the Restate server", is_up, &self.folder.path().join("server.log"));
    }
}

/// npm installs a package for this platform beside the one that is asked for.
fn program() -> Option<PathBuf> {
    if let Some(program) = std::env::var_os("MIDWATCH_RESTATE_SERVER") {
        return Some(program.into());
    }
    let entries = std::fs::read_dir(tools().join("restate/node_modules/@restatedev")).ok()?;
    entries.flatten().map(|entry| entry.path().join("bin/restate-server")).find(|program| program.is_file())
}

fn spawn(program: &Path, folder: &Path) -> Process {
    let log = File::options().create(true).append(true).open(folder.join("server.log")).expect("a log");
    let mut server = Command::new(program);
    server.arg("--config-file").arg(folder.join("restate.toml"));
    server.arg("--base-dir").arg(folder.join("data")).arg("--no-logo");
    server.stdin(Stdio::null()).stdout(log.try_clone().expect("the log's handle")).stderr(log);
    Process(server.spawn().expect("start restate-server"))
}

fn config([ingress, admin, node]: [u16; 3]) -> String {
    format!(
        "listen-mode = \"tcp\"\nbind-ip = \"127.0.0.1\"\nbind-port = {node}\nadvertised-host = \"127.0.0.1\"\n\
         disable-telemetry = true\ndefault-num-partitions = 4\n\
         [admin]\nbind-port = {admin}\n[ingress]\nbind-port = {ingress}\n"
    )
}

fn answers(port: u16) -> bool {
    exchange(port, "GET /health").is_some_and(|answer| answer.starts_with("HTTP/1.1 "))
}

/// One request without a body, and its answer.
fn exchange(port: u16, what: &str) -> Option<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let request =
        format!("{what} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
